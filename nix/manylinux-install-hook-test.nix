# A wheel, packed here, whose command runs once it is installed.
{
  lib,
  stdenv,
  python,
  manylinuxInstallHook,
}:
stdenv.mkDerivation {
  name = "manylinux-install-hook-test";
  dontUnpack = true;
  strictDeps = true;
  nativeBuildInputs = [
    manylinuxInstallHook
    python
  ];
  buildInputs = [ python ];

  buildPhase = ''
    runHook preBuild

    mkdir dist
    ${python.executable} - <<'PY'
    import zipfile
    files = {
        "made.py": "def main():\n    print(__cached__)\n",
        "made-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: made\nVersion: 1\n",
        "made-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "made-1.dist-info/entry_points.txt": "[console_scripts]\nmade = made:main\n",
    }
    record = "made-1.dist-info/RECORD"
    with zipfile.ZipFile("dist/made-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(record, "".join(f"{name},,\n" for name in [*files, record]))
    PY

    runHook postBuild
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck

    case $($out/bin/made) in
    $out/*/made.cpython-*.pyc) ;;
    *) exit 1 ;;
    esac

    runHook postInstallCheck
  '';

  meta = {
    description = "What manylinuxInstallHook does, on a wheel";
    platforms = lib.platforms.linux;
  };
}
