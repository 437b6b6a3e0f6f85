#!/usr/bin/env bash
# Central differences of every operation and of whole small models: figure = the worst relative error.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
"$apus" verify gradients | tee /dev/stderr | tail -n 1
