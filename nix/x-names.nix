# Libraries of X under the names that newer nixpkgs gives them, as `nix-manylinux
# expr` writes them: { libx11 = xorg.libX11; ... } where there is only the old one.
final: prev:
let
  rows = builtins.filter builtins.isList (
    map (builtins.match "([^\t]+)\txorg[.]([^\t]+).*") (
      builtins.filter builtins.isString (
        builtins.split "\n" ((import ./data.nix).text "nixpkgs-xorg-renames.tsv")
      )
    )
  );
in
builtins.listToAttrs (
  map (
    row:
    let
      name = builtins.head row;
      old = builtins.elemAt row 1;
    in
    {
      inherit name;
      value =
        prev.${name}
          or (final.xorg.${old} or (throw "this nixpkgs has neither ${name} nor xorg.${old}"));
    }
  ) rows
)
