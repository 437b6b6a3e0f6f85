#!/usr/bin/env bash
# Sets a, b, c beside PyTorch, in turn: APUS_PEERS names a Python environment with torch and
# transformers, made by ../shared/peers/setup.sh. Figure = the verdicts; the table goes to the log.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
bench=../shared/peers/bench_torch.py
[ -x "${APUS_PEERS:-}/bin/python" ] && [ -f "$bench" ] ||
  fail "set APUS_PEERS to an environment of ../shared/peers/setup.sh, and keep ../shared beside the package"
status=0
Benchmarks/peers.sh "$APUS_PEERS/bin/python" "$bench" --rounds 2 > .build/proofs/peers.md || status=$?
cat .build/proofs/peers.md >&2
grep -c '| met |' .build/proofs/peers.md | sed 's/$/ of 12 bars met/' || true
exit "$status"
