# Sourced by proofs that start, stop and compare whole runs: a small model that saves often.
. "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"
cd "$apus_root"
launch/corpus.sh kjv >&2
[ -f corpora/kjv-512.json ] ||
  "$apus" tokenizer train corpora/kjv.txt --vocabulary 512 --output corpora/kjv-512.json >&2

work=$(mktemp -d "${TMPDIR:-/tmp}/apus-proof.XXXXXX")
trap 'rm -rf "$work"' EXIT

# small_run RANKS NAME [ARGUMENTS]: some seconds of training, a checkpoint every other step.
small_steps=60
small_run() {
  local ranks=$1 name=$2
  shift 2
  set_mpirun_options "$ranks"
  mpirun "${mpirun_options[@]}" -n "$ranks" "$apus" pretrain configs/toy.yaml \
    --set run.folder="$work" --set run.name="$name" --set data.tokenizer=corpora/kjv-512.json \
    --set model.width=64 --set model.layers=2 --set model.router.expertWidth=64 \
    --set data.sequenceLength=64 --set training.batch=8 --set training.steps="$small_steps" \
    --set schedule.warmup=5 --set run.threads=1 --set checkpoint.every=2 --set checkpoint.keep=3 \
    --set evaluation.every=30 --set evaluation.windows=16 --set samples.tokens=0 "$@"
}

# Everything that must be equal bit for bit at the end of a run: digests of all tensor files, and
# the metrics without times.
final_state() {
  local name=$1 last
  last=$(ls "$work/$name" | grep '^step-' | tail -n 1)
  echo "$last"
  (cd "$work/$name/$last" && sha256sum -- *.safetensors)
  sed 's/,"time":.*//' "$work/$name/metrics.jsonl" | sha256sum
}
