# An overlay: for every package of data/policy-packages.json one that holds a
# file of the right name and magic number, for the lists and their proofs where
# the real packages can't be built. What the set builds itself is left alone.
final: prev:
let
  table = builtins.fromJSON (
    builtins.readFile ../../src/nix_manylinux/data/policy-packages.json
  );
  paths = builtins.mapAttrs (_: builtins.head) table.packages;
  sonamesOf = path: builtins.filter (soname: paths.${soname} == path) (builtins.attrNames paths);
  isOwn = path: path == "stdenv.cc.cc" || path == "zlib" || path == "expat";
  names = builtins.filter (path: !isOwn path) (builtins.attrValues paths);
  standIn =
    name: sonames:
    final.runCommand name { inherit sonames; } ''
      mkdir -p $out/lib
      for soname in $sonames; do printf '\177ELF' > $out/lib/$soname; done
    '';
in
builtins.listToAttrs (
  map (path: {
    name = path;
    value = standIn path (sonamesOf path);
  }) names
)
// {
  # nixpkgs' own list takes this one for libcrypt.so.1.
  libxcrypt = standIn "libxcrypt" [ "libcrypt.so.1" ];
}
