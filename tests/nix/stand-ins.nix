# An overlay: for every package of data/policy-packages.json one that holds a
# file of the right name and magic number, for the lists and their proofs where
# the real packages can't be built. What the set builds itself is left alone.
# Sets made of the host's tools lack some of what nixpkgs asks of its own, too.
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
  glibc = { pname = "glibc"; } // prev.glibc;
  libc = { pname = "glibc"; } // prev.libc or prev.glibc;
  # The set of the X libraries by their older names and, as one nixpkgs has it,
  # by newer ones.
  xorg = prev.xorg or { } // {
    inherit (final) libx11;
    libX11 = final.libx11;
    libXext = final.libxext;
    libXrender = final.libxrender;
    libICE = final.libice;
    libSM = final.libsm;
  };
}
