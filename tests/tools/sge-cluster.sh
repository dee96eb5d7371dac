#!/bin/bash
# A real Grid Engine (Debian's 8.1.9) on one machine, for tests, as root, in a private folder.
#   install FOLDER   unpacks the packages there: gridengine-client conflicts with slurm-wlm-torque,
#                    so it is never installed; FOLDER is then linked as /usr/lib/gridengine, the
#                    path that is compiled in
#   start | stop     ends the jobs, and only what `start` started
# Settings: SGE_TEST_DIR SGE_TEST_PORT (and the next one) SLOTS
set -u
H=$(hostname -s)
B=/usr/lib/gridengine
SHARE=$(readlink -f $B)/../../share/gridengine

say() { echo "sge-cluster: $*" >&2; }
# a zombie that nobody has reaped yet answers kill -0: look at its state
up() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
alive() { [ -s "$1" ] && up "$(cat "$1")"; }

install_() {   # FOLDER
  set -e
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -q -y --no-install-recommends \
    libdb5.3 libhwloc15 libjemalloc2 libmunge2 libtirpc3 libssl3 >/dev/null
  local debs; debs=$(mktemp -d); chmod 755 "$debs"
  (cd "$debs" && apt-get download -qq gridengine-{master,exec,client,common} 2>/dev/null)
  mkdir -p "$1"
  local d; for d in "$debs"/*.deb; do dpkg -x "$d" "$1"; done
  rm -rf "$debs"
  ln -sfn "$(readlink -f "$1")/usr/lib/gridengine" $B
}

settings() {
  D=${SGE_TEST_DIR:?} P=${SGE_TEST_PORT:?}
  export SGE_ROOT=$D/sge SGE_CELL=default SGE_QMASTER_PORT=$P SGE_EXECD_PORT=$((P+1))
  export SGE_CLUSTER_NAME=t$P PATH=$B:$PATH LD_LIBRARY_PATH=$B
}
setup() {
  [ -f "$SGE_ROOT/default/common/bootstrap" ] && return
  local C=$SGE_ROOT/default/common S=$D/spool d
  mkdir -p "$C" "$S/qmaster/job_scripts" "$S/execd" "$SGE_ROOT"/{bin,utilbin,lib} "$D/log"
  ln -sfn "$SHARE/util" "$SGE_ROOT/util"
  for d in bin utilbin lib; do ln -sfn $B "$SGE_ROOT/$d/lx-amd64"; done
  cat > "$C/bootstrap" <<E
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         classic
spooling_lib            libspoolc
spooling_params         $C;$S/qmaster
binary_path             $B
qmaster_spool_dir       $S/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
E
  sed -e "s#^execd_spool_dir .*#execd_spool_dir $S/execd#; s#^min_uid.*#min_uid 0#" \
    -e "s#^min_gid.*#min_gid 0#; s#^load_report_time.*#load_report_time 00:00:02#" \
    -e "s#^max_unheard.*#max_unheard 00:00:10#; s#^mailer.*#mailer /bin/true#" \
    -e "s#^shell_start_mode.*#shell_start_mode unix_behavior#; s#^login_shells.*#login_shells none#" \
    -e "s#^execd_params.*#execd_params ENABLE_ADDGRP_KILL=true#" \
    "$SHARE/default-configuration" > "$D/configuration"
  echo "$H" > "$C/act_qmaster"
  # every name of 127.0.0.1 is this host, else it is denied
  echo "$H $(awk '$1=="127.0.0.1"{for(i=2;i<=NF;i++)print $i}' /etc/hosts | grep -vx "$H" | sort -u | tr '\n' ' ')" > "$C/host_aliases"
  {
    $B/spoolinit classic libspoolc "$C;$S/qmaster" init &&
    $B/spooldefaults.bin configuration "$D/configuration" &&
    $B/spooldefaults.bin complexes "$SHARE/util/resources/centry" || return 1
    $B/spooldefaults.bin usersets "$SHARE/util/resources/usersets"
    $B/spooldefaults.bin managers root
    $B/spooldefaults.bin operators root
    $B/spooldefaults.bin adminhosts "$H"
  } >>"$D/log/setup" 2>&1
  return 0
}
queue_conf() {
  qconf -as "$H"; qconf -ah "$H"
  qconf -sq all.q && return
  local f=$D/obj; mkdir -p "$f"
  printf 'group_name @allhosts\nhostlist %s\n' "$H" > "$f/hg"; qconf -Ahgrp "$f/hg"
  printf '%s\n' 'pe_name smp' 'slots 999' 'user_lists NONE' 'xuser_lists NONE' \
    'start_proc_args NONE' 'stop_proc_args NONE' 'allocation_rule $pe_slots' \
    'control_slaves FALSE' 'job_is_first_task TRUE' 'urgency_slots min' \
    'accounting_summary FALSE' 'qsort_args NONE' > "$f/pe"; qconf -Ap "$f/pe"
  qconf -sq > "$f/q0"
  sed -e "s#^qname .*#qname all.q#; s#^hostlist .*#hostlist @allhosts#; s#^pe_list .*#pe_list smp#" \
    -e "s#^slots .*#slots ${SLOTS:-4}#; s#^load_thresholds .*#load_thresholds NONE#" \
    -e "s#^shell .*#shell /bin/bash#; s#^notify .*#notify 00:00:03#" "$f/q0" > "$f/q"
  qconf -Aq "$f/q"
  qconf -ssconf | sed -e 's#^schedule_interval .*#schedule_interval 0:0:2#' \
    -e 's#^flush_submit_sec .*#flush_submit_sec 1#; s#^flush_finish_sec .*#flush_finish_sec 1#' \
    > "$f/sched"; qconf -Msconf "$f/sched"
}
start_() {
  setup || { say "setup: $(tail -3 "$D/log/setup")"; return 1; }
  alive "$D/spool/qmaster/qmaster.pid" || $B/sge_qmaster >>"$D/log/qmaster" 2>&1 || { say "qmaster: $(tail -3 "$D/log/qmaster")"; return 1; }
  local i; for i in $(seq 300); do qconf -sm >/dev/null 2>&1 && break; sleep 0.2; done
  queue_conf >>"$D/log/setup" 2>&1
  $B/sge_execd >>"$D/log/execd" 2>&1 || { say "execd: $(cat "$D/log/execd")"; return 1; }
  for i in $(seq 300); do
    qstat -f 2>/dev/null | awk '/^all.q/ && NF==5 && $4!="-NA-"{ok=1} END{exit !ok}' && return
    sleep 0.2
  done
  say "the queue is not up: $(qstat -f)"; return 1
}
stop_() {
  local p f i n pids=""
  timeout 5 qdel -f -u '*' >/dev/null 2>&1
  for f in "$D"/spool/execd/*/execd.pid "$D/spool/qmaster/qmaster.pid"; do
    alive "$f" && pids="$pids $(cat "$f")"
  done
  [ -z "$pids" ] && return
  for i in $(seq 150); do   # until the jobs are gone: those of the daemons' own children
    n=0; for p in $pids; do [ -z "$(cat /proc/"$p"/task/*/children 2>/dev/null)" ] || n=1; done
    [ $n = 0 ] && break; sleep 0.1
  done
  kill -9 $pids 2>/dev/null   # when told to end they take ten seconds for what nobody reads
  for i in $(seq 50); do
    n=0; for p in $pids; do up "$p" && n=1; done
    [ $n = 0 ] && return; sleep 0.1
  done
}
case "${1:-}" in
  install) install_ "$2";;
  start) settings; start_;;
  stop) settings; stop_;;
  *) sed -n 2,8p "$0"; exit 2;;
esac
