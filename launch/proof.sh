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
identities     | ratio 1, ln 2, KL ≥ 0, GAE, padding, cache; every case of rl.json ≤ 1e-10, float64
stage-errors   | what stages, tasks and pipelines cannot use: named errors
differences    | worst relative error ≤ 1e-7, float64
tensorboard    | TensorBoard itself reads what metrics.jsonl says, after two kills and a stop
bad-input      | each refused with one message, non-zero on all ranks, nothing lost
export         | transformers on exported folders: all within 1e-4 of the largest entry
faults         | ranks that differ: named and ended in ≤ 5 s, 20 of 20
wiring         | 8 ranks: handshake and wiring test ≤ 500 ms
watchdog       | ranks stopped, skipping a collective, never coming: named and ended ≤ 5 s after time, 15 of 15
resume         | 5 random stops on 1 and 2 ranks: equal bit for bit
data-parallel  | 1, 2, 4 ranks: weights equal; 20 losses within 1e-5, 1e-11 (float64); 200 within 2 x spread
stage-layouts  | each stage on six layouts of 2, 4, 8 ranks: gradients ≤ 1e-11, 20 steps ≤ 1e-9, same samples
stage-resume   | each stage stopped at 3 points on 1 and 4 ranks: equal bit for bit
sort           | PPO, worst of 3 seeds: gold 0.70..0.74 to ≥ 0.90, exact + ≥ 0.35, 30 iterations in ≤ 8 s
secret         | direct attacks 1.0 → ≤ 0.05, benign success ≥ 0.97; adaptive attacks as they are
kills          | 20 random kills, ≥ 5 in a save: equal bit for bit, no process left
planted-faults | six classic faults of parallel training, planted one at a time: each is found
layouts        | all legal layouts of 1 to 8 ranks and of 1, 2, 4, 8 under mpirun: ≤ 1e-11, float64
resume-layouts | six layouts, all ordered pairs: bitwise equal after A → B → A, losses go on within 1e-5
layout-goldens | every golden case, gradients included, at 2, 4 and 8 ranks under mpirun
long-runs      | 300 steps, six layouts: first 20 within 1e-5, curves within 2 x the spread
bytes          | bytes that ranks send within 1 % of the formulas
layout-memory  | set c, tensor=2,expert=2,expert-tensor=2: state ≤ 0.28 x one rank, peak ≤ that + 300 MB
cost           | set b on 2 ranks: expert = 2 ≥ 0.90 x, tensor = 2 ≥ 0.80 x the tokens/s of data = 2
scaling        | set b, 8 sequences a rank: 2 ranks x 1 thread ≥ 1.80 x 1 rank x 1 thread
hosts          | verified on 2 and 3 hosts over TCP; a host cut off ends both sides in ≤ 15 s
wire           | counters of 2 hosts within 5 % of the bytes told; 1 Gbit/s: ≤ 1.15 x compute or wire
speed          | sets a, b, c: ≥ 2 x PyTorch as installed, ≥ 1.1 x with AVX-512; 2 ranks ≥ 1.3 x DDP
ppo-speed      | an iteration of the sort task ≥ 5 x as fast as in PyTorch
sampling       | set b, 16 + 64 tokens: ≥ 2.5 x transformers at batch 64, ≥ 5 x at batch 1
coloured-words | 3 seeds: accuracy 0.62 to ceiling + 2 se; wins: DPO ≥ 0.65, PPO ≥ 0.70; free: gold falls > 1, proxy not
chain          | pretrain to PPO on natural text ≤ 30 minutes, the toy chain ≤ 5
memory         | ≤ 324, 1011, 2243 MB on a, b, c; flat over 10,000 steps of a
slurm          | a real Slurm cuts a run at its limit, ≥ once, and its end is equal bit for bit
quickstart     | worst of 3 seeds ≤ 1.55 bits a character in ≤ 300 s of training
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
  : > "$log"
  if figure=$("$apus_root/launch/proofs/$row.sh" 2>> "$log" | tee -a "$log" | tail -n 1); then
    verdict=reached
  else
    verdict=MISSED
    missed=$((missed + 1))
  fi
  echo "$row | $bar | ${figure:-no figure, see .build/proofs/$row.log} | $verdict"
done
[ "$missed" -eq 0 ]
