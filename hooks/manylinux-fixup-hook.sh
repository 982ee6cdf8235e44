# shellcheck shell=bash
# Setup hook: links what a build took from manylinux wheels to the libraries of
# its inputs. Bash gathers and calls here, every decision is the command's.
# The manual lists the variables and functions.

# Libraries are gathered for the platform that the package is for: a build that
# has the hook among that platform's inputs would start a command that may be for
# another machine. A shell has one platform, and `nix-shell -p` puts all that it is
# given into buildInputs. An `exit` here would end the shell.
if [[ "${hostOffset:--1} ${targetOffset:-0}" != "-1 0" && -z ${IN_NIX_SHELL-} ]]; then
  echo "manylinuxFixupHook: ERROR: found among the inputs of another platform (offsets ${hostOffset-} and ${targetOffset-})" >&2
  echo "  It belongs in nativeBuildInputs, not in buildInputs: what it runs is for the machine that builds." >&2
  return 1
fi

# The hook of the top level and that of a Python set may meet in one build.
if [[ -n ${_manylinuxFixupSourced-} ]]; then
  return 0
fi
_manylinuxFixupSourced=1

# Setup hooks are sourced inside a function: without -g these would be local.
declare -ga _manylinuxFixupLibs=()
declare -ga _manylinuxFixupBuildToolLibs=()
declare -ga _manylinuxFixupPythonLibs=()
declare -ga _manylinuxFixupSearchPath=()
declare -g _manylinuxFixupPython=
declare -g _manylinuxFixupCalled=

# strip misaligns what patchelf grew, shrink-rpath turns inherited DT_RPATH into
# RUNPATH and drops the directories of drivers and of dlopen, autoPatchelf does
# both. Only what is unset is set: `dontStrip = false` arrives as an empty string.
declare -g _manylinuxFixupKeepsSymbols=
if [[ -z ${dontStrip+set} ]]; then
  dontStrip=1 _manylinuxFixupKeepsSymbols=1
fi
: "${dontPatchELF=1}" "${dontAutoPatchelf=1}"

# The audit of search paths and wrappers is a part of the patch, which reads every
# file anyway: stdenv's own starts patchelf for each. It may be left to stdenv: then this
# goes, and what names _manylinuxFixupAudit.
declare -g _manylinuxFixupAudits=
if [[ -z ${noAuditTmpdir+set} ]]; then
  noAuditTmpdir=1 _manylinuxFixupAudits=1
fi

# For the `_manylinux` module of manylinux-compat, where a build has it.
export NIX_PYTHON_MANYLINUX="${NIX_PYTHON_MANYLINUX-${manylinuxPolicy:-1}}"

# _manylinuxFixupAdd ARRAY VALUE: appends VALUE unless it is there already.
_manylinuxFixupAdd() {
  local -n _manylinuxArray=$1
  local value
  for value in "${_manylinuxArray[@]}"; do
    [[ $value != "$2" ]] || return 0
  done
  _manylinuxArray+=("$2")
}

# _manylinuxFixupIsBuildTool PACKAGE: true where stdenv shows us a package that
# is not an input of the host platform. Only builds without strictDeps do that.
_manylinuxFixupIsBuildTool() {
  local package
  [[ -z ${strictDeps-} ]] || return 1
  # stdenv's own lists, filled before it calls the first of these hooks.
  # shellcheck disable=SC2154
  for package in "${pkgsHostHost[@]}" "${pkgsHostTarget[@]}"; do
    [[ $package != "$1" ]] || return 1
  done
}

