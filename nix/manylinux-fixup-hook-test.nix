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
    runHook preInstall

    mkdir -p $out/lib
    echo 'const char *zlibVersion(void); const char *uses(void) { return zlibVersion(); }' > uses.c
    ''${CC:-cc} -shared -fPIC uses.c -o $out/lib/libuses.so -L${lib.getLib zlib}/lib -l:libz.so.1
    patchelf --remove-rpath $out/lib/libuses.so

    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck

    [ "$(patchelf --print-rpath $out/lib/libuses.so)" = ${lib.getLib zlib}/lib ]

    runHook postInstallCheck
  '';

  meta = {
    description = "What manylinuxFixupHook does, on a library";
    platforms = lib.platforms.linux;
  };
}
