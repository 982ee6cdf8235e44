# Which of numpy's wheels does an interpreter get? Pure Nix, no nixpkgs:
#
#   nix-instantiate --eval --strict --json examples/select-wheel
let
  manylinux = import ../../nix/lib;

  files = map (tags: "numpy-2.4.6-${tags}.whl") [
    "cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64"
    "cp311-cp311-musllinux_1_2_x86_64"
    "cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64"
    "cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64"
    "cp313-cp313t-manylinux_2_27_x86_64.manylinux_2_28_x86_64"
    "cp311-cp311-macosx_14_0_arm64"
    "cp311-cp311-win_amd64"
  ];

  interpreters = {
    "CPython 3.11 on Debian 12" = {
      pythonVersion = "3.11.2";
      arch = "x86_64";
      libcVersion = "2.36";
    };
    "the same on Alpine" = {
      pythonVersion = "3.11.9";
      arch = "x86_64";
      libc = "musl";
      libcVersion = "1.2.5";
    };
    "on a 64-bit ARM" = {
      pythonVersion = "3.11";
      arch = "aarch64";
      libcVersion = "2.40";
    };
    "free-threaded 3.13" = {
      pythonVersion = "3.13";
      freeThreaded = true;
      arch = "x86_64";
      libcVersion = "2.40";
    };
    "CPython 3.11 on CentOS 7" = {
      pythonVersion = "3.11";
      arch = "x86_64";
      libcVersion = "2.17";
    };
  };
in
builtins.mapAttrs (
  _: description:
  let
    query = {
      python = manylinux.interpreter description;
      inherit files;
    };
    chosen = manylinux.selectWheel query;
  in
  if chosen == null then manylinux.describeFiles query else chosen
) interpreters
