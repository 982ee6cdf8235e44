# A stdenv whose compiler links for the glibc of a policy, however new nixpkgs'
# own is: zig's, which knows the symbols of every glibc. For C, and for C++ in
# one library.
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

  # zig's names of machines and their ABIs.
  targets = {
    x86_64 = "x86_64-linux-gnu";
    i686 = "x86-linux-gnu";
    aarch64 = "aarch64-linux-gnu";
    armv7l = "arm-linux-gnueabihf";
    ppc64le = "powerpc64le-linux-gnu";
    s390x = "s390x-linux-gnu";
    riscv64 = "riscv64-linux-gnu";
    loongarch64 = "loongarch64-linux-gnu";
  };
  machine = stdenv.hostPlatform.uname.processor;
  target =
    targets.${machine}
      or (throw "nix-manylinux: manylinuxStdenv: zig is not known to link for ${machine}");

  compiler = runCommand "zig-cc-glibc-${glibc}" {
    zig = lib.getExe' buildPackages.zig "zig";
    target = "${target}.${glibc}";
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
    sed "s|@out@|$out|" ${../hooks/zig-cc-hook.sh} > $out/nix-support/setup-hook
    # ar, strip and all else are those of the platform.
    echo $bintools > $out/nix-support/propagated-build-inputs
  '';
in
overrideCC stdenv compiler