# Called by stdenv for each input, transitively, in order.
_manylinuxFixupGather() {
  local directory name
  if _manylinuxFixupIsBuildTool "$1"; then
    # autoPatchelfHook would find libraries here, so we do, after all others.
    if [[ -d $1/lib ]]; then
      _manylinuxFixupAdd _manylinuxFixupBuildToolLibs "$1/lib"
    fi
    return 0
  fi
  if [[ -d $1/lib ]]; then
    _manylinuxFixupAdd _manylinuxFixupLibs "$1/lib"
  fi
  for directory in "$1"/lib/python[0-9]* "$1"/lib/pypy[0-9]*; do
    if [[ -d $directory/site-packages ]]; then
      _manylinuxFixupAdd _manylinuxFixupPythonLibs "$directory/site-packages"
    fi
    name=${directory##*/}
    if [[ -z $_manylinuxFixupPython && -e $directory/os.py && -x $1/bin/$name ]]; then
      _manylinuxFixupPython=$1/bin/$name
    fi
  done
}

# Those of buildInputs, whatever list the hook itself is in.
addEnvHooks 0 _manylinuxFixupGather

# _manylinuxFixupRead ARRAY NAME: the list attribute NAME. It is an array with
# __structuredAttrs, and without a string that the shell splits as stdenv does.
_manylinuxFixupRead() {
  local -n _manylinuxItems=$1
  local declaration flags
  _manylinuxItems=()
  declaration=$(declare -p "$2" 2>/dev/null) || return 0
  flags=${declaration#declare -}
  flags=${flags%% *}
  local -n _manylinuxValue=$2
  case $flags in
  *A*)
    echo "manylinuxFixup: ERROR: $2 is an attribute set, and has to be a list" >&2
    return 1
    ;;
  *a*) _manylinuxItems=("${_manylinuxValue[@]}") ;;
  *) read -r -d '' -a _manylinuxItems <<<"${_manylinuxValue-}" || true ;;
  esac
}

# shellcheck source=/dev/null
source "@variableNames@" @names@
# shellcheck source=/dev/null
source "@autoPatchelfNames@"

# _manylinuxFixupOption OPTION NAME: adds `OPTION=item` to `arguments`, the
# caller's array, for each item of the list NAME. One word each, so that no
# value can pass for an option.
_manylinuxFixupOption() {
  local -a items
  local item
  _manylinuxFixupRead items "$2" || return
  for item in "${items[@]}"; do
    arguments+=("$1=$item")
  done
}

# All that the command is told, but for the paths: into `arguments`.
_manylinuxFixupArguments() {
  local -a items
  local item
  # Not ((...)): arithmetic runs what stands in the index of an array's name.
  case ${NIX_DEBUG-} in
  "" | 0) ;;
  *) arguments+=(-v) ;;
  esac
  for item in "${_manylinuxFixupSearchPath[@]}" "${_manylinuxFixupLibs[@]}" "${_manylinuxFixupBuildToolLibs[@]}"; do
    arguments+=("--libs=$item")
  done
  for item in "${_manylinuxFixupPythonLibs[@]}"; do
    arguments+=("--python-libs=$item")
  done
  _manylinuxFixupAutoPatchelfArguments || return
  _manylinuxFixupRead items manylinuxRuntimeLibs || return
  for item in "${items[@]}"; do
    # A package is as good as its folder of libraries.
    if [[ $item == /* && -d $item/lib ]]; then
      item=$item/lib
    fi
    arguments+=("--runtime-libs=$item")
  done
  _manylinuxFixupRead items manylinuxDriverLibs || return
  for item in "${items[@]}"; do
    case $item in
    /*) arguments+=("--driver-dir=$item") ;;
    *) arguments+=("--driver-lib=$item") ;;
    esac
  done
  _manylinuxFixupOption --append-rpath manylinuxAppendRpaths || return
  _manylinuxFixupOption --ignore-missing manylinuxIgnoreMissingDeps || return
  _manylinuxFixupOption --provided-later manylinuxProvidedLater || return
  _manylinuxFixupOption --exclude manylinuxExclude || return
  _manylinuxFixupOption --allow-foreign manylinuxAllowForeign || return
  _manylinuxFixupRead items manylinuxFixupFlags || return
  arguments+=("${items[@]}")
}

# The build's Python must not reach the tool: building the wheel `packaging`,
# PYTHONPATH begins with the very package that is under construction.
_manylinuxFixupCall() {
  local -a settings=(PYTHONNOUSERSITE=1)
  # A build's output is a terminal to its programs, and a log to its readers.
  if [[ -z ${IN_NIX_SHELL-} ]]; then
    settings+=(NO_COLOR=1)
  fi
  env -u PYTHONPATH -u PYTHONHOME "${settings[@]}" "@nixManylinux@" "$@"
}

# manylinuxFixup [--OPTION[=VALUE]...] [--] PATH...
# Patches trees in place, all of them by one plan, and each wheel among the
# paths as a wheel. Options are those of `nix-manylinux patch`. An environment
# (a folder with a pyvenv.cfg) is patched for its own interpreter.
manylinuxFixup() {
  local -a options=() trees=() wheels=() arguments=()
  local path python=$_manylinuxFixupPython status=0 work
  if [[ -z $_manylinuxFixupCalled ]]; then
    _manylinuxFixupMisspelt
  fi
  _manylinuxFixupCalled=1
  while (($#)); do
    case $1 in
    --)
      shift
      break
      ;;
    -*) options+=("$1") ;;
    *) break ;;
    esac
    shift
  done
  if (($# == 0)); then
    echo "manylinuxFixup: ERROR: no path given" >&2
    return 2
  fi
  for path; do
    if [[ -f $path && $path == *.whl ]]; then
      wheels+=("$path")
    elif [[ -e $path ]]; then
      trees+=("$path")
      if [[ -e $path/pyvenv.cfg ]]; then
        python=
      fi
    else
      echo "manylinuxFixup: ERROR: $path does not exist" >&2
      return 1
    fi
  done
  if [[ -n $python ]]; then
    arguments+=("--python=$python")
  fi
  _manylinuxFixupArguments || return
  arguments+=("${options[@]}")
  if ((${#trees[@]})); then
    _manylinuxFixupCall patch "${arguments[@]}" -- "${trees[@]}" || return
  fi
  if ((${#trees[@]})); then
    # The wheels are the trees' own: their summary has been told.
    arguments+=(--quiet)
  fi
  for path in "${wheels[@]}"; do
    work=$(mktemp -d) || return
    _manylinuxFixupCall patch "${arguments[@]}" "--output-dir=$work" -- "$path" &&
      mv -f -- "$work/${path##*/}" "$path" || status=$?
    rm -rf -- "$work"
    ((status == 0)) || return "$status"
  done
}

