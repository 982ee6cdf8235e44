# shellcheck shell=bash
# Setup hook: installs the wheels in dist/, as nixpkgs' pypaInstallHook does, on
# all cores. The manual tells what is the same and what is not.

# stdenv sources hooks of every platform's inputs, and this one starts a command: see
# manylinuxFixupHook, which says the same.
if [[ "${hostOffset:--1} ${targetOffset:-0}" != "-1 0" && -z ${IN_NIX_SHELL-} ]]; then
  echo "manylinuxInstallHook: ERROR: found among the inputs of another platform (offsets ${hostOffset-} and ${targetOffset-})" >&2
  echo "  It belongs in nativeBuildInputs, not in buildInputs: what it runs is for the machine that builds." >&2
  return 1
fi

# The hook of the top level and that of a Python set may meet in one build.
if [[ -n ${_manylinuxInstallSourced-} ]]; then
  return 0
fi
_manylinuxInstallSourced=1

declare -g _manylinuxInstallPython=
declare -g _manylinuxInstallSitePackages=

# Called by stdenv for each input: the interpreter that the package is for.
_manylinuxInstallGather() {
  local directory name
  for directory in "$1"/lib/python[0-9]* "$1"/lib/pypy[0-9]*; do
    name=${directory##*/}
    if [[ -z $_manylinuxInstallPython && -e $directory/os.py && -x $1/bin/$name ]]; then
      _manylinuxInstallPython=$1/bin/$name
      _manylinuxInstallSitePackages=lib/$name/site-packages
    fi
  done
}

# The interpreter is one of buildInputs, whatever list the hook itself is in.
addEnvHooks 0 _manylinuxInstallGather

# manylinuxInstallWheel WHEEL...
# Installs wheels into $out, by one call: packages, commands, data, bytecode.
# stdenv sets `out`, and the derivation the flags.
# shellcheck disable=SC2154
manylinuxInstallWheel() {
  local -a flags=()
  if [[ -z $_manylinuxInstallPython ]]; then
    echo "manylinuxInstallHook: ERROR: there is no Python among the build inputs that it could install for" >&2
    return 1
  fi
  case $(declare -p manylinuxInstallFlags 2>/dev/null || true) in
  "declare -a"*) flags=("${manylinuxInstallFlags[@]}") ;;
  *) read -r -d '' -a flags <<<"${manylinuxInstallFlags-}" || true ;;
  esac
  # What the build has on PYTHONPATH must not reach the tool.
  env -u PYTHONPATH -u PYTHONHOME PYTHONNOUSERSITE=1 NO_COLOR=1 "@nixManylinux@" install --no-link \
    "--python=$_manylinuxInstallPython" "--prefix=$out" "${flags[@]}" -- "$@"
}

manylinuxInstallPhase() {
  echo "Executing manylinuxInstallPhase"
  runHook preInstall

  manylinuxInstallWheel dist/*.whl

  export PYTHONPATH="$out/$_manylinuxInstallSitePackages:${PYTHONPATH-}"

  runHook postInstall
  echo "Finished executing manylinuxInstallPhase"
}

# A package's own installPhase stays what it is.
if [[ -z ${dontUseManylinuxInstall-} && -z ${dontUsePypaInstall-} ]]; then
  case ${installPhase-} in
  "" | pypaInstallPhase) installPhase=manylinuxInstallPhase ;;
  esac
fi
