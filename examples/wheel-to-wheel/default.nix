# A wheel in, a wheel out, for whatever takes wheels; here nixpkgs' own function:
#
#   nix-build examples/wheel-to-wheel && cat result
{
  pkgs ? import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; },
}:
let
  inherit (pkgs) fetchPypi patchManylinuxWheel;
  inherit (pkgs.python3Packages) python buildPythonPackage;

  wheel = patchManylinuxWheel {
    src = fetchPypi {
      pythonVersion = python.version;
      files = [
        {
          file = "pillow-13.0.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
          hash = "sha256-piXfmipVl/peUmbgGu/IJgS7hdKR41R5gehjVg112mw=";
        }
      ];
    };
    libs = [ pkgs.zlib ];
  };

  pillow = buildPythonPackage {
    pname = "pillow";
    version = "13.0.0";
    format = "wheel";
    src = wheel;
  };
in
pkgs.runCommand "wheel-to-wheel" { nativeBuildInputs = [ (python.withPackages (_: [ pillow ])) ]; } ''
  python3 -c 'from PIL import Image; print(Image.new("RGB", (3, 4)).rotate(90, expand=True))' |
    sed 's/ at 0x.*>/>/' > $out
''
