# Sourced by every launch script: what the machine must have, and how mpirun is called.
# The one place of Open MPI's settings. Works as root in a container and as a user with sudo.

apus_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
apus=$apus_root/.build/release/apus
swift_needed=6.3
packages=(openmpi-bin libopenmpi-dev libopenblas-dev libssl-dev pkg-config)

# Forces slower kernels where a machine exports them; OpenBLAS reads them before main.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
# Apus shares its products out to threads of its own; OpenBLAS would start idle ones.
export OPENBLAS_NUM_THREADS=1

say() { echo "apus: $*" >&2; }
fail() { say "$*"; exit 1; }

# Ends the script unless Swift is new enough.
require_swift() {
  local found=none
  if command -v swift > /dev/null; then
    found=$(swift --version 2>&1 | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
  fi
  if [ "$found" = none ] || [ -z "$found" ] ||
    [ "$(printf '%s\n' "$swift_needed" "$found" | sort -V | head -n 1)" != "$swift_needed" ]; then
    fail "Swift $swift_needed or newer is needed, found: ${found:-none}. Debian has no package of it:
  download it for Debian 12 from https://www.swift.org/install/linux/ (swiftly, or the archive),
  unpack it, and put its usr/bin first in PATH. Then run this again."
  fi
}

# Installs those of the named Debian packages that are missing.
install_packages() {
  local package missing=() become=()
  if ! command -v dpkg-query > /dev/null; then
    say "this is no Debian: what these packages hold must be there already: $*"
    return
  fi
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null ||
      fail "missing: ${missing[*]}; there is no sudo: as root run: apt-get install ${missing[*]}"
    become=(sudo)
  fi
  say "installing ${missing[*]}"
  local get=("${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  "${get[@]}" install --no-install-recommends "${missing[@]}" > /dev/null 2>&1 && return 0
  # Package lists may be missing or old.
  "${get[@]}" update > /dev/null 2>&1 || say "apt-get update failed"
  "${get[@]}" install --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install ${missing[*]}. Without network install them by hand, then run this again."
}

# require_python PACKAGE …: sets python to one that has these packages: PYTHON of the environment, or
# one of the project's own in .build/python, made and filled here.
require_python() {
  local package own=$apus_root/.build/python missing=()
  python=${PYTHON:-$own/bin/python}
  if [ -z "${PYTHON:-}" ] && [ ! -x "$python" ]; then
    say "making a Python environment in $own"
    python3 -m venv "$own" >&2 ||
      fail "python3 cannot make an environment; on Debian: apt-get install python3-venv"
  fi
  for package in "$@"; do
    "$python" -c "import $package" 2> /dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON lacks ${missing[*]}"
  say "installing ${missing[*]}"
  "$python" -m pip install --quiet --disable-pip-version-check "${missing[@]}" >&2 ||
    fail "pip could not install ${missing[*]}: without network let PYTHON name a Python that has them"
}

# Physical cores that this process may use: what mpirun counts as slots.
core_count() {
  local cores
  cores=$(lscpu -p=Core,Socket 2> /dev/null | grep -v '^#' | sort -u | wc -l)
  [ "$cores" -gt 0 ] || cores=$(nproc)
  [ "$cores" -le "$(nproc)" ] || cores=$(nproc)
  echo "$cores"
}

# Fills the array mpirun_options for so many ranks on a machine; "shared" says that other jobs run on
# it too, or a scheduler binds to cores, so that mpirun must not. APUS_NETWORK, an interface or a
# subnet (eth0, 10.0.0.0/16), has hosts talk over TCP on that network alone; without it Open MPI
# chooses among all that it finds.
set_mpirun_options() {
  local ranks=$1 cores
  cores=$(core_count)
  mpirun_options=(
    # A dead rank ends the others at once, not after a second.
    --mca odls_base_sigkill_timeout 0
    # A lost host is noticed in seconds, not in eight minutes.
    --mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1
    --mca oob_tcp_keepalive_probes 3
    # This component of 4.1 breaks sums over hosts; off is its default, and stays so.
    --mca coll_han_priority 0
    # Messages that go out while a rank computes are of 512 KB: within this limit they need no answer
    # first. A wire of 1 Gbit/s then carries 118 MB/s both ways at once, without it 60 to 80.
    --mca btl_tcp_eager_limit 540672
    # Of the environment other hosts get only what is named.
    -x OPENBLAS_NUM_THREADS)
  [ -z "${LD_LIBRARY_PATH:-}" ] || mpirun_options+=(-x LD_LIBRARY_PATH)
  if [ -n "${APUS_NETWORK:-}" ]; then
    mpirun_options+=(--mca pml ob1 --mca btl "self,vader,tcp"
      --mca btl_tcp_if_include "$APUS_NETWORK" --mca oob_tcp_if_include "$APUS_NETWORK")
  fi
  if [ "$ranks" -gt "$cores" ]; then
    # Ranks that wait must yield: 500 times faster.
    mpirun_options+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
  elif [ "$ranks" -lt "$cores" ] || [ "${2:-}" = shared ]; then
    # By default two ranks would get one core each, whatever the machine has.
    mpirun_options+=(--bind-to none)
  fi
  if [ "$(id -u)" -eq 0 ]; then mpirun_options+=(--allow-run-as-root); fi
  # In some containers ranks may not read each other's memory directly.
  if ! may_read_memory; then mpirun_options+=(--mca btl_vader_single_copy_mechanism none); fi
}

# Waits for mpirun, whose process is $job, and gives its status. INT, TERM, HUP and USR1 let the ranks
# save and stop (status 75): mpirun itself gives them no time, but passes USR1 on and lives on. One
# more INT, TERM or HUP ends them at once, and if mpirun cannot reach a host, mpirun.
await_job() {
  trap stop_job INT TERM HUP
  trap 'kill -USR1 "$job"' USR1
  while kill -0 "$job" 2> /dev/null; do wait "$job"; done
  wait "$job"
}
stop_job() {
  stops=$((${stops:-0} + 1))
  case $stops in
    1)
      say "saving, then stopping; once more stops at once"
      kill -USR1 "$job"
      ;;
    2)
      say "stopping at once"
      kill -TERM "$job"
      ;;
    *) kill -KILL "$job" ;;
  esac
}

# Whether a process may read the memory of another of the same user (process_vm_readv), by trying.
may_read_memory() {
  local call protection=/proc/sys/kernel/yama/ptrace_scope
  # The kernel then allows it towards own children only, and ranks are siblings.
  if [ -r "$protection" ] && [ "$(cat "$protection")" -gt 0 ] && [ "$(id -u)" -ne 0 ]; then
    return 1
  fi
  case $(uname -m) in
    x86_64) call=310 ;;
    aarch64) call=270 ;;
    *) return 1 ;;
  esac
  perl -e '
    my ($call, $memory, $copy) = ($ARGV[0] + 0, "readable", "\0" x 8);
    my $child = fork;
    if (!$child) { sleep 5; exit }
    my $vector = sub { pack("QQ", unpack("Q", pack("P", $_[0])), 8) };
    my $read = syscall($call, $child, $vector->($copy), 1, $vector->($memory), 1, 0);
    kill 9, $child;
    exit($read == 8 ? 0 : 1)' "$call"
}
