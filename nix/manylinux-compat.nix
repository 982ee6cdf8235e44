# The module `_manylinux` (PEP 600), by which installers ask an interpreter
# whether it takes manylinux wheels. An interpreter has it only where someone
# adds this package: `python.withPackages`, or a build's nativeBuildInputs.
{
  lib,
  buildPythonPackage,
  python,
}:
buildPythonPackage {
  pname = "manylinux-compat";
  inherit ((builtins.fromTOML (builtins.readFile ../pyproject.toml)).project) version;
  format = "other";

  dontUnpack = true;
  installPhase = ''
    runHook preInstall
    install -Dm 444 ${../src/nix_manylinux/compat/_manylinux.py} $out/${python.sitePackages}/_manylinux.py
    runHook postInstall
  '';

  pythonImportsCheck = [ "_manylinux" ];

  meta = {
    description = "Lets NIX_PYTHON_MANYLINUX say which manylinux wheels an interpreter takes";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
  };
}
