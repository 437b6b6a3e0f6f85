#!/bin/sh
# Trains sets a, b, c in Apus and in PyTorch, in turn, and prints medians, ratios and bars as a table:
#   Benchmarks/peers.sh PYTHON BENCH_TORCH.py [--rounds 3] [--presets "a b c"] [--impls "plain compiled hf"]
#                       [--seconds 5] [--results DIR]
# PYTHON is one with torch and transformers. Needs an otherwise idle machine: it waits for that, and says so.
# DIR (default .build/peers) gets runs.jsonl, peers.csv and a log. --impls "" measures Apus alone.
set -eu
cd "$(dirname "$0")/.."

# The command measured: prints one JSON object, whose names peers.py knows.
ours=".build/release/apus benchmark"
ranks="mpirun -n 2 --bind-to core"

usage='usage: Benchmarks/peers.sh PYTHON BENCH_TORCH.py [--rounds N] [--presets "a b c"] [--impls "plain compiled hf"] [--seconds S] [--results DIR]'
python=${1:?$usage}
bench=${2:?$usage}
shift 2
rounds=3 presets="a b c" impls="plain compiled hf" seconds=5 results=.build/peers
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --presets) presets=$2 ;;
    --impls) impls=$2 ;;
    --seconds) seconds=$2 ;;
    --results) results=$2 ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift 2
done
mkdir -p "$results"
lines=$results/runs.jsonl log=$results/log
: >"$lines"
: >"$log"
# Exported on some machines: they force slower OpenBLAS kernels. PyTorch does not read them.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# On AMD, MKL takes AVX2 kernels unless a preloaded library says otherwise.
preload=$(dirname "$python")/../mkl_avx512.so
if [ ! -f "$preload" ]; then
  preload=$(pwd)/$results/mkl_avx512.so
  cc -O2 -shared -fPIC -o "$preload" "$(dirname "$bench")/mkl_avx512.c"
fi
preload=$(realpath "$preload")

busy() { # share of all cores that was busy during one second, in percent
  before=$(awk '/^cpu /{print $2+$3+$4+$7+$8, $2+$3+$4+$5+$6+$7+$8}' /proc/stat)
  sleep 1
  after=$(awk '/^cpu /{print $2+$3+$4+$7+$8, $2+$3+$4+$5+$6+$7+$8}' /proc/stat)
  echo "$before $after" | awk '{printf "%d", 100 * ($3 - $1) / ($4 - $2)}'
}

quiet() {
  for _ in $(seq 30); do
    [ "$(busy)" -le 5 ] && return
  done
  echo "  the machine is not idle: the next figure says little" >&2
}

started=$(date +%s) done_runs=0
set -- $impls
count=$#
set -- $presets
total=$((rounds * $# * (2 + 4 * count)))

measure() { # measure LABEL COMMAND…
  label=$1
  shift
  quiet
  before=$(wc -l <"$lines")
  "$@" >>"$log" 2>&1 || echo "  $label failed: see $log" >&2
  done_runs=$((done_runs + 1))
  left=$((($(date +%s) - started) * (total - done_runs) / done_runs))
  rate="no figure"
  if [ "$(wc -l <"$lines")" -gt "$before" ]; then
    rate=$(tail -1 "$lines" | sed 's/.*"tokens_per_s[a-z]*": *\([0-9]*\).*/\1 tokens\/s/')
  fi
  printf '[%d/%d, %d:%02d left] %-34s %s\n' \
    "$done_runs" "$total" $((left / 60)) $((left % 60)) "$label" "$rate"
}

apus() { # apus PRESET THREADS LAUNCHER…
  preset=$1 threads=$2
  shift 2
  case $preset in a) pace=20 ;; b) pace=5 ;; *) pace=2 ;; esac
  "$@" $ours "configs/bench-$preset.yaml" --set run.threads="$threads" \
    --steps $((seconds * pace)) --json >"$results/ours.json" || return 1
  printf '{"preset": "%s", "impl": "apus", ' "$preset" >>"$lines"
  sed 's/^{//' "$results/ours.json" >>"$lines"
}

torch() { # torch PRESET IMPL PRELOAD EXTRA…
  preset=$1 impl=$2 library=$3
  shift 3
  env LD_PRELOAD="$library" "$python" "$bench" --preset "$preset" --impl "$impl" --wait-quiet 1 \
    --steps 1000 --clean-seconds "$seconds" --max-seconds 60 --json "$lines" "$@"
}

for round in $(seq "$rounds"); do
  for preset in $presets; do
    measure "$round $preset apus, 2 threads" apus "$preset" 2 env
    measure "$round $preset apus, 2 ranks" apus "$preset" 1 $ranks
    for impl in $impls; do
      measure "$round $preset $impl, 2 threads" torch "$preset" "$impl" "" --threads 2
      measure "$round $preset $impl, 2 threads, AVX-512" torch "$preset" "$impl" "$preload" --threads 2
      measure "$round $preset $impl, 2 processes" torch "$preset" "$impl" "" --ddp 2
      measure "$round $preset $impl, 2 processes, AVX-512" torch "$preset" "$impl" "$preload" --ddp 2
    done
  done
done
"$python" Benchmarks/peers.py "$lines" --csv "$results/peers.csv"
