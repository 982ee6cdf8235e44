# shellcheck shell=bash
# A part of manylinuxFixupHook, for who has misspelt a variable, or set another
# hook's. Sourced with the names that are known, which variable-names.nix has.

declare -ga _manylinuxVariables=("$@")

# Variables that this hook doesn't read, and what is written in their place.
declare -gA _manylinuxInstead=(
  [autoPatchelfIgnoreMissingDeps]='manylinuxIgnoreMissingDeps, of which each entry has to be needed; in place of "*" or true: manylinuxFixupFlags = [ "--missing=warn" ];'
  [runtimeDependencies]='manylinuxRuntimeLibs, with the same list'
  [appendRunpaths]='manylinuxAppendRpaths, with the same list'
  [extraAutoPatchelfLibs]='addManylinuxSearchPath DIR... in preFixup, or nothing where DIR is of the package itself'
  [autoPatchelfFlags]='manylinuxFixupFlags (--keep-libc is the same), or nothing'
  [patchelfFlags]='nothing, since it is not patchelf that links here'
  [manylinuxAutoLibs]='buildInputs = pythonManylinuxPackages.common; (it is an argument of buildPythonPackage)'
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

# Names variables that look like ours or are autoPatchelfHook's, and that no hook reads.
_manylinuxFixupMisspelt() {
  local -a items
  local name
  for name in "${!_manylinuxInstead[@]}"; do
    # autoPatchelf reads its own, where it was brought back.
    if [[ $name != manylinux* && -z ${dontAutoPatchelf-} ]] && declare -F autoPatchelfPostFixup >/dev/null; then
      continue
    fi
    _manylinuxFixupRead items "$name" || return
    if ((${#items[@]})); then
      echo "manylinuxFixup: WARNING: this hook doesn't read $name; here the same is: ${_manylinuxInstead[$name]}" >&2
    fi
  done
  local IFS=' '
  # Not `compgen -v`: nixpkgs builds with a bash that has no readline, and so no compgen.
  for name in "${!m@}" "${!M@}" "${!d@}" "${!D@}" "${!a@}" "${!A@}"; do
    case ${name,,} in
    manylinux* | dontmanylinux* | dontusemanylinux* | autopatchelf* | dontautopatchelf*) ;;
    *) continue ;;
    esac
    case " ${_manylinuxVariables[*]} ${!_manylinuxInstead[*]} autoPatchelfLibs " in
    *" $name "*) ;; # the last is what autoPatchelfHook gathers for itself
    *) echo "manylinuxFixup: WARNING: no hook reads $name: is $(_manylinuxFixupNearest "$name") meant?" >&2 ;;
    esac
  done
}
