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
# What the last refusal said, which is said once.
refusal=$venv/.nix-manylinux-missing
if ! has_packages; then
  rm -f -- "$refusal"
elif said=$(link 2>&1); then
  rm -f -- "$refusal"
  [[ -z $said ]] || printf '%s\n' "$said" >&2
else
  missing=(--missing=warn)
  if [[ -e $refusal && $(<"$refusal") == "$said" ]]; then
    echo "manylinuxVenv: missing as before, and the rest is linked: cat ${refusal@Q}" >&2
    link "${missing[@]}" 2>/dev/null || true
  else
    printf '%s\n' "$said" >&2
    echo "manylinuxVenv: links all the rest; add what is missing to the shell's buildInputs, or, what nobody has or needs, to its manylinuxIgnoreMissingDeps" >&2
    link "${missing[@]}" || true
    printf '%s\n' "$said" >"$refusal"
  fi
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
# of libraries `patch` has made. A link that is there may have been copied, which Nix
# knows nothing of.
keep() {
  nix-store --realise "$2" --add-root "$venv/.nix-manylinux-roots/$1" >/dev/null 2>&1 || true
}
keep link "$0"
keep python "$(readlink -f -- "$venv/bin/python")"
mv -f -- "$stamp" "$venv/.nix-manylinux-linked"
