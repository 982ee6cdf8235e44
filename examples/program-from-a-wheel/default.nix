# A program that PyPI carries in a wheel:
#
#   nix-build examples/program-from-a-wheel && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs) fetchPypi;

  ruff = pkgs.python3Packages.buildPythonApplication {
    pname = "ruff";
    version = "0.17.6";
    format = "manylinux2014";
    src = fetchPypi {
      inherit (pkgs.python3) pythonVersion;
      files = [
        {
          file = "ruff-0.17.6-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
          hash = "sha256-qjsIJUpzKsuiRokQiaFSxHxXM9w2uOy3bOhgL4Mm5eQ=";
        }
      ];
    };
    meta.mainProgram = "ruff";
  };
in
pkgs.runCommand "program-from-a-wheel" { nativeBuildInputs = [ ruff ]; } ''
  echo 'import os' | ruff check --no-cache --output-format concise - > $out || true
''
