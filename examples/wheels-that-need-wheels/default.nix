# PySide6 loads a library of the wheel shiboken6. Listed as a dependency, it is
# found in its own store path:
#
#   nix-build examples/wheels-that-need-wheels && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs) fetchPypi;
  inherit (pkgs.python3Packages) python buildPythonPackage;

  fetch =
    file: hash:
    fetchPypi {
      pythonVersion = python.version;
      files = [ { inherit file hash; } ];
    };

  shiboken6 = buildPythonPackage {
    pname = "shiboken6";
    version = "6.12.0";
    format = "manylinux_2_34";
    src =
      fetch "shiboken6-6.12.0-cp310-abi3-manylinux_2_34_x86_64.whl"
        "sha256-O95WW7CJAES1x/Y4CK3d7eWrwkHpOVor/tYZGYhNYkA=";
  };

  pyside6 = buildPythonPackage {
    pname = "pyside6-essentials";
    version = "6.12.0";
    format = "manylinux_2_34";
    src =
      fetch "pyside6_essentials-6.12.0-cp310-abi3-manylinux_2_34_x86_64.whl"
        "sha256-FvS15B2vSSNa4EhFgkPanv5fPYBA+cxapFTOaYk9O9k=";
    dependencies = [ shiboken6 ];
    propagatedBuildInputs = [ shiboken6 ]; # for nixpkgs before `dependencies`
    buildInputs = [
      pkgs.brotli
      pkgs.dbus
      pkgs.fontconfig
      pkgs.freetype
      pkgs.libkrb5
      pkgs.libxkbcommon
      pkgs.zstd
    ];
    # What this package does without, by the files that would want it.
    manylinuxFixupFlags = [ "--missing=warn" ];
    pythonImportsCheck = [ "PySide6.QtWidgets" ];
  };
in
pkgs.runCommand "wheels-that-need-wheels"
  { nativeBuildInputs = [ (python.withPackages (_: [ pyside6 ])) ]; }
  ''
    python3 -c 'import PySide6.QtCore as core; print(core.QPoint(1, 2) + core.QPoint(3, 4))' > $out
  ''
