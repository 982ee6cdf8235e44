# library :: attribute path -> [ package ]
#
# The package of this nixpkgs at an attribute path, or nothing: where there is
# none, or an alias that throws, or one that may not be built here (unfree,
# insecure, broken). X libraries have two names. The path may name an output,
# which this nixpkgs need not have split off: brotli.lib is brotli's libraries.
{ lib, pkgs }:
let
  renames =
    let
      rows = map (lib.splitString "\t") (
        lib.tail (
          lib.filter (line: line != "") (
            lib.splitString "\n" ((import ./data.nix).text "nixpkgs-xorg-renames.tsv")
          )
        )
      );
    in
    lib.listToAttrs (map (row: lib.nameValuePair (lib.head row) (lib.elemAt row 1)) rows);

  lookup =
    path:
    let
      found = builtins.tryEval (
        let
          names = lib.splitString "." path;
          whole = lib.attrByPath (lib.filter (name: name != "lib") names) null pkgs;
          package = lib.attrByPath names whole pkgs;
        in
        # Whether it may be built is known by looking at it, and that may throw.
        if package != null && package.meta.available or true then package else null
      );
    in
    lib.optional (found.success && found.value != null) (lib.getLib found.value);
in
{
  # { libx11 = "xorg.libX11"; ... }
  inherit renames;

  library =
    path:
    let
      found = lookup path;
    in
    if found == [ ] && renames ? ${path} then lookup renames.${path} else found;
}