# addManylinuxSearchPath DIR...: directories of libraries that come before those
# of the inputs. They must exist when it is called.
addManylinuxSearchPath() {
  local directory
  for directory; do
    if [[ ! -d $directory ]]; then
      echo "addManylinuxSearchPath: ERROR: $directory is not a directory" >&2
      return 1
    fi
    [[ $directory == /* ]] || directory=$PWD/$directory
    _manylinuxFixupAdd _manylinuxFixupSearchPath "$directory"
  done
}

# _manylinuxFixupAuditWrappers PATH...: no wrapper script may name the build's own
# folder, where others could put what it runs.
_manylinuxFixupAuditWrappers() {
  local wrapped script
  while IFS= read -r -d '' wrapped; do
    script=${wrapped##*/.}
    script=${wrapped%/*}/${script%-wrapped}
    if [[ -f $script ]] && grep -qF "$TMPDIR/" "$script"; then
      echo "manylinuxFixup: ERROR: the wrapper script $script contains a forbidden reference to $TMPDIR/" >&2
      return 1
    fi
  done < <(find "$@" -type f -name '.*-wrapped' -print0)
}

# _manylinuxFixupOtherWheels PATH...: names wheels in outputs that are not linked as
# wheels. Those for any machine, of which ensurepip has some, have nothing to link.
_manylinuxFixupOtherWheels() {
  local wheel
  while IFS= read -r -d '' wheel; do
    echo "manylinuxFixup: $wheel stays as it is: of wheels only those of the output \`dist\` are linked; \`manylinuxFixup FILE\` links another one"
  done < <(find "$@" -type f -name '*.whl' ! -name '*-any.whl' -print0)
}

# _manylinuxFixupUntagged PATH...: says of installed wheels that nobody looks at their tags.
_manylinuxFixupUntagged() {
  local path wheel
  for path; do
    for wheel in "$path"/*.dist-info/WHEEL "$path"/lib/*/site-packages/*.dist-info/WHEEL; do
      if [[ -e $wheel ]]; then
        echo "manylinuxFixup: the tags of wheels are not checked: no Python is among the buildInputs (python3 there checks them)"
        return
      fi
    done
  done
}

# No fixupPhase, no postFixup: that is said where the last chance is, whatever phases
# and hooks the build has.
_manylinuxFixupAtExit() {
  if [[ -n $_manylinuxFixupCalled || -n ${dontManylinuxFixup-} || -n ${IN_NIX_SHELL-} ]]; then
    return 0
  fi
  _manylinuxFixupMisspelt
  local why="no fixupPhase came to its end"
  if [[ -n ${dontFixup-} ]]; then
    why="dontFixup is set"
  fi
  echo "manylinuxFixup: $why, nothing is linked; \`manylinuxFixup -- \$out\` at the end of installPhase links all the same"
}

# Where that is only its author knows: what lies in bin may be the wheel's.
_manylinuxFixupStripsOwn='stripDebugList = [ "FOLDER" ]; FOLDER being where in the output that is'

# Last of all fixups: what strip, shrink-rpath and the wrappers do to a file is
# done by then. Every output but `debug`, sorted: with __structuredAttrs the
# outputs come in no order.
_manylinuxFixupPostFixup() {
  local -a names=() paths=() options=() linked=() others=()
  local name path status=0 stamp
  if [[ -n ${dontManylinuxFixup-} ]]; then
    _manylinuxFixupMisspelt
    echo "manylinuxFixup: dontManylinuxFixup is set, nothing is patched"
    if [[ -n $_manylinuxFixupAudits ]] && declare -F auditTmpdir >/dev/null; then
      for name in $(getAllOutputNames); do
        auditTmpdir "${!name-}"
      done
    fi
    return 0
  fi
  _manylinuxFixupMisspelt
  _manylinuxFixupCalled=1
  if [[ -n ${dontAutoPatchelf-} ]] && declare -F autoPatchelfPostFixup >/dev/null; then
    echo "manylinuxFixup: takes the place of autoPatchelfHook, which stays off (dontAutoPatchelf = false brings it back)"
  fi
  if ((${#_manylinuxFixupBuildToolLibs[@]})); then
    echo "manylinuxFixup: WARNING: without strictDeps the libraries of ${#_manylinuxFixupBuildToolLibs[@]} build tools are searched too, after those of buildInputs" >&2
  fi
  # The names are those of shell variables: splitting is what separates them.
  # shellcheck disable=SC2046
  mapfile -t names < <(printf '%s\n' $(getAllOutputNames) | LC_ALL=C sort)
  for name in "${names[@]}"; do
    path=${!name-}
    if [[ $name == debug || ! -e $path ]]; then
      continue
    fi
    if [[ -L $path ]]; then
      echo "manylinuxFixup: the output $name is a link and is left alone"
      continue
    fi
    if [[ -d $path ]]; then
      paths+=("$path") linked+=("$name")
      if [[ $name != dist ]]; then
        others+=("$path")
      else
        # Unpatched wheels beside a patched tree would mislead whoever takes them.
        for path in "$path"/*.whl; do
          if [[ -f $path ]]; then
            options+=("--dist=$path")
          fi
        done
      fi
    elif [[ $path == *.whl ]]; then
      paths+=("$path") linked+=("$name")
    fi
  done
  if ((${#paths[@]})); then
    if [[ -n $_manylinuxFixupAudits && -n ${TMPDIR-} ]]; then
      _manylinuxFixupAuditWrappers "${paths[@]}" || return
      options+=("--forbid-rpath=$TMPDIR")
    fi
    if [[ -z $_manylinuxFixupPython ]]; then
      _manylinuxFixupUntagged "${paths[@]}"
    fi
    stamp=$(mktemp) || return
    echo "manylinuxFixup: links the outputs ${linked[*]}"
    manylinuxFixup "${options[@]}" -- "${paths[@]}" || status=$?
    if ((status)) && [[ -z ${dontStrip-} ]]; then
      echo "manylinuxFixup: where a file is called damaged or not sound: strip ran before, and it damages files of wheels." >&2
      echo "  Drop dontStrip = false, or say what was compiled here: $_manylinuxFixupStripsOwn" >&2
    fi
    ((status == 0)) || return "$status"
    # Of a package whose source is a wheel nothing was compiled here.
    if [[ -n $_manylinuxFixupKeepsSymbols && ${src-} != *.whl && -n $(find "${paths[@]}" -newer "$stamp" -print -quit) ]]; then
      echo "manylinuxFixup: nothing was stripped; what was compiled here may be: dontStrip = false; $_manylinuxFixupStripsOwn"
    fi
    rm -f -- "$stamp"
    if ((${#others[@]})); then
      _manylinuxFixupOtherWheels "${others[@]}"
    fi
  fi
}

postFixupHooks+=(_manylinuxFixupPostFixup)
exitHooks+=(_manylinuxFixupAtExit)
