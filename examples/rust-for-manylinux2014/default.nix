# A Rust extension for systems as old as glibc 2.17: cargo links by the compiler of the stdenv.
#
#   nix-build examples/rust-for-manylinux2014 && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs.python3Packages) buildPythonPackage setuptools;

  demo = buildPythonPackage.override { stdenv = pkgs.manylinuxStdenv "manylinux2014"; } {
    pname = "demo";
    version = "1.0";
    pyproject = true;
    src = ./package;
    build-system = [ setuptools ];
    nativeBuildInputs = [
      pkgs.cargo
      pkgs.rustc
    ];
    # Where cargo looks for crates, of which there are none.
    preBuild = "export CARGO_HOME=$TMPDIR/cargo";
    pythonImportsCheck = [ "demo" ];
  };

  # By itself the tag is the oldest that is kept; this one is asked for.
  wheel = pkgs.buildManylinuxWheel {
    package = demo;
    policy = "manylinux2014";
  };
in
pkgs.runCommand "rust-for-manylinux2014" { passthru.wheel = wheel; } ''
  cd ${wheel}
  ls *.whl > $out
''
