# The hook beside a format that nixpkgs knows, with libraries that no policy has:
#
#   nix-build examples/opencv-with-hook && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs) fetchPypi manylinuxFixupHook pythonManylinuxPackages;
  inherit (pkgs.python3Packages) python buildPythonPackage;

  numpy = buildPythonPackage {
    pname = "numpy";
    version = "2.4.6";
    format = "manylinux_2_28";
    src = fetchPypi {
      pythonVersion = python.version;
      files = [
        {
          file = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
          hash = "sha256-ic1Gg5nP0lBHGPC6UOQQ3KVaFwthoCrZK7GMimUYbpM=";
        }
      ];
    };
  };

  opencv = buildPythonPackage {
    pname = "opencv-python";
    version = "5.0.0.93";
    format = "wheel";
    src = fetchPypi {
      pythonVersion = python.version;
      files = [
        {
          file = "opencv_python-5.0.0.93-cp37-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
          hash = "sha256-+LbQohIlPdJq0zjIEvHyPKEY/fBanIxrlETxYaqMWIE=";
        }
      ];
    };
    nativeBuildInputs = [ manylinuxFixupHook ];
    # What the hook asks for if this is left out is printed ready to paste.
    buildInputs = pythonManylinuxPackages.manylinux2014 ++ [ pkgs.libxcb ];
    dependencies = [ numpy ];
    propagatedBuildInputs = [ numpy ]; # for nixpkgs before `dependencies`
    pythonImportsCheck = [ "cv2" ];
  };
in
pkgs.runCommand "opencv-with-hook"
  { nativeBuildInputs = [ (python.withPackages (_: [ opencv ])) ]; }
  ''
    python3 -c 'import cv2, numpy; print(cv2.countNonZero(numpy.eye(5)))' > $out
  ''
