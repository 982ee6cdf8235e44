# Packages of real wheels, written as a user would write them.
{ pkgs, wheels }:
let
  manylinux = import ../../nix/lib;
  python = pkgs.hostPython;
  inherit (python.pkgs) buildPythonPackage buildPythonApplication;

  x86_64 = "manylinux_2_17_x86_64.manylinux2014_x86_64";

  arguments = {
    numpy = {
      pname = "numpy";
      version = "1.26.4";
      format = "manylinux2014";
      src = wheels + "/numpy-1.26.4-cp311-cp311-${x86_64}.whl";
      pythonImportsCheck = [ "numpy" ];
    };
    # The newer one that pandas and opencv ask for.
    numpy_2 = {
      pname = "numpy";
      version = "2.4.6";
      format = "manylinux_2_28";
      src = wheels + "/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
      pythonImportsCheck = [ "numpy" ];
    };
    pillow = {
      pname = "pillow";
      version = "13.0.0";
      format = "manylinux_2_28";
      src = wheels + "/pillow-13.0.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
      pythonImportsCheck = [ "PIL.Image" ];
    };
    pandas = {
      pname = "pandas";
      version = "3.1.1";
      format = "manylinux_2_28";
      src = wheels + "/pandas-3.1.1-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl";
      propagatedBuildInputs = [
        packages.numpy_2
        python.pkgs.python-dateutil
        python.pkgs.six
      ];
      pythonImportsCheck = [ "pandas" ];
    };
    opencv = {
      pname = "opencv-python";
      version = "5.0.0.93";
      format = "manylinux2014";
      src =
        wheels + "/opencv_python-5.0.0.93-cp37-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
      buildInputs = [ pkgs.libxcb ];
      propagatedBuildInputs = [ packages.numpy_2 ];
      pythonImportsCheck = [ "cv2" ];
    };
    ruff = {
      pname = "ruff";
      version = "0.17.6";
      format = "manylinux2014";
      src = wheels + "/ruff-0.17.6-py3-none-${x86_64}.whl";
      meta.mainProgram = "ruff";
    };
    shiboken6 = {
      pname = "shiboken6";
      version = "6.12.0";
      format = "manylinux_2_34";
      src = wheels + "/shiboken6-6.12.0-cp310-abi3-manylinux_2_34_x86_64.whl";
      pythonImportsCheck = [ "shiboken6" ];
    };
    pyside6 = {
      pname = "pyside6-essentials";
      version = "6.12.0";
      format = "manylinux_2_34";
      src = wheels + "/pyside6_essentials-6.12.0-cp310-abi3-manylinux_2_34_x86_64.whl";
      propagatedBuildInputs = [ packages.shiboken6 ];
      buildInputs = [
        pkgs.libxkbcommon
        pkgs.dbus
        pkgs.fontconfig
        pkgs.freetype
        pkgs.zstd
        pkgs.brotli
        pkgs.libkrb5
      ];
      # Plugins for what this package leaves out: Wayland, X11, databases,
      # printers, and Qt modules that other wheels bring.
      manylinuxIgnoreMissingDeps = [
        "libQt6*"
        "libQt63D*"
        "libX11-xcb.so.1"
        "libxcb-*"
        "libxcb.so.1"
        "libxkbcommon-x11.so.0"
        "libwayland-*"
        "libdrm.so.2"
        "libgbm.so.1"
        "libcups.so.2"
        "PySide6/Qt/plugins/sqldrivers/*:libclntsh.so.*"
        "PySide6/Qt/plugins/sqldrivers/*:libfbclient.so.*"
        "PySide6/Qt/plugins/sqldrivers/*:libmimerapi.so"
        "PySide6/Qt/plugins/sqldrivers/*:libmysqlclient.so.*"
        "PySide6/Qt/plugins/sqldrivers/*:libodbc.so.*"
        "PySide6/Qt/plugins/sqldrivers/*:libpq.so.*"
      ]
      ++ map (name: "PySide6/Qt/plugins/platformthemes/*:lib${name}*") [
        "atk"
        "cairo"
        "gdk"
        "gtk"
        "harfbuzz"
        "pango"
      ];
      pythonImportsCheck = [
        "PySide6.QtCore"
        "PySide6.QtGui"
        "PySide6.QtWidgets"
      ];
    };
  };

  build = name: if name == "ruff" then buildPythonApplication else buildPythonPackage;
  packages = builtins.mapAttrs build arguments;

  # The same without the shorthand: a format that nixpkgs knows, the hook, and
  # the libraries of the policy.
  byHook = builtins.mapAttrs (
    name: given:
    build name (
      given
      // {
        format = "wheel";
        nativeBuildInputs = [ pkgs.manylinuxFixupHook ];
        buildInputs = given.buildInputs or [ ] ++ pkgs.pythonManylinuxPackages.${(manylinux.policyFor given.format).name};
      }
    )
  ) arguments;

  # Wheel to wheel, and what nixpkgs' own function installs from that.
  patchedWheel = pkgs.patchManylinuxWheel { inherit (arguments.pillow) src; };
in
{
  inherit packages byHook patchedWheel;
  fromPatchedWheel = buildPythonPackage {
    pname = "pillow";
    version = "13.0.0";
    format = "wheel";
    src = patchedWheel;
    pythonImportsCheck = [ "PIL.Image" ];
  };

  # One environment of all of them, made by the tree's own function.
  environment = python.buildEnv.override {
    extraLibs = [
      packages.pandas
      packages.pillow
      packages.opencv
      packages.pyside6
      python.pkgs.manylinux-compat
    ];
    ignoreCollisions = false;
  };
}
