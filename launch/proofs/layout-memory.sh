#!/usr/bin/env bash
# Set c on 4 ranks with tensor=2,expert=2,expert-tensor=2: figure = a rank's parameters, gradients and
# moments over one rank's, and its peak resident set beyond them.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"

field() { sed "s/.*\"$1\" *: *\([0-9.]*\).*/\1/"; }
measure() { # RANKS ARGUMENTS …
  local ranks=$1
  shift
  launch/local.sh "$ranks" "$apus" benchmark configs/bench-c.yaml --set run.threads=1 --steps 2 \
    --warmup 1 --json "$@" | tee /dev/stderr
}
one=$(measure 1)
split=$(measure 4 --layout tensor=2,expert=2,expert-tensor=2)
awk -v one="$(field state_megabytes <<< "$one")" -v own="$(field state_megabytes <<< "$split")" \
  -v peak="$(field peak_megabytes <<< "$split")" 'BEGIN {
    printf "%.3f of one rank'"'"'s %.0f MB; peak %.0f MB beyond its %.0f MB\n",
      own / one, one, peak - own, own
    exit !(own <= 0.28 * one && peak <= own + 300)
  }'
