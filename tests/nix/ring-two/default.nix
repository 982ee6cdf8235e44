# A real nixpkgs: the tree that NIX_MANYLINUX_NIXPKGS names, built with this
# machine's tools by the expression that NIX_MANYLINUX_NIXPKGS_HOST names.
{
  overlays ? [ ],
  config ? { },
  # Folder of pure Python wheels that stand in for the Python packages.
  wheels ? null,
}:
let
  named =
    variable:
    let
      value = builtins.getEnv variable;
    in
    if value != "" then /. + value else throw "ring two needs the environment variable ${variable}";
in
import (named "NIX_MANYLINUX_NIXPKGS_HOST") {
  nixpkgs = named "NIX_MANYLINUX_NIXPKGS";
  inherit overlays config wheels;
}
