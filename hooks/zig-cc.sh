#!@shell@
# shellcheck shell=bash
# The compiler of manylinuxStdenv: zig's, for one machine and one glibc.
set -eu

mode=cc
case ${0##*/} in
*++) mode=c++ ;;
esac

links=1
words=()
for word; do
  case $word in
  # zig's linker has no such options, without which the same is linked.
  -Wl,-Bsymbolic-functions | -Wl,-Bsymbolic-non-weak-functions | -Wl,--sort-common) continue ;;
  # setuptools compiles C++ with CC, which is gcc's way to tell by the name.
  *.cpp | *.cc | *.cxx | *.C | *.c++) mode=c++ ;;
  -c | -S | -E | -M | -MM) links= ;;
  esac
  words+=("$word")
done

# What nixpkgs' own wrapper adds: where the inputs' headers and libraries are.
read -ra more <<<"${NIX_ZIG_CFLAGS-} ${NIX_CFLAGS_COMPILE-}"
if [[ -n $links ]]; then
  read -ra libraries <<<"${NIX_ZIG_LDFLAGS-}"
  more+=("${libraries[@]}")
fi

# Undefined behaviour is compiled as others compile it: zig's checks would put the
# build's paths into the data. Paths in debug information say nothing of the machine.
exec @zig@ "$mode" -target @target@ -fno-sanitize=undefined \
  "-ffile-prefix-map=${NIX_BUILD_TOP-/build}=/build" "${words[@]}" "${more[@]}"
