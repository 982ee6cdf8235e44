# Libraries in two outputs that have no search path: the hook gives them one, to zlib, and
# from the one output into the other.
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
  __structuredAttrs = true;
  outputs = [
    "out"
    "lib"
  ];
  nativeBuildInputs = [
    manylinuxFixupHook
    patchelf
  ];
  buildInputs = [ zlib ];

  installPhase = ''
    runHook preInstall

    mkdir -p $out/lib $lib/lib
    echo 'const char *zlibVersion(void); const char *uses(void) { return zlibVersion(); }' > uses.c
    ''${CC:-cc} -shared -fPIC uses.c -o $lib/lib/libuses.so -Wl,-soname,libuses.so \
      -L${lib.getLib zlib}/lib -l:libz.so.1
    echo 'const char *uses(void); const char *more(void) { return uses(); }' > more.c
    ''${CC:-cc} -shared -fPIC more.c -o $out/lib/libmore.so -L$lib/lib -luses -Wl,--allow-shlib-undefined
    patchelf --remove-rpath $lib/lib/libuses.so $out/lib/libmore.so

    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck

    [ "$(patchelf --print-rpath $lib/lib/libuses.so)" = ${lib.getLib zlib}/lib ]
    [ "$(patchelf --print-rpath $out/lib/libmore.so)" = $lib/lib ]

    runHook postInstallCheck
  '';

  meta = {
    description = "What manylinuxFixupHook does, on libraries";
    platforms = lib.platforms.linux;
  };
}
