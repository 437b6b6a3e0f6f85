#!/usr/bin/env bash
# Builds Apus for this machine's processor: launch/build.sh [ARGUMENTS OF swift build …]
set -euo pipefail
. "$(dirname "$0")/environment.sh"

require_swift
install_packages "${packages[@]}"
cd "$apus_root"

# The full vector width: without it loops are 2 to 4 times slower. Such a build runs only on
# processors that have the same features; the program checks them at start.
case $(uname -m) in
  x86_64) native=-march=native ;;
  *) native=-mcpu=native ;;
esac
features=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | grep -o -w -E 'avx512f|avx2|asimd|sve' |
  sort -u | tr '\n' ' ')
say "building for this processor (${features:-no vector extension found})"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! swift build -c release -Xcc "$native" "$@" 2>&1 | tee "$log"; then
  if grep -q -i -E 'failed to clone|could not resolve host|unable to access|failed to fetch' "$log"; then
    say "Swift packages could not be fetched: the first build needs network access to github.com"
  fi
  fail "the build failed"
fi
