#!/usr/bin/env bash
# Network namespaces as hosts on one machine, to test what needs several: a switch joins them, ranks on
# different ones talk over TCP, files are shared. Needs root; leaves nothing behind however it ends.
#   launch/hosts.sh run --hosts N --ranks M [--rate 1gbit] COMMAND …
# In steps, for tests that cut a host off or read its counters (ip -n NAME-I -s link show eth0):
#   launch/hosts.sh up NAME N [RATE]                   makes the hosts NAME-1 … NAME-N
#   launch/hosts.sh run --on NAME --ranks M COMMAND …  dealt out evenly; rank 0 and mpirun on NAME-1
#   launch/hosts.sh cut NAME I loudly|silently         takes host I's link down, or drops its frames
#   launch/hosts.sh down NAME                          ends what runs on them, and removes them
# What stands in single quotes is for the shells that are started.
# shellcheck disable=SC2016
set -uo pipefail
. "$(dirname "$0")/environment.sh"

usage() { fail "$*; usage:"$'\n'"$(sed -n 's/^#   /  /p' "$0")"; }
is_count() { case $1 in '' | *[!0-9]* | 0*) return 1 ;; esac }

# The hosts of NAME, and with "all" their switch.
hosts_of() {
  ip netns list | sed 's/ .*//' | grep -x -E "$1-([0-9]+${2:+|switch})" | sort -t - -k 2 -n
}

up() {
  local name=$1 hosts=$2 rate=${3:-} host port
  [[ $name =~ ^[a-z][a-z0-9]{0,20}$ ]] || fail "'$name' is no name of hosts: letters and digits only"
  if ! is_count "$hosts" || [ "$hosts" -gt 200 ]; then fail "'$hosts' is no number of hosts: 1 to 200"; fi
  [ -z "$(hosts_of "$name" all)" ] || fail "there are hosts named $name: launch/hosts.sh down $name"
  set -e
  ip netns add "$name-switch"
  ip -n "$name-switch" link add switch type bridge
  ip -n "$name-switch" link set switch up
  for host in $(seq "$hosts"); do
    port=port$host
    ip netns add "$name-$host"
    ip -n "$name-switch" link add "$port" type veth peer name eth0 netns "$name-$host"
    ip -n "$name-switch" link set "$port" master switch up
    ip -n "$name-$host" link set lo up
    ip -n "$name-$host" address add "10.77.0.$host/24" dev eth0
    ip -n "$name-$host" link set eth0 up
    mkdir -p "/etc/netns/$name-$host"
    { echo 127.0.0.1 localhost && for i in $(seq "$hosts"); do echo "10.77.0.$i $name-$i"; done; } \
      > "/etc/netns/$name-$host/hosts"
    [ -n "$rate" ] || continue
    # In both directions: what leaves the host, and what the switch sends it.
    ip netns exec "$name-$host" tc qdisc add dev eth0 root tbf rate "$rate" burst 128kb latency 100ms
    ip netns exec "$name-switch" tc qdisc add dev "$port" root tbf rate "$rate" burst 128kb latency 100ms
  done
  set +e
}

down() {
  local host
  for host in $(hosts_of "$1" all); do
    ip netns pids "$host" 2> /dev/null | xargs -r kill -KILL 2> /dev/null
    ip netns delete "$host" 2> /dev/null
    rm -rf "/etc/netns/$host" "${TMPDIR:-/tmp}/ompi.$host."* "/tmp/ompi.$host."* \
      /dev/shm/vader_segment."$host".*
  done
}

cut_off() {
  hosts_of "$1" | grep -q -x -e "$1-$2" || fail "there is no host $1-$2"
  case $3 in
    loudly) ip -n "$1-$2" link set eth0 down ;;
    # The cable stays in: nobody is told.
    silently) ip -n "$1-switch" link set "port$2" nomaster ;;
    *) usage "a host is cut off loudly or silently, not '$3'" ;;
  esac
}

# What mpirun calls in place of ssh, and as bare: none of the environment goes along.
enter() {
  local host=$1
  shift
  exec ip netns exec "$host" env -i PATH="$PATH" HOME="$HOME" \
    unshare --uts sh -c "hostname $host; exec sh -c '$*'"
}

name=
run() {
  local hosts='' ranks='' rate='' host list=''
  while [ $# -ge 2 ]; do
    case $1 in
      --on) name=$2 ;;
      --hosts) hosts=$2 ;;
      --ranks) ranks=$2 ;;
      --rate) rate=$2 ;;
      *) break ;;
    esac
    shift 2
  done
  is_count "$ranks" || usage "'$ranks' is no number of ranks"
  [ $# -ge 1 ] || usage "there is no command"
  command -v mpirun > /dev/null || fail "mpirun is missing; launch/build.sh installs it"
  command -v "$1" > /dev/null || fail "there is no command '$1'"
  if [ -z "$name" ]; then
    name=apus$$
    trap 'down "$name"' EXIT
    up "$name" "$hosts" "$rate"
    # If this script is killed, another takes the hosts down.
    setsid sh -c 'tail --pid="$1" -f /dev/null; exec "$0" down "$2"' "$apus_root/launch/hosts.sh" \
      "$$" "$name" < /dev/null > /dev/null 2>&1 &
  fi
  hosts=$(hosts_of "$name" | wc -l)
  [ "$hosts" -ge 1 ] || fail "there are no hosts named $name: launch/hosts.sh up $name N"
  [ "$ranks" -ge "$hosts" ] || fail "$ranks ranks are too few for $hosts hosts"
  for host in $(seq "$hosts"); do
    list+=,$name-$host:$((ranks / hosts + (host <= ranks % hosts ? 1 : 0)))
  done

  export APUS_NETWORK=10.77.0.0/24
  # Bound, the first rank of every host would get the same core.
  set_mpirun_options "$ranks" shared
  [ -t 1 ] || export TERM=dumb
  setsid ip netns exec "$name-1" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$name-1" \
    mpirun "${mpirun_options[@]}" --mca plm_rsh_no_tree_spawn 1 \
    --mca plm_rsh_agent "$apus_root/launch/hosts.sh enter" --host "${list#,}" -n "$ranks" "$@" &
  job=$!
  await_job
}

[ "$(id -u)" -eq 0 ] || fail "network namespaces need root: sudo launch/hosts.sh …"
if ! command -v ip > /dev/null || ! command -v tc > /dev/null; then install_packages iproute2; fi
action=${1:-nothing}/$#
shift || true
case $action in
  run/*) run "$@" ;;
  up/3 | up/4) up "$@" ;;
  cut/4) cut_off "$@" ;;
  down/2) down "$@" ;;
  enter/*) enter "$@" ;;
  *) usage "this is not what launch/hosts.sh does: ${action%/*} $*" ;;
esac
