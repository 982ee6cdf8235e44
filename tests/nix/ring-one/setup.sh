# shellcheck shell=bash
# Variables come from the derivation and go to the hooks, by name and by nameref.
# shellcheck disable=SC2034,SC2123,SC2154,SC2178
# A stdenv in small: what the nixpkgs manual promises to setup hooks and phases
# (chapters "The Standard Environment" and "Specifying dependencies"), as far as
# the tests of the hook go. The real one is ring two.

_original=$-
set -eu -o pipefail
shopt -s inherit_errexit nullglob

__structuredAttrs=
if [[ -n ${NIX_ATTRS_JSON_FILE-} ]]; then
  __structuredAttrs=1
  for _name in "${!outputs[@]}"; do
    export "$_name=${outputs[$_name]}"
  done
  if declare -p env &>/dev/null; then
    for _name in "${!env[@]}"; do
      declare -x "$_name=${env[$_name]}"
    done
  fi
else
  : "${outputs:=out}"
fi

getAllOutputNames() {
  if [[ -n $__structuredAttrs ]]; then
    echo "${!outputs[*]}"
  else
    echo "$outputs"
  fi
}

runHook() {
  local hook name=$1
  local -n hooks=${1%Hook}Hooks
  shift
  if declare -F "$name" >/dev/null; then
    "$name"
  elif [[ -n ${!name-} ]]; then
    eval "${!name}"
  fi
  for hook in ${hooks+"${hooks[@]}"}; do
    if declare -F "$hook" >/dev/null; then
      "$hook" "$@"
    else
      eval "$hook"
    fi
  done
}

_exitHandler() {
  local status=$?
  set +e
  if ((status == 0)); then
    runHook exitHook
  else
    runHook failureHook
  fi
  return "$status"
}
trap _exitHandler EXIT

# appendToVar NAME VALUE...: to an array with __structuredAttrs, else to a string.
appendToVar() {
  local -n variable=$1
  shift
  if [[ $(declare -p "${!variable}" 2>/dev/null) == "declare -a"* || -n $__structuredAttrs ]]; then
    variable=(${variable+"${variable[@]}"} "$@")
  else
    variable="${variable-} $*"
  fi
}

stripHash() {
  local name=${1##*/}
  echo "${name:33}"
}

addToSearchPath() {
  if [[ -d $2 && ":${!1-}:" != *":$2:"* ]]; then
    export "$1=${!1:+${!1}:}$2"
  fi
}

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800} TZ=UTC HOME=${HOME:-/homeless-shelter}
PATH=
for _name in $initialPath; do
  addToSearchPath PATH "$_name/bin"
done

# Inputs, by the platforms that they run on and make code for, relative to the
# package: build -1, host 0, target 1.
declare -a pkgsBuildBuild pkgsBuildHost pkgsBuildTarget pkgsHostHost pkgsHostTarget pkgsTargetTarget
declare -a envBuildBuildHooks envBuildHostHooks envBuildTargetHooks
declare -a envHostHostHooks envHostTargetHooks envTargetTargetHooks
declare -a fixupOutputHooks postFixupHooks
declare -A _platforms=([-1]=Build [0]=Host [1]=Target)

# Hooks for all dependencies with the given host offset.
addEnvHooks() {
  local offset hook host=$1
  shift
  for offset in -1 0 1; do
    ((host <= offset)) || continue
    local -n hooks="env${_platforms[$host]}${_platforms[$offset]}Hooks"
    for hook; do
      hooks+=("$hook")
    done
    unset -n hooks
  done
}

# _findInputs PACKAGE HOST TARGET: the package, then what it propagates.
_findInputs() {
  local file name next relative relativeTarget nextHost nextTarget
  local -n known="pkgs${_platforms[$2]}${_platforms[$3]}"
  case " ${known[*]-} " in
  *" $1 "*) return 0 ;;
  esac
  [[ -e $1 ]] || {
    echo "build input $1 does not exist" >&2
    exit 1
  }
  known+=("$1")
  unset -n known
  for name in "-1 -1 build-build-deps" "-1 0 native-build-inputs" "-1 1 build-target-deps" \
    "0 0 host-host-deps" "0 1 build-inputs" "1 1 target-target-deps"; do
    read -r relative relativeTarget file <<<"$name"
    ((nextHost = relative <= 0 ? relative + $2 : relative - 1 + $3)) || true
    ((nextTarget = relativeTarget <= 0 ? relativeTarget + $2 : relativeTarget - 1 + $3)) || true
    ((nextHost >= -1 && nextHost <= 1 && nextTarget <= 1)) || continue
    [[ -f $1/nix-support/propagated-$file ]] || continue
    for next in $(<"$1/nix-support/propagated-$file"); do
      _findInputs "$next" "$nextHost" "$nextTarget"
    done
  done
}

_activate() {
  local -r hostOffset=$2 targetOffset=$3
  if [[ -z ${strictDeps-} || $hostOffset -lt 0 ]]; then
    addToSearchPath _PATH "$1/bin"
  fi
  if [[ -f $1/nix-support/setup-hook ]]; then
    # shellcheck disable=SC1091
    source "$1/nix-support/setup-hook"
  fi
}

