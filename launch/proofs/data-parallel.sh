#!/usr/bin/env bash
# The losses of 20 steps on 1, 2 and 4 ranks, over MPI and in process, against one rank without MPI.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

# difference A B: the largest relative difference of two runs' losses; fails if the steps differ.
difference() {
  paste -d ' ' <(losses "$1") <(losses "$2") | awk '
    $1 != $3 { bad = 1 }
    { d = ($2 - $4) / $4; if (d < 0) d = -d; if (d > worst) worst = d; steps++ }
    END { printf "%.1e\n", worst; exit bad || steps != 20 }'
}

figures=()
status=0
for precision in float32 float64; do
  settings=("${small[@]}" --set run.precision="$precision" --set training.steps=20)
  "$apus" pretrain "${settings[@]}" --set run.name="$precision-one" >&2
  worst=0
  for launch in mpi-1 mpi-2 mpi-4 threads-2 threads-4; do
    name=$precision-$launch
    case $launch in
      mpi-*) start "${launch#mpi-}" "${settings[@]}" --set run.name="$name" && finish ;;
      threads-*) "$apus" pretrain "${settings[@]}" --set run.name="$name" \
        --ranks-in-process "${launch#threads-}" >&2 ;;
    esac
    found=$(difference "$name" "$precision-one") || status=1
    echo "$name: $found" >&2
    worst=$(printf '%s\n' "$worst" "$found" | sort -g | tail -n 1)
  done
  figures+=("$worst in $precision")
done
echo "${figures[0]}, ${figures[1]}"
awk -v a="${figures[0]%% *}" -v b="${figures[1]%% *}" 'BEGIN { exit !(a <= 1e-5 && b <= 1e-11) }'
[ "$status" -eq 0 ]
