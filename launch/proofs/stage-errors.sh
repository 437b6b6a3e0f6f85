#!/usr/bin/env bash
# What stages, tasks and pipelines must refuse by name: figure = tests of refusals that passed.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
suites='StageResumeTests|PolicyStageTests|PolicyRefusalTests|ConversationTests|PromptFileTests|StageCommandTests|TaskCommandTests|PipelineTests|ChatTemplateTests'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
.build/release/ApusPackageTests.xctest --testing-library swift-testing \
  --filter "$suites" \
  > "$log" 2>&1 || status=$?
cat "$log" >&2
grep -a -o -E '[0-9]+ tests? in [0-9]+ suites? (passed|failed)' "$log" | tail -n 1
for suite in ${suites//|/ }; do
  grep -q "Suite $suite passed" "$log" || { echo "no suite $suite" >&2; status=1; }
done
[ "$status" -eq 0 ]
