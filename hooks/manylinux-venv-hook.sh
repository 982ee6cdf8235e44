# shellcheck shell=bash
# Setup hook for development shells: a virtual environment whose files are linked
# on entry, and again whenever something was installed into it, whoever did that.
# It stands where nixpkgs has venvShellHook, and reads the same `venvDir`. What
# is searched, and the variables that say so, are manylinuxFixupHook's.

if [[ -n ${_manylinuxVenvSourced-} ]]; then
  return 0
fi
_manylinuxVenvSourced=1

# Gathers the inputs, and knows their variables.
# shellcheck source=/dev/null
source @fixupHook@

# Tells installers what they can't find out: that interpreters which they would
# download don't start here. Ours they find in PATH; UV_PYTHON would make `uv pip`
# install into the interpreter itself.
_manylinuxVenvSettings() {
  export UV_PYTHON_DOWNLOADS=never UV_PYTHON_PREFERENCE=only-system
  export POETRY_VIRTUALENVS_IN_PROJECT=true
  export PATH="$VIRTUAL_ENV/bin:@pythonBin@:$PATH"
  export NIX_MANYLINUX_VENV_LINK=@link@
  local -a arguments=() directories
  local directory
  _manylinuxFixupMisspelt
  _manylinuxFixupArguments || return
  # Behind those of the shell's own inputs.
  read -ra directories <<<"@libraries@"
  for directory in "${directories[@]}"; do
    [[ ! -d $directory ]] || arguments+=("--libs=$directory")
  done
  NIX_MANYLINUX_VENV_OPTIONS=$(printf '%s\n' "${arguments[@]}")
  export NIX_MANYLINUX_VENV_OPTIONS
}

# Whether something was installed since the environment was linked, by the time
# stamps of the folders that every installer writes into. Starts no program.
_manylinuxVenvHasChanged() {
  local stamp=$VIRTUAL_ENV/.nix-manylinux-linked place
  [[ -e $stamp && $(<"$stamp") == "$NIX_MANYLINUX_VENV_LINK $NIX_MANYLINUX_VENV_OPTIONS" ]] || return 0
  for place in "$VIRTUAL_ENV"/bin "$VIRTUAL_ENV"/lib/python*/site-packages; do
    [[ ! $place -nt $stamp ]] || return 0
  done
  return 1
}

# Before each prompt, for programs: when a Python starts, it looks by itself.
_manylinuxVenvPrompt() {
  local status=$?
  if [[ -e ${VIRTUAL_ENV-}/pyvenv.cfg ]] && _manylinuxVenvHasChanged; then
    "$NIX_MANYLINUX_VENV_LINK" "$VIRTUAL_ENV" || true
  fi
  return "$status"
}

# Whether the environment's Python is one that looks when it starts.
_manylinuxVenvLooks() {
  local line
  while IFS= read -r line; do
    case $line in
    "home = "*)
      grep -qs NIX_MANYLINUX_VENV_LINK "${line#home = }"/../lib/python*/sitecustomize.py
      return
      ;;
    esac
  done <"$VIRTUAL_ENV/pyvenv.cfg"
  return 1
}

manylinuxVenvShellHook() {
  runHook preShellHook
  VIRTUAL_ENV=${venvDir-.venv}
  [[ $VIRTUAL_ENV == /* ]] || VIRTUAL_ENV=$PWD/$VIRTUAL_ENV
  export VIRTUAL_ENV
  _manylinuxVenvSettings || return
  if [[ ! -e $VIRTUAL_ENV/pyvenv.cfg ]]; then
    echo "manylinuxVenv: makes the virtual environment $VIRTUAL_ENV" >&2
    @python@ -m venv "$VIRTUAL_ENV" >/dev/null 2>&1 || @python@ -m venv --clear --without-pip "$VIRTUAL_ENV" || return
    runHook postVenvCreation
  elif ! _manylinuxVenvLooks; then
    echo "manylinuxVenv: $VIRTUAL_ENV was made with another Python: it is linked now and before each prompt, not when its Python starts" >&2
    echo "  Remove it and enter the shell again: then it is made with one that looks." >&2
  fi
  _manylinuxVenvPrompt || return
  if [[ ";${PROMPT_COMMAND-};" != *";_manylinuxVenvPrompt;"* ]]; then
    PROMPT_COMMAND="_manylinuxVenvPrompt${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  fi
  # Under direnv there is no prompt of ours: it enters again where these change.
  if declare -F watch_file >/dev/null; then
    watch_file "$VIRTUAL_ENV"/bin "$VIRTUAL_ENV"/lib/python*/site-packages
  fi
  runHook postShellHook
}

if [[ -z ${dontUseManylinuxVenv-} && -z ${shellHook-} ]]; then
  shellHook=manylinuxVenvShellHook
fi
