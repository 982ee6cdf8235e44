#!/bin/bash
# Stands in for the command: writes down, below $out of the build, with what
# words and in what environment it was called, and gives `--output-dir` its wheel.
set -eu
: "${out:?a build sets it}"
calls=$out/calls
mkdir -p "$calls"
number=$(find "$calls" -name '*.argv' | wc -l)
printf '%s\0' "$@" >"$calls/$number.argv"
env -0 >"$calls/$number.env"
for word; do
  case $word in
  --output-dir=*) cp -- "${!#}" "${word#--output-dir=}/" ;;
  esac
done
