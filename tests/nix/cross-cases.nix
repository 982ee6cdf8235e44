# A set for another platform, built on this one (ring one).
{ pkgs, wheels }:
let
  inherit (pkgs.hostPython.pkgs) buildPythonPackage;
in
{
  cryptography = buildPythonPackage {
    pname = "cryptography";
    version = "50.0.2";
    format = "manylinux2014";
    src =
      wheels + "/cryptography-50.0.2-cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl";
  };
  # This machine's wheel, for that platform.
  foreign = buildPythonPackage {
    pname = "orjson";
    version = "3.13.0";
    format = "manylinux2014";
    src =
      wheels + "/orjson-3.13.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
  };
  # One source for two machines, each by its own set.
  matrix = pkgs.buildPackages.manylinuxWheels {
    package = python: python.pkgs.callPackage ./by-zig.nix { };
    pythons = [
      pkgs.buildPackages.hostPython
      pkgs.hostPython
    ];
  };
  tool = "${pkgs.buildPackages.nix-manylinux}";
  hook = "${pkgs.manylinuxFixupHook}";
  inherit (pkgs) glibc;
}
