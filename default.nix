# For those without flakes:
#
#   nix-build -A nix-manylinux                        the command
#   (import ./. { inherit pkgs; }).manylinuxFixupHook  one of the parts
#   import ./nix/overlay.nix                           the overlay, for `overlays`
{
  pkgs ? import <nixpkgs> { overlays = [ (import ./nix/overlay.nix) ]; },
}:
let
  overlay = import ./nix/overlay.nix;
  # A set that has the overlay already is taken as it is.
  extended = if pkgs ? manylinuxFixupHook then pkgs else pkgs.extend overlay;
in
{
  inherit (extended)
    buildManylinuxWheel
    fetchPypi
    manylinuxFixupHook
    manylinuxInstallHook
    manylinuxLockedPackages
    manylinuxPython
    manylinuxStdenv
    manylinuxVenvHook
    manylinuxWheels
    nix-manylinux
    patchManylinuxWheel
    pythonManylinuxPackages
    ;
  inherit overlay;
  # The whole set under the overlay, for its Python sets.
  pkgs = extended;
  lib = import ./nix/lib;
}
