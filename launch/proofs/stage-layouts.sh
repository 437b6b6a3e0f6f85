#!/usr/bin/env bash
# Every stage after pretraining, one rank against six layouts of 2, 4 and 8 ranks, float64. In process:
# first-step gradients and 20 steps, by the tests. Under mpirun: losses of 20 steps, and rewards, which are
# those of the sampled answers. Figure = tests that passed, and the largest difference under mpirun.
set -euo pipefail
. "$(dirname "$0")/stages.sh"
log=$folder/tests
status=0
.build/release/ApusPackageTests.xctest --testing-library swift-testing \
  --filter 'StageLayoutTests|PolicyStageTests|SideBySideTests' > "$log" 2>&1 || status=$?
cat "$log" >&2
tests=$(grep -a -o -E '[0-9]+ tests? in [0-9]+ suites? (passed|failed)' "$log" | tail -n 1)

# numbers RUN: step, loss, and the mean score where the stage has one.
numbers() {
  losses "$1"
  sed -n 's/^{"kind":"stage","step":\([0-9]*\),.*"objective\/scores":\([-+.0-9e]*\).*/\1 \2/p' \
    "$folder/$1/metrics.jsonl"
}
worst=0
runs=0
for stage in "${stage_names[@]}"; do
  stage_settings "$stage"
  settings+=(--set training.steps=20 --set training.batch=36 --set run.precision=float64)
  case $stage in
    ppo | grpo) settings+=(--set rollout.minibatches=2) ;;
  esac
  [ "$stage" != grpo ] || settings+=(--set grpo.groupSize=6)
  [ "$stage" = ppo ] || [ "$stage" = grpo ] || settings+=(--set run.seed=3)
  start 1 "${settings[@]}" --set run.name="$stage-one"
  finish
  for case in "2 data=2" "2 tensor=2" "2 expert=2" "4 tensor=2,expert=4" \
    "8 tensor=2,expert=2,expert-tensor=2" "8 tensor=4,expert=4"; do
    read -r ranks layout <<< "$case"
    name=$stage-$(tr -c 'a-z0-9\n' - <<< "$layout")
    start "$ranks" "${settings[@]}" --set run.name="$name" --layout "$layout"
    finish
    lines=20
    case $stage in
      ppo | grpo) lines=40 ;;
    esac
    difference=$(paste -d ' ' <(numbers "$stage-one") <(numbers "$name") | awk '
      NF != 4 || $1 != $3 { print 1; bad = 1; exit }
      { d = $2 - $4; if (d < 0) d = -d; if (d > most) most = d }
      END { if (!bad) printf "%.3g", NR == lines ? most : 1 }' lines=$lines)
    echo "$stage, $layout: $difference" >&2
    worst=$(awk -v a="$worst" -v b="$difference" 'BEGIN { print (a > b ? a : b) }' 2> /dev/null ||
      echo 1)
    runs=$((runs + 1))
  done
done
echo "$tests; $runs runs under mpirun: losses and rewards differ by ≤ $worst"
[ "$status" -eq 0 ] && awk -v worst="$worst" 'BEGIN { exit !(worst <= 1e-9) }'
