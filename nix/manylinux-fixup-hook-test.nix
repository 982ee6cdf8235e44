# A library that needs zlib and has no search path: the hook gives it one.
{
  lib,
  stdenv,
  zlib,
  patchelf,
  manylinuxFixupHook,
}:
stdenv.mkDerivation {
  name = "manylinux-fixup-hook-test";
  dontUnpack = true;
  strictDeps = true;
  nativeBuildInputs = [
    manylinuxFixupHook
    patchelf
  ];
  buildInputs = [ zlib ];

  installPhase = ''
    mkdir -p $out/lib
    echo 'const char *zlibVersion(void); const char *uses(void) { return zlibVersion(); }' > uses.c
    ''${CC:-cc} -shared -fPIC uses.c -o $out/lib/libuses.so -L${lib.getLib zlib}/lib -l:libz.so.1
    patchelf --remove-rpath $out/lib/libuses.so
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    [ "$(patchelf --print-rpath $out/lib/libuses.so)" = ${lib.getLib zlib}/lib ]
  '';
}
