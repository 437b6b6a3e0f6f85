# Sourced by the rows about stages after pretraining: data, and a first policy, of a small sort task in
# runs.sh's folder; stage_settings STAGE gives a run's settings.

. "$(dirname "${BASH_SOURCE[0]}")/runs.sh"

data=$folder/data
"$apus" task write sort --skill 0.7 --folder "$data" --examples 2000 --prompts 2000 >&2
stage_common=(--set run.folder="$folder" --set run.threads=1 --set evaluation.every=0
  --set samples.tokens=0 --set display.routerEvery=0 --set checkpoint.every=0)
"$apus" sft configs/sort/sft.yaml "${stage_common[@]}" --set data.tokenizer="$data/tokenizer.json" \
  --set examples.training="$data/sft.jsonl" --set examples.evaluation="" --set run.name=first \
  --set training.steps=100 >&2
"$apus" task pairs sort "$folder/first" --pairs 400 --output "$data/pairs.jsonl" >&2

stage_names=(sft reward dpo ppo grpo)
stage_settings() {
  case $1 in
    sft) settings=(configs/sort/sft.yaml --set data.tokenizer="$data/tokenizer.json"
      --set examples.training="$data/sft.jsonl" --set examples.evaluation="") ;;
    reward | dpo) settings=("configs/coloured-words/$1.yaml" --set data.start="$folder/first"
      --set examples.training="$data/pairs.jsonl" --set examples.evaluation="") ;;
    ppo | grpo) settings=("configs/sort/$1.yaml" --set data.start="$folder/first"
      --set examples.training="$data/prompts.jsonl") ;;
  esac
  [ "$1" != grpo ] || settings+=(--set examples.evaluation="")
  settings+=("${stage_common[@]}")
}
