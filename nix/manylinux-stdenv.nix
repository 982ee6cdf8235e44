# A stdenv whose compiler links for the glibc of a policy, however new nixpkgs'
# own is: zig's, which knows the symbols of every glibc. For C, for C++ in one
# library, and for what rustc has compiled.
{
  lib,
  stdenv,
  overrideCC,
  runCommand,
  buildPackages,
}:
# "manylinux_2_17", "manylinux2014": how old a system may be.
policy:
let
  manylinux = import ./lib;

  format = manylinux.parseFormat policy;
  glibc =
    if format == null || format.family != "manylinux" then
      throw ''
        nix-manylinux: manylinuxStdenv: "${policy}" is no manylinux policy.
          Write "manylinux2014", or "manylinux_X_Y", where X.Y is a version of glibc.''
    else
      "${toString format.major}.${toString format.minor}";

  # Machines: zig's names of them with their ABIs, and cargo's in names of variables.
  targets = {
    x86_64 = {
      zig = "x86_64-linux-gnu";
      cargo = "X86_64_UNKNOWN_LINUX_GNU";
    };
    i686 = {
      zig = "x86-linux-gnu";
      cargo = "I686_UNKNOWN_LINUX_GNU";
    };
    aarch64 = {
      zig = "aarch64-linux-gnu";
      cargo = "AARCH64_UNKNOWN_LINUX_GNU";
    };
    armv7l = {
      zig = "arm-linux-gnueabihf";
      cargo = "ARMV7_UNKNOWN_LINUX_GNUEABIHF";
    };
    ppc64le = {
      zig = "powerpc64le-linux-gnu";
      cargo = "POWERPC64LE_UNKNOWN_LINUX_GNU";
    };
    s390x = {
      zig = "s390x-linux-gnu";
      cargo = "S390X_UNKNOWN_LINUX_GNU";
    };
    riscv64 = {
      zig = "riscv64-linux-gnu";
      cargo = "RISCV64GC_UNKNOWN_LINUX_GNU";
    };
    loongarch64 = {
      zig = "loongarch64-linux-gnu";
      cargo = "LOONGARCH64_UNKNOWN_LINUX_GNU";
    };
  };
  machine = stdenv.hostPlatform.uname.processor;
  target =
    targets.${machine}
      or (throw "nix-manylinux: manylinuxStdenv: zig is not known to link for ${machine}");

  compiler = runCommand "zig-cc-glibc-${glibc}" {
    zig = lib.getExe' buildPackages.zig "zig";
    target = "${target.zig}.${glibc}";
    inherit (target) cargo;
    inherit (stdenv) shell;
    bintools = stdenv.cc.bintools;
    passthru = {
      isClang = true;
      isGNU = false;
      targetPrefix = stdenv.cc.targetPrefix or "";
      inherit (stdenv.cc) bintools libc;
      libcVersion = glibc;
    };
    meta.mainProgram = "cc";
  } ''
    mkdir -p $out/bin $out/nix-support
    sed -e "s|@shell@|$shell|; s|@zig@|$zig|; s|@target@|$target|" ${../hooks/zig-cc.sh} > $out/bin/cc
    chmod +x $out/bin/cc
    for name in gcc clang c++ g++ clang++; do
      ln -s cc $out/bin/$name
    done
    sed "s|@out@|$out|g; s|@cargo@|$cargo|g" ${../hooks/zig-cc-hook.sh} > $out/nix-support/setup-hook
    # ar, strip and all else are those of the platform.
    echo $bintools > $out/nix-support/propagated-build-inputs
  '';
in
overrideCC stdenv compiler
