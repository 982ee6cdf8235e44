# shellcheck shell=bash
# A part of manylinuxFixupHook: the names of its variables, for who has misspelt
# one, or reads of an option of the command. Other hooks of ours add theirs.

_manylinuxVariables+=(
  dontManylinuxFixup
  manylinuxRuntimeLibs
  manylinuxAppendRpaths
  manylinuxIgnoreMissingDeps
  manylinuxProvidedLater
  manylinuxDriverLibs
  manylinuxExclude
  manylinuxAllowForeign
  manylinuxPolicy
  manylinuxFixupFlags
)

# _manylinuxFixupNearest NAME: of the names that are known the one that has most
# of its beginning and of its end in common with NAME.
_manylinuxFixupNearest() {
  local name=${1,,} known other nearest=
  local -i start end most=-1
  for known in "${_manylinuxVariables[@]}"; do
    other=${known,,}
    for ((start = 0; start < ${#name} && start < ${#other}; start++)); do
      [[ ${name:start:1} == "${other:start:1}" ]] || break
    done
    for ((end = 0; start + end < ${#name} && start + end < ${#other}; end++)); do
      [[ ${name: -end-1:1} == "${other: -end-1:1}" ]] || break
    done
    if ((start + end > most)); then
      most=$((start + end)) nearest=$known
    fi
  done
  echo "$nearest"
}

# Names variables that look like ours, and that no hook reads.
_manylinuxFixupMisspelt() {
  local name IFS=' '
  while IFS= read -r name; do
    case ${name,,} in
    manylinux* | dontmanylinux* | dontusemanylinux*) ;;
    *) continue ;;
    esac
    case " ${_manylinuxVariables[*]} " in
    *" $name "*) ;;
    *) echo "manylinuxFixup: WARNING: no hook reads $name: is $(_manylinuxFixupNearest "$name") meant?" >&2 ;;
    esac
  done < <(compgen -v)
}

# What an error calls an option stands in a derivation under another name.
_manylinuxFixupOptionNames() {
  cat >&2 <<'TEXT'
manylinuxFixup: in Nix --ignore-missing is manylinuxIgnoreMissingDeps, --provided-later manylinuxProvidedLater,
  --exclude manylinuxExclude, --allow-foreign manylinuxAllowForeign, --runtime-libs manylinuxRuntimeLibs,
  --driver-lib and --driver-dir manylinuxDriverLibs, --append-rpath manylinuxAppendRpaths; others stand in manylinuxFixupFlags
TEXT
}
