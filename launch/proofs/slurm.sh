#!/usr/bin/env bash
# A real Slurm on this machine's loopback cuts a run at its time limit, again and again, and queues it
# again: its end against a run that was never cut. About 5 minutes; needs root. Figure = how often it
# was cut, and whether the ends are equal bit for bit.
set -euo pipefail
. "$(dirname "$0")/runs.sh"
[ "$(id -u)" -eq 0 ] || fail "slurmctld and slurmd need root"
install_packages slurm-wlm munge
# The last one started is ended first: each speaks through those before it.
daemons=()
slurm=$folder/slurm
export SLURM_CONF=$slurm/slurm.conf
finish_slurm() {
  [ -z "$job" ] || kill -KILL "$job" 2> /dev/null || true
  # Of this Slurm alone: the settings say where it is. A job that outlives its slurmd would linger.
  scancel --user=root 2> /dev/null || true
  for _ in $(seq 20); do
    [ -n "$(squeue --noheader 2> /dev/null)" ] || break
    sleep 1
  done
  for daemon in "${daemons[@]}"; do
    kill "$daemon" 2> /dev/null || continue
    wait "$daemon" || true
  done
  cat "$slurm"/*.log >&2
  rm -rf "$folder"
}
trap finish_slurm EXIT

# munged wants folders that all may enter and only their owner may change.
chmod 755 "$folder"
mkdir -p "$slurm/state" "$slurm/spool"
host=$(hostname -s)
port=$(random 20000 29998)
cat > "$SLURM_CONF" << CONFIGURATION
ClusterName=apus
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
OverTimeLimit=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONFIGURATION
mungekey --create --keyfile "$slurm/munge.key"
munged --foreground --force --key-file "$slurm/munge.key" --socket "$slurm/munge.socket" \
  --pid-file "$slurm/munged.pid" --seed-file "$slurm/munge.seed" --log-file "$slurm/munged.log" &
daemons+=($!)
until [ -S "$slurm/munge.socket" ]; do kill -0 "${daemons[0]}"; sleep 0.1; done
slurmctld -D >&2 &
daemons=($! "${daemons[@]}")
slurmd -D >&2 &
daemons=($! "${daemons[@]}")
for _ in $(seq 300); do
  [ "$(sinfo --noheader --format=%T 2> /dev/null)" != idle ] || break
  sleep 0.1
done
[ "$(sinfo --noheader --format=%T)" = idle ] || fail "Slurm did not start"

# A minute is the shortest limit; the warning comes 10 to 40 s after the start.
settings=("${small[@]}" --set checkpoint.every=0)
started=$SECONDS
start 2 "${settings[@]}" --set training.steps=400 --set run.name=pace
finish
steps=$((400 * 100 / (SECONDS - started + 1)))
settings+=(--set training.steps="$steps")
start 2 "${settings[@]}" --set run.name=whole
finish
number=$(sbatch --parsable --time=1 --signal=B:USR1@20 --output="$slurm/job.log" \
  launch/slurm.sbatch pretrain "${settings[@]}" --set run.name=cut)
# field NAME: what Slurm says of the job.
field() { scontrol show job "$number" | sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" | head -n 1; }
state=PENDING
for _ in $(seq 600); do
  state=$(field JobState)
  # Slurm would wait two minutes before it starts a job again.
  [ "$state" != PENDING ] || scontrol update JobId="$number" StartTime=now 2> /dev/null || true
  case $state in PENDING | RUNNING | COMPLETING | REQUEUED) sleep 1 ;; *) break ;; esac
done
cuts=$(field Restarts)
verdict=differ
[ "$(digest cut)" != "$(digest whole)" ] || verdict="equal bit for bit"
echo "cut $cuts times before its limit, $state at step $(steps_done cut) of $steps: $verdict"
[ "$state" = COMPLETED ] && [ "$cuts" -ge 1 ] && [ "$verdict" = "equal bit for bit" ]
