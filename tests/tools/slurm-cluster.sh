#!/bin/bash
# A real Slurm of several nodes on one machine, for tests, as root, in a private folder.
# Needs slurmctld slurmd slurm-client munge, and slurm-wlm-torque for qsub, qstat and qdel.
#   start                munged, slurmctld and a slurmd for each node; waits until all are idle
#   stop                 cancels the jobs, then ends what `start` started, and nothing else
#   stop-controller | start-controller
#   kill-node NAME       SIGKILL for the node's slurmd and all that its jobs run: a crash
#   hang-node NAME       SIGSTOP for its slurmd: it does not answer, its jobs go on
#   cont-node NAME       SIGCONT
#   freeze-node NAME     SIGSTOP for its slurmd and all that its jobs run
#   thaw-node NAME       SIGCONT for all of that
#   start-node NAME      starts its slurmd again
# Settings: SLURM_TEST_DIR PORT0, and NODES CPUS MEM (MiB) of a node (both fictitious)
# KILLWAIT MINJOBAGE TIMEOUT_NODE (s without an answer until a node is down), ADDR of all of it
set -u
D=${SLURM_TEST_DIR:?} PORT0=${PORT0:?}
NODES=${NODES:-3} CPUS=${CPUS:-2} MEM=${MEM:-4000}
KILLWAIT=${KILLWAIT:-5} MINJOBAGE=${MINJOBAGE:-300} TIMEOUT_NODE=${TIMEOUT_NODE:-20}
H=$(hostname -s) ADDR=${ADDR:-127.0.0.1}
export SLURM_CONF=$D/slurm.conf
SPANK=/usr/lib/$(uname -m)-linux-gnu/slurm-wlm/spank_pbs.so

say() { echo "slurm-cluster: $*" >&2; }
# a zombie that nobody has reaped yet answers kill -0: look at its state
up() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
alive() { [ -s "$1" ] && up "$(cat "$1")"; }
gone() {   # S PID...: waits until they are, kills what takes longer than so many seconds
  local i p n most=$1; shift
  for i in $(seq $((10*most))); do
    n=0; for p in "$@"; do up "$p" && n=1; done
    [ $n = 0 ] && return; sleep 0.1
  done
  kill -9 "$@" 2>/dev/null
}

write_conf() {
  mkdir -p "$D"/{ctld,log,run,munge}
  chmod 755 "$D" "$D/munge"
  [ -s "$D/munge/key" ] || head -c 128 /dev/urandom > "$D/munge/key"
  chmod 600 "$D/munge/key"
  printf 'CgroupPlugin=autodetect\nCgroupAutomount=no\n' > "$D/cgroup.conf"
  local pbs=
  if [ -e "$SPANK" ]; then   # PBS_JOBID and the like in the jobs of qsub
    pbs=JobSubmitPlugins=pbs; echo "required $SPANK" > "$D/plugstack.conf"
  fi
  {
  cat <<EOC
ClusterName=test
SlurmctldHost=$H($ADDR)
SlurmctldPort=$PORT0
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits: 5 is the least that is taken
AuthInfo=socket=$D/munge/munge.sock,cred_expire=5
StateSaveLocation=$D/ctld
SlurmdSpoolDir=$D/spool-%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
# no cgroups, no systemd: processes are followed by /proc
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
# more nodes and CPUs than the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,default_queue_depth=200
PriorityType=priority/basic
MpiDefault=none
ReturnToService=2
SlurmdTimeout=$TIMEOUT_NODE
InactiveLimit=0
KillWait=$KILLWAIT
MinJobAge=$MINJOBAGE
OverTimeLimit=0
BatchStartTimeout=120
MessageTimeout=5
TCPTimeout=2
Waittime=0
AccountingStorageType=accounting_storage/none
$pbs
EOC
  local i
  for i in $(seq "$NODES"); do
    echo "NodeName=n$i NodeHostname=$H NodeAddr=$ADDR Port=$((PORT0+i)) CPUs=$CPUS RealMemory=$MEM"
  done
  echo "PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 DefMemPerCPU=$((MEM/CPUS)) State=UP"
  } > "$D/slurm.conf"
}

