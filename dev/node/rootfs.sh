#!/bin/bash
# rootfs.sh DIR : the node's userland. Bookworm, because its systemd 252 still boots on cgroup v1 (256 and later refuse).
set -euo pipefail
[ -e "$1/.done" ] && exit 0
rm -rf "$1" "$1.new"
packages=systemd,systemd-sysv,dbus,iptables,nftables,ipset,iproute2,ethtool,socat,conntrack,mount,util-linux,kmod,procps
packages+=,containerd,runc,containernetworking-plugins,jq,ca-certificates,pigz,iputils-ping
debootstrap --variant=minbase --include=$packages bookworm "$1.new" > "$1.log" 2>&1 || { tail "$1.log" >&2; exit 1; }
touch "$1.new/.done"
mv "$1.new" "$1"
