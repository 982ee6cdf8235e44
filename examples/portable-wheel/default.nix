# A package that Nix builds from source, as a wheel that pip installs on any Linux:
#
#   nix-build examples/portable-wheel && cat result
#   nix-build examples/portable-wheel -A wheel && ls result/
{
  pkgs ? import <nixpkgs> { overlays = [ (import overlay) ]; },
  # Here, or in a copy of this folder: then a checkout lies in it.
  overlay ?
    if builtins.pathExists ../../nix/overlay.nix then
      ../../nix/overlay.nix
    else
      ./nix-manylinux/nix/overlay.nix,
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

  wheel = demo.manylinuxWheel;
in
# The same for everybody who builds it: the file's name, and its bytes.
pkgs.runCommand "portable-wheel" { passthru = { inherit demo wheel; }; } ''
  cd ${wheel}
  ls *.whl > $out
''
