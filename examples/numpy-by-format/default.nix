# A wheel of PyPI as a Python package, by its format alone:
#
#   nix-build examples/numpy-by-format && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs) fetchPypi;
  inherit (pkgs.python3Packages) python buildPythonPackage;

  numpy = buildPythonPackage rec {
    pname = "numpy";
    version = "1.26.4";
    format = "manylinux2014";
    src = fetchPypi {
      inherit pname version format;
      pythonVersion = python.version;
      hash = "sha256-Zm2/tuxoliwDOkUJQ97Ykb7S1U5nVeNeWDXWP09pMdU=";
    };
    pythonImportsCheck = [ "numpy" ];
  };
in
pkgs.runCommand "numpy-by-format" { nativeBuildInputs = [ (python.withPackages (_: [ numpy ])) ]; } ''
  python3 -c 'import numpy; print(numpy.linalg.inv(numpy.eye(2) * 4))' > $out
''
