# Sourced by the rows that compare whole runs: small runs in a folder of their own, and what they left.

. "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -KILL "$job" 2> /dev/null; rm -rf "$folder"' EXIT

launch/corpus.sh kjv >&2
[ -f corpora/kjv-1024.json ] ||
  "$apus" tokenizer train corpora/kjv.txt --vocabulary 1024 --output corpora/kjv-1024.json >&2

# Settings of a small run, over configs/toy.yaml; add run.name.
small=(configs/toy.yaml --set run.folder="$folder" --set run.threads=1
  --set model.width=64 --set model.layers=2 --set model.router.expertWidth=128
  --set data.sequenceLength=64 --set evaluation.every=0 --set evaluation.windows=8
  --set samples.tokens=0 --set display.routerEvery=0)

# start RANKS ARGUMENTS …: begins a run under mpirun, of pretraining or of $stage; its process is $job.
start() {
  local ranks=$1
  shift
  set_mpirun_options "$ranks"
  mpirun "${mpirun_options[@]}" -n "$ranks" "$apus" "${stage:-pretrain}" "$@" < /dev/null >&2 &
  job=$!
}

# finish: waits for the run and gives its status.
finish() {
  local status=0
  wait "$job" || status=$?
  job=
  return "$status"
}

# digest NAME: of weights, moments and position in the newest checkpoint, and of every step's loss.
# Digits of the text files that differ between equal runs (their names) are left out.
digest() {
  local step
  step=$(ls -d "$folder/$1"/step-* | sort | tail -n 1)
  { (cd "$step" && sha256sum ./*.safetensors state.json) && losses "$1"; } | sha256sum
}

# losses NAME: a line a step: step, loss.
losses() {
  sed -n 's/^{"kind":"step","step":\([0-9]*\),.*"loss":\([-+.0-9e]*\).*/\1 \2/p' \
    "$folder/$1/metrics.jsonl"
}

# last_bit INDEX: the model.initialDeviation of a run whose initial weights differ in the last bit, which
# of a float32 is 6e-8 of it.
last_bit() { awk -v n="$1" 'BEGIN { printf "%.17g", 0.02 * (1 + n * 6e-8) }'; }

# Steps that a run has written down.
steps_done() { { losses "$1" 2> /dev/null || true; } | tail -n 1 | cut -d " " -f 1; }

# await_step NAME STEP: returns when the run got there, or has ended.
await_step() {
  local done
  while kill -0 "$job" 2> /dev/null; do
    done=$(steps_done "$1")
    [ "${done:-0}" -lt "$2" ] || return 0
    sleep 0.01
  done
}

# random FIRST LAST
random() { echo $(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1))); }
