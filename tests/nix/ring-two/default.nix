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

  # What wheels commonly want, but for what the host stands in for: the tree may
  # not evaluate it, and a machine without network can't build it.
  absent =
    final: prev:
    let
      inherit (prev) lib;
      wanted = builtins.fromJSON (
        builtins.readFile ../../../src/nix_manylinux/data/common-packages.json
      );
      names = map (path: lib.head (lib.splitString "." path)) (lib.attrNames wanted.packages);
      standIns = [
        "stdenv"
        "libGL"
        "libx11"
        "libxcb"
        "libxkbcommon"
        "glib"
        "dbus"
        "fontconfig"
        "freetype"
      ];
    in
    lib.genAttrs (lib.filter (name: !lib.elem name standIns) names) (_: null);
in
import (named "NIX_MANYLINUX_NIXPKGS_HOST") {
  nixpkgs = named "NIX_MANYLINUX_NIXPKGS";
  overlays = [ absent ] ++ overlays;
  inherit config wheels;
}
