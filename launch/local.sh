#!/usr/bin/env bash
# Runs a command on N ranks of this machine: launch/local.sh N COMMAND …
# Ctrl-C, TERM and USR1 let the ranks save and stop (exit status 75); a second one ends them at once.
set -uo pipefail
. "$(dirname "$0")/environment.sh"

[ $# -ge 2 ] || fail "usage: launch/local.sh N COMMAND …   e.g. launch/local.sh 2 $apus pretrain configs/toy.yaml"
ranks=$1
shift
case $ranks in '' | *[!0-9]* | 0) fail "'$ranks' is no number of ranks" ;; esac
command -v mpirun > /dev/null || fail "mpirun is missing; launch/build.sh installs it"
command -v "$1" > /dev/null || fail "there is no command '$1'"

set_mpirun_options "$ranks"
# mpirun gives ranks a terminal of its own, even when this script writes to a file.
[ -t 1 ] || export TERM=dumb
# In a session of its own, so that Ctrl-C reaches this script alone.
setsid mpirun "${mpirun_options[@]}" -n "$ranks" "$@" &
job=$!
await_job
