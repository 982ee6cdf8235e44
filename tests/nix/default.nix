# Every case of the Nix tests by name: `-A hook.plain` with a stub in place of the
# command, the others with the real one.
{
  # Folder of real wheels.
  realWheels ? null,
  # What `nix-manylinux lock` wrote, and a folder of the wheels that it names.
  lock ? null,
  lockWheels ? null,
  # A project that uv has locked, and uv itself.
  project ? null,
  uv ? null,
  # All else goes to world.nix.
  ...
}@args:
let
  world =
    more:
    import ./world.nix (
      removeAttrs args [
        "realWheels"
        "lock"
        "lockWheels"
        "project"
        "uv"
        "inNixShell"
      ]
      // more
    );
  pkgs = world { };
in
{
  # examples/, each with this set for its nixpkgs.
  examples = builtins.mapAttrs (name: _: import (../../examples + "/${name}") { inherit pkgs; }) (
    builtins.readDir ../../examples
  );
  hook = import ./hook-cases.nix { pkgs = world { tool = "stub"; }; };
  build = import ./build-cases.nix { inherit pkgs; };
  cross = import ./cross-cases.nix {
    pkgs = world { crossTo = "aarch64"; };
    wheels = realWheels;
  };
  interpreter = import ./interpreter-cases.nix { inherit pkgs; };
  locked = import ./locked-cases.nix {
    inherit pkgs lock;
    wheels = lockWheels;
  };
  pyproject = import ./pyproject-cases.nix { inherit pkgs; };
  uv2nix = import ./uv2nix-cases.nix {
    nixpkgs = extraOverlays: world { inherit extraOverlays; };
    inherit project uv;
    files = lockWheels;
  };
  venv = import ./venv-cases.nix { inherit pkgs; };
  install = import ./install-cases.nix {
    inherit pkgs;
    wheels = realWheels;
  };
  torch = import ./torch-cases.nix { inherit pkgs; };
  packages = import ./package-cases.nix {
    inherit pkgs;
    wheels = realWheels;
  };
}
