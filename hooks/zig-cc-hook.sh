# shellcheck shell=bash
# Sourced where manylinuxStdenv builds: CC, and what the compiler has to be told of inputs.

# What it compiles of its own, the C library's start files and C++'s library.
export ZIG_GLOBAL_CACHE_DIR=${ZIG_GLOBAL_CACHE_DIR-${TMPDIR-/tmp}/zig-cache}
export ZIG_LOCAL_CACHE_DIR=$ZIG_GLOBAL_CACHE_DIR

export CC=@out@/bin/cc CXX=@out@/bin/c++

# What rustc compiles is linked by it, too: this comes behind nixpkgs' own choice of a linker.
_zigCargoFlags=CARGO_TARGET_@cargo@_RUSTFLAGS
export "$_zigCargoFlags=${!_zigCargoFlags-} -Clinker=@out@/bin/cc"

_zigCompilerInput() {
  if [[ -d $1/include ]]; then
    export NIX_ZIG_CFLAGS+=" -isystem $1/include"
  fi
  if [[ -d $1/lib ]]; then
    export NIX_ZIG_LDFLAGS+=" -L$1/lib -Wl,-rpath,$1/lib"
  fi
}

# shellcheck disable=SC2154
addEnvHooks "$targetOffset" _zigCompilerInput
