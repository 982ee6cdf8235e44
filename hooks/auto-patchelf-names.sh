# shellcheck shell=bash
# A part of manylinuxFixupHook: the variables and functions of autoPatchelfHook,
# so that changing the hook's name is all that a package has to do.

# With this file they are read.
for _manylinuxName in autoPatchelfIgnoreMissingDeps runtimeDependencies appendRunpaths \
  extraAutoPatchelfLibs autoPatchelfFlags patchelfFlags; do
  unset "_manylinuxInstead[$_manylinuxName]"
done
unset _manylinuxName

# Its variables, as options of the command: into `arguments`, the caller's array.
_manylinuxFixupAutoPatchelfArguments() {
  local -a items
  local item
  _manylinuxFixupOption --libs extraAutoPatchelfLibs || return
  _manylinuxFixupOption --append-rpath appendRunpaths || return
  _manylinuxFixupRead items runtimeDependencies || return
  for item in "${items[@]}"; do
    arguments+=("--runtime-libs=$item/lib")
  done
  _manylinuxFixupRead items autoPatchelfIgnoreMissingDeps || return
  for item in "${items[@]}"; do
    case $item in
    1 | '*') arguments+=("--missing=warn") ;;
    # autoPatchelf never says when an entry has outlived its reason.
    *) arguments+=("--ignore-if-missing=$item") ;;
    esac
  done
  _manylinuxFixupRead items autoPatchelfFlags || return
  for item in "${items[@]}"; do
    case $item in
    --keep-libc) arguments+=("$item") ;;
    *) echo "manylinuxFixup: autoPatchelfFlags: $item has no counterpart and is left out" >&2 ;;
    esac
  done
  _manylinuxFixupRead items patchelfFlags || return
  if ((${#items[@]})); then
    echo "manylinuxFixup: patchelfFlags is left out: it is for patchelf, which is not what links here" >&2
  fi
}

# addAutoPatchelfSearchPath [--no-recurse] [--] DIR...: as autoPatchelfHook has
# it, every folder below DIR that holds a shared library. Its own function, if it
# is sourced after this one, fills the same array.
addAutoPatchelfSearchPath() {
  local -a depth=() found=() folders=()
  local directory
  while (($#)); do
    case $1 in
    --)
      shift
      break
      ;;
    --no-recurse) depth=(-maxdepth 1) ;;
    -*)
      echo "addAutoPatchelfSearchPath: ERROR: Invalid command line argument: $1" >&2
      return 1
      ;;
    *) break ;;
    esac
    shift
  done
  for directory; do
    # A name that begins with a dash would be an option of find.
    [[ $directory == /* ]] || directory=$PWD/$directory
    folders+=("$directory")
  done
  mapfile -d '' -t found < <(
    find "${folders[@]}" "${depth[@]}" ! -type d \( -name '*.so' -o -name '*.so.*' \) -printf '%h\0' | LC_ALL=C sort -zu
  )
  for directory in "${found[@]}"; do
    extraAutoPatchelfLibs+=("$directory")
  done
}

# autoPatchelf [--no-recurse] [--] PATH...: for packages that call it by hand.
autoPatchelf() {
  while (($#)); do
    case $1 in
    --)
      shift
      break
      ;;
    --no-recurse) echo "autoPatchelf: manylinuxFixupHook patches whole trees: --no-recurse is left out" >&2 ;;
    -*)
      echo "autoPatchelf: ERROR: Invalid command line argument: $1" >&2
      return 1
      ;;
    *) break ;;
    esac
    shift
  done
  manylinuxFixup -- "$@"
}
