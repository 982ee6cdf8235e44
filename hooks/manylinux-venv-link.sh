#!@shell@
# shellcheck shell=bash
# manylinux-venv-link VENV: links the files of a virtual environment, by the
# options that the shell's hook left in NIX_MANYLINUX_VENV_OPTIONS, one a line.
# What is missing is named, and keeps nothing else from being linked. The stamp
# that it leaves says how: Pythons outside of the shell call it by that.
set -euo pipefail
PATH=@coreutils@/bin:$PATH

venv=$1
options=()
while IFS= read -r option; do
  case $option in
  # What was offered, and never used, may have been garbage collected since.
  --libs=* | --python-libs=*) [[ ! -d ${option#*=} ]] || options+=("$option") ;;
  ?*) options+=("$option") ;;
  esac
done <<<"${NIX_MANYLINUX_VENV_OPTIONS?is set by manylinuxVenvHook}"

# Only warnings and errors are said. No Python of ours looks once more whether
# something has changed.
link() {
  env -u PYTHONPATH -u PYTHONHOME NIX_MANYLINUX_VENV_LINK= PYTHONNOUSERSITE=1 \
    @nixManylinux@ patch --quiet "--gc-roots=$venv/.nix-manylinux-roots" \
    "${options[@]}" "$@" -- "$venv" >&2
}

# As old as what was seen: what is installed meanwhile is linked the next time.
stamp=
trap 'rm -f -- "$stamp"' EXIT
mark() {
  stamp=$(mktemp "$venv/.nix-manylinux-linked.XXXXXX")
  printf '%s' "$0 $NIX_MANYLINUX_VENV_OPTIONS" >"$stamp"
}

# Whether anything was installed: a new environment has nothing to complain of.
has_packages() {
  local -a found=("$venv"/lib/python*/site-packages/*-info)
  [[ -e ${found[0]} ]]
}

mark
missing=()
if has_packages && ! link; then
  echo "manylinuxVenv: links all the rest; add what is missing to the shell's buildInputs" >&2
  missing=(--missing=warn)
  link "${missing[@]}" || true
fi
# What was linked may be as new as what was installed beside it: look once more.
for place in "$venv"/bin "$venv"/lib/python*/site-packages; do
  if [[ $place -nt $stamp ]] && has_packages; then
    rm -f -- "$stamp"
    mark
    link "${missing[@]}" 2>/dev/null || true
    break
  fi
done
# keep NAME PATH: no garbage collection takes the store path that PATH is in. Those
# of libraries `patch` has made.
keep() {
  local kept
  kept=$(readlink -- "$venv/.nix-manylinux-roots/$1") || kept=
  if [[ -z $kept || $2/ != "$kept"/* ]]; then
    nix-store --realise "$2" --add-root "$venv/.nix-manylinux-roots/$1" >/dev/null 2>&1 || true
  fi
}
keep link "$0"
keep python "$(readlink -f -- "$venv/bin/python")"
mv -f -- "$stamp" "$venv/.nix-manylinux-linked"
