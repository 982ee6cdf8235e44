# A C++ extension for systems as old as glibc 2.28, whatever glibc nixpkgs has:
#
#   nix-build examples/cpp-for-manylinux_2_28 && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs.python3Packages) buildPythonPackage setuptools;

  demo = buildPythonPackage.override { stdenv = pkgs.manylinuxStdenv "manylinux_2_28"; } {
    pname = "demo";
    version = "1.0";
    pyproject = true;
    src = ./package;
    build-system = [ setuptools ];
    pythonImportsCheck = [ "demo" ];
  };

  # By itself the tag is the oldest that is kept; this one is asked for.
  wheel = pkgs.buildManylinuxWheel {
    package = demo;
    policy = "manylinux_2_28";
  };
in
pkgs.runCommand "cpp-for-manylinux_2_28" { passthru.wheel = wheel; } ''
  cd ${wheel}
  ls *.whl > $out
''
