# The overlay on a nixpkgs from a channel, without flakes:
#
#   nix-instantiate --eval --strict --json examples/overlay-without-flakes
let
  plain = import <nixpkgs> { };
  pkgs = import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; };
in
{
  added = builtins.filter (name: !(plain ? ${name})) [
    "manylinuxFixupHook"
    "manylinuxPython"
    "nix-manylinux"
    "patchManylinuxWheel"
  ];
  inEveryPythonSet = builtins.filter (name: !(plain.python3.pkgs ? ${name})) [
    "manylinux-compat"
    "manylinuxFixupHook"
    "nix-manylinux"
  ];
  oneHook = pkgs.manylinuxFixupHook == pkgs.python3.pkgs.manylinuxFixupHook;
  libIsLeftAlone = !(pkgs.lib ? selectWheel);
}
