# shellcheck shell=bash
# A part of manylinuxFixupHook, for who has misspelt a variable. Sourced with the
# names that are known, which nix/variable-names.nix has.

declare -ga _manylinuxVariables=("$@")

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
  # Not `compgen -v`: nixpkgs builds with a bash that has no readline, and so no compgen.
  for name in "${!m@}" "${!M@}" "${!d@}" "${!D@}" "${!a@}" "${!A@}"; do
    case ${name,,} in
    manylinux* | dontmanylinux* | dontusemanylinux* | autopatchelf* | dontautopatchelf*) ;;
    *) continue ;;
    esac
    case " ${_manylinuxVariables[*]} " in
    *" $name "*)
      if [[ $name == manylinuxAutoLibs ]]; then
        echo "manylinuxFixup: WARNING: $name is an argument of buildPythonPackage; here the same is: buildInputs = pythonManylinuxPackages.common;" >&2
      fi
      ;;
    *) echo "manylinuxFixup: WARNING: no hook reads $name: is $(_manylinuxFixupNearest "$name") meant?" >&2 ;;
    esac
  done
}
