# A package that Nix builds from source, as a wheel that pip installs on any Linux:
#
#   nix-build examples/portable-wheel && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs.python3Packages) buildPythonPackage setuptools;

  demo = buildPythonPackage {
    pname = "demo";
    version = "1.0";
    pyproject = true;
    src = ./package;
    build-system = [ setuptools ];
    pythonImportsCheck = [ "demo" ];
  };
in
# The same for everybody who builds it: the file's name, and its bytes.
pkgs.runCommand "portable-wheel" { } ''
  cd ${demo.manylinuxWheel}
  ls *.whl > $out
''
