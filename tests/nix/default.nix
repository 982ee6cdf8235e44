# Every case of the Nix tests by name: `-A hook.plain` with a stub in place of the
# command, the others with the real one.
{
  # Folder of real wheels.
  realWheels ? null,
  # All else goes to world.nix.
  ...
}@args:
let
  world = more: import ./world.nix (removeAttrs args [ "realWheels" "inNixShell" ] // more);
in
{
  hook = import ./hook-cases.nix { pkgs = world { tool = "stub"; }; };
}
