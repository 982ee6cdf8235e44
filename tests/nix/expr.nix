# Packages out of expressions that `nix-manylinux expr` wrote: `expressions` is
# JSON, from names to their files, and each may depend on the others.
{ expressions, ... }@args:
let
  pkgs = import ./world.nix (removeAttrs args [ "expressions" ]);
  files = builtins.fromJSON expressions;
  packages = builtins.mapAttrs (
    _: file:
    let
      written = import (/. + file);
    in
    pkgs.python3.pkgs.callPackage written (
      builtins.intersectAttrs (builtins.functionArgs written) packages
    )
  ) files;
in
packages