start_munge() {
  alive "$D/munge/munged.pid" && return
  rm -f "$D"/munge/munge.sock*
  munged --force --key-file="$D/munge/key" --socket="$D/munge/munge.sock" \
    --pid-file="$D/munge/munged.pid" --log-file="$D/log/munged.log" \
    --seed-file="$D/munge/seed" </dev/null >/dev/null 2>&1
}
start_controller() {
  alive "$D/run/slurmctld.pid" || slurmctld -f "$D/slurm.conf" </dev/null >/dev/null 2>>"$D/log/slurmctld.err"
}
stop_controller() {
  local p; p=$(cat "$D/run/slurmctld.pid") && kill "$p" && gone 60 "$p"
}
start_node() {
  alive "$D/run/slurmd-$1.pid" && return
  mkdir -p "$D/spool-$1"
  slurmd -N "$1" -f "$D/slurm.conf" </dev/null >/dev/null 2>>"$D/log/slurmd-$1.err"
}
start_() {
  write_conf
  start_munge || { say "munged: $(tail -3 "$D/log/munged.log")"; return 1; }
  start_controller || { say "slurmctld: $(tail -5 "$D/log/slurmctld.log")"; return 1; }
  local i
  for i in $(seq "$NODES"); do
    start_node "n$i" || { say "slurmd n$i: $(tail -3 "$D/log/slurmd-n$i.log")"; return 1; }
  done
  for i in $(seq 600); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = "$NODES" ] && return
    sleep 0.1
  done
  say "nodes did not come up: $(sinfo -N -l)"; return 1
}
node_pids() {   # NAME: its slurmd, the slurmstepd of each job on it, and all that is below those
  local j p q all="" new
  new=$(cat "$D/run/slurmd-$1.pid" 2>/dev/null)
  for j in $(squeue -h -w "$1" -t R,CG,S -o %A 2>/dev/null | sort -u); do
    for p in $(scontrol listpids "$j" "$1" 2>/dev/null | awk 'NR>1 && $1>1{print $1}'); do
      all="$all $p"; q=$(awk '/^PPid:/{print $2}' "/proc/$p/status" 2>/dev/null)
      case "$(cat "/proc/${q:-0}/comm" 2>/dev/null)" in slurmstepd*) new="$new $q";; esac
    done
  done
  family $all $new
}
family() {   # PID...: they, and all that is below them
  local all="" p=$* q new
  while [ -n "${p// /}" ]; do
    all="$all $p"; new=
    for q in $p; do new="$new $(cat /proc/$q/task/*/children 2>/dev/null | tr '\n' ' ')"; done
    p=$new
  done
  echo $all | tr ' ' '\n' | sort -un | tr '\n' ' '
}
kill_node() {
  kill -9 $(node_pids "$1") 2>/dev/null
  # a script left in the spool makes the job's next start fail: "File exists"
  rm -rf "$D/run/slurmd-$1.pid" "$D/spool-$1"
}
freeze_node() {
  local p
  p=$(node_pids "$1"); kill -STOP $p 2>/dev/null
  p=$(family $p); kill -STOP $p 2>/dev/null   # what was forked meanwhile
  echo "$p" > "$D/run/frozen-$1"
}
thaw_node() {
  kill -CONT $(cat "$D/run/frozen-$1") 2>/dev/null; rm "$D/run/frozen-$1"
}
stop_() {
  [ -f "$D/slurm.conf" ] || return 0
  local f i pids=""
  if alive "$D/run/slurmctld.pid"; then
    timeout 5 scancel -Q --user=root 2>/dev/null
    for i in $(seq $(( (KILLWAIT+3)*5 ))); do
      [ -z "$(timeout 2 squeue -h 2>/dev/null)" ] && break; sleep 0.2
    done
  fi
  # the daemons remove their pid files before they are gone
  for f in "$D"/run/slurmd-*.pid "$D/run/slurmctld.pid" "$D/munge/munged.pid"; do
    alive "$f" && pids="$pids $(cat "$f")"
  done
  [ -z "$pids" ] && return
  kill -CONT $pids; kill -TERM $pids; gone 5 $pids
}
case "${1:-}" in
  start) start_;;
  stop) stop_;;
  start-controller) start_controller;;
  stop-controller) stop_controller;;
  start-node) start_node "$2";;
  kill-node) kill_node "$2";;
  hang-node) kill -STOP "$(cat "$D/run/slurmd-$2.pid")";;
  freeze-node) freeze_node "$2";;
  thaw-node) thaw_node "$2";;
  cont-node) kill -CONT "$(cat "$D/run/slurmd-$2.pid")";;
  *) sed -n '2,14p' "$0"; exit 2;;
esac
