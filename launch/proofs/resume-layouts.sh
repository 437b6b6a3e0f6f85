#!/usr/bin/env bash
# A run saved under each of six layouts goes on under each other one: figure = ordered pairs whose tensors
# are bitwise equal after A → B → A, and how far the losses of the next steps lie from A's own.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

ranks=(1 2 2 2 4 8)
layouts=('' tensor=2 expert=2 expert-tensor=2 tensor=2,expert=2 tensor=2,expert=2,expert-tensor=2)
saved=4
steps=8

on() { # INDEX COMMAND …
  local index=$1 options=()
  shift
  [ -z "${layouts[$index]}" ] || options=(--layout "${layouts[$index]}")
  launch/local.sh "${ranks[$index]}" "$apus" "$@" "${options[@]}" >&2
}

# train INDEX NAME STEPS SETTING …
train() {
  local index=$1 name=$2 until=$3
  shift 3
  on "$index" pretrain "${small[@]}" --set run.name="$name" --set training.steps="$until" \
    --set checkpoint.every=0 --set schedule.kind=constant "$@"
}

tensors() { (cd "$1" && cat ./*.safetensors | sha256sum); }

for index in "${!layouts[@]}"; do
  train "$index" "own-$index" "$saved"
  cp -r "$folder/own-$index" "$folder/on-$index"
  train "$index" "on-$index" "$steps" --resume
  losses "on-$index" > "$folder/losses-$index"
done

equal=0
worst=0
for a in "${!layouts[@]}"; do
  for b in "${!layouts[@]}"; do
    [ "$a" -ne "$b" ] || continue
    rm -rf "$folder"/{there,back,there-on}
    on "$b" checkpoint copy "$folder/own-$a" "$folder/there"
    on "$a" checkpoint copy "$folder/there" "$folder/back"
    if [ "$(tensors "$folder"/own-"$a"/step-*)" = "$(tensors "$folder"/back/step-*)" ]; then
      equal=$((equal + 1))
    fi
    cp -r "$folder/there" "$folder/there-on"
    train "$b" there-on "$steps" --resume
    losses there-on > "$folder/losses-there"
    worst=$(awk -v worst="$worst" -v saved="$saved" '
      NR == FNR { own[$1] = $2; next }
      $1 > saved {
        apart = ($2 - own[$1]) / own[$1]; if (apart < 0) apart = -apart
        if (apart > worst) worst = apart; seen++
      }
      END { print (seen > 0 ? worst : 1) }' "$folder/losses-$a" "$folder/losses-there")
  done
done
echo "$equal of 30 pairs bitwise equal there and back; next losses within $worst"
awk -v equal="$equal" -v worst="$worst" 'BEGIN { exit !(equal == 30 && worst <= 1e-5) }'
