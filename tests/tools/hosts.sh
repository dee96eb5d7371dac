#!/bin/bash
# Hosts of our own on one machine, for tests, as root: network namespaces joined by a switch.
#   up [N]        makes hosts h1 to hN (2), of addresses $NETNS_NET.1 and so on, on interface eth0
#   down          removes them, and kills what runs there
#   exec HOST CMD...
#   cut HOST      pulls its cable: packets vanish, nobody is told
#   heal HOST
# The switch is in a namespace of its own, so nothing of it is seen on the machine's interfaces.
# Settings: NETNS_PREFIX of the namespaces' names, NETNS_NET. Needs iproute2.
set -u
P=${NETNS_PREFIX:?} NET=${NETNS_NET:-10.99.0} S=$P-sw

names() { ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^$P-(h[0-9]+|sw)$"; }

up() {
  local n=${1:-2} i j h
  # what is meant for a host and said outside of them shall not leave by the default route
  ip route replace unreachable "$NET.0/24"
  ip netns add "$S" && ip -n "$S" link add br0 type bridge && ip -n "$S" link set br0 up || return 1
  for i in $(seq "$n"); do
    h=$P-h$i
    ip netns add "$h" \
      && ip -n "$S" link add "p$i" type veth peer name eth0 netns "$h" \
      && ip -n "$S" link set "p$i" master br0 up \
      && ip -n "$h" addr add "$NET.$i/24" dev eth0 \
      && ip -n "$h" link set eth0 up && ip -n "$h" link set lo up || return 1
    mkdir -p "/etc/netns/$h"
    { echo "127.0.0.1 localhost"; for j in $(seq "$n"); do echo "$NET.$j h$j"; done; } \
      > "/etc/netns/$h/hosts"
  done
}

down() {
  local n p
  for n in $(names); do
    for p in $(ip netns pids "$n" 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
    ip netns del "$n"; rm -rf "/etc/netns/$n"
  done
  ip route del unreachable "$NET.0/24" 2>/dev/null
  return 0
}

case "${1:-}" in
  up) up "${2:-2}";;
  down) down;;
  exec) h=$2; shift 2   # not `ip netns exec`: that gives a new /sys, without the cgroups of slurmd
    exec nsenter "--net=/run/netns/$P-$h" unshare --uts --mount --propagation private sh -c \
      'mount --bind "$0" /etc/hosts && hostname "$1" && shift && exec "$@"' \
      "/etc/netns/$P-$h/hosts" "$h" "$@";;
  cut) ip -n "$S" link set "p${2#h}" down;;
  heal) ip -n "$S" link set "p${2#h}" up;;
  *) sed -n '2,9p' "$0"; exit 2;;
esac