_eachOffset() {
  local host target
  for host in -1 0 1; do
    for target in -1 0 1; do
      ((host > target)) || "$1" "$host" "$target"
    done
  done
}

_activateAll() {
  local package
  local -n packages="pkgs${_platforms[$1]}${_platforms[$2]}"
  for package in ${packages+"${packages[@]}"}; do
    _activate "$package" "$1" "$2"
  done
}

# Without strictDeps every hook sees every package: the manual calls it a
# concession to native builds.
_runEnvHooks() {
  local package hook
  local -n hooks="env${_platforms[$1]}${_platforms[$2]}Hooks"
  local -a seen=()
  if [[ -z ${strictDeps-} ]]; then
    seen=("${pkgsBuildBuild[@]}" "${pkgsBuildHost[@]}" "${pkgsBuildTarget[@]}"
      "${pkgsHostHost[@]}" "${pkgsHostTarget[@]}" "${pkgsTargetTarget[@]}")
  else
    local -n packages="pkgs${_platforms[$1]}${_platforms[$2]}"
    seen=(${packages+"${packages[@]}"})
  fi
  for package in "${seen[@]}"; do
    for hook in ${hooks+"${hooks[@]}"}; do
      "$hook" "$package"
    done
  done
}

_findAll() {
  local list package
  for list in "-1 -1 depsBuildBuild" "-1 0 nativeBuildInputs" "-1 0 propagatedNativeBuildInputs" \
    "0 0 depsHostHost" "0 1 buildInputs" "0 1 propagatedBuildInputs" "-1 0 defaultNativeBuildInputs"; do
    local host target name
    read -r host target name <<<"$list"
    local -n inputs=$name
    for package in ${inputs+${inputs[@]}}; do
      _findInputs "$package" "$host" "$target"
    done
    unset -n inputs
  done
}

_findAll
_eachOffset _activateAll
_eachOffset _runEnvHooks
PATH=${_PATH-}${_PATH:+:}$PATH
unset _PATH _name

unpackPhase() {
  runHook preUnpack
  if [[ -n ${src-} ]]; then
    if [[ -d $src ]]; then
      cp -r "$src" source
    else
      mkdir source
      tar -xf "$src" --strip-components=1 -C source
    fi
    chmod -R u+w source
    sourceRoot=source
  fi
  runHook postUnpack
  [[ -z ${sourceRoot-} ]] || cd "$sourceRoot"
}

buildPhase() {
  runHook preBuild
  runHook postBuild
}

installPhase() {
  runHook preInstall
  runHook postInstall
}

# What stdenv does to ELF files, and hooks have to live with.
_doStrip() {
  [[ -z ${dontStrip-} ]] || return 0
  local folder
  local -a folders
  read -ra folders <<<"${stripDebugList[*]-lib lib32 lib64 libexec bin sbin}"
  for folder in "${folders[@]}"; do
    [[ ! -e $prefix/$folder ]] || find "$prefix/$folder" -type f -exec strip -S -p {} + 2>/dev/null || true
  done
}

_doShrink() {
  [[ -z ${dontPatchELF-} ]] || return 0
  find "$prefix" -type f -name '*.so*' -exec patchelf --shrink-rpath {} \; 2>/dev/null || true
}

fixupOutputHooks+=(_doStrip _doShrink)

fixupPhase() {
  local output list file
  for output in $(getAllOutputNames); do
    if [[ -e ${!output} ]]; then
      chmod -R u+w "${!output}"
    fi
  done
  runHook preFixup
  for output in $(getAllOutputNames); do
    if [[ -e ${!output} ]]; then
      prefix=${!output} runHook fixupOutput
    fi
  done
  for list in "propagatedNativeBuildInputs native-build-inputs" "propagatedBuildInputs build-inputs"; do
    read -r output file <<<"$list"
    local -n inputs=$output
    if [[ -n ${inputs[*]-} ]]; then
      mkdir -p "$out/nix-support"
      echo "${inputs[*]}" >"$out/nix-support/propagated-$file"
    fi
    unset -n inputs
  done
  if [[ -n ${setupHook-} ]]; then
    mkdir -p "$out/nix-support"
    cp "$setupHook" "$out/nix-support/setup-hook"
  fi
  runHook postFixup
}

installCheckPhase() {
  runHook preInstallCheck
  runHook postInstallCheck
}

genericBuild() {
  if [[ -n ${buildCommand-} ]]; then
    eval "$buildCommand"
    return
  fi
  local phase
  local usual="unpackPhase buildPhase ${preInstallPhases[*]-} installPhase ${preFixupPhases[*]-} fixupPhase installCheckPhase ${preDistPhases[*]-}"
  for phase in ${phases:-$usual}; do
    if [[ $phase == unpackPhase && -n ${dontUnpack-} || $phase == fixupPhase && -n ${dontFixup-} ||
      $phase == installCheckPhase && -z ${doInstallCheck-} ]]; then
      continue
    fi
    echo "Running phase: $phase"
    eval "${!phase:-$phase}"
  done
}

# A shell that sourced this gets its own options back.
[[ $_original == *e* ]] || set +e
[[ $_original == *u* ]] || set +u
