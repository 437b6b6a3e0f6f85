#!/usr/bin/env bash
# Proves what Apus claims, one line a claim: launch/proof.sh [ROW …]; without ROW all, quick ones first.
# A row is a script in launch/proofs: its last line on standard output is the figure, and it ends
# with 0 if the bar is reached. What else it says goes to .build/proofs/ROW.log.
set -uo pipefail
. "$(dirname "$0")/environment.sh"

# row | bar; ordered by the time they take.
table='
ranks          | all rank tests pass under mpirun on 1, 2, 3, 4 and 8 ranks
goldens        | all pass
differences    | worst relative error ≤ 1e-7, float64
'

all=$(sed -n 's/^\([a-z-]*\) *|.*/\1/p' <<< "$table")
for row in "$@"; do
  grep -q -x -e "$row" <<< "$all" || fail "there is no row '$row'; rows: $(echo $all)"
done

"$apus_root/launch/build.sh" --build-tests >&2 || exit 1
mkdir -p "$apus_root/.build/proofs"
missed=0
echo "row | bar | figure | verdict"
for row in ${@:-$all}; do
  bar=$(sed -n "s/^$row *| //p" <<< "$table")
  log=$apus_root/.build/proofs/$row.log
  if figure=$("$apus_root/launch/proofs/$row.sh" 2> "$log" | tee -a "$log" | tail -n 1); then
    verdict=reached
  else
    verdict=MISSED
    missed=$((missed + 1))
  fi
  echo "$row | $bar | ${figure:-no figure, see .build/proofs/$row.log} | $verdict"
done
[ "$missed" -eq 0 ]
