#!/bin/bash
# engine.sh : a docker engine that answers. Leaves a running one alone; otherwise installs Debian's and starts it.
. "$(dirname "$0")/common.sh"
need_platform
docker info >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] || die "no docker engine answers to $(id -un); start one (and join the group 'docker'), or run this as root on Debian"
exclusive engine
if ! have dockerd; then
  have apt-get || die "there is no docker engine, and this is no Debian where one could be installed; install Docker and run it again"
  say "installing Debian's docker engine (half a minute)"
  need_packages dockerd:docker.io iptables:iptables
  need_packages docker:docker-cli   # a package of its own since Debian 13
fi

without_init() { # a machine (or container) that systemd does not run
  local config=/etc/docker/daemon.json bounding
  mkdir -p /etc/docker /var/log
  # A machine without CAP_SYS_RESOURCE (bit 24) cannot grant it: engine-runc takes it out of each request.
  bounding=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  if [ ! -e $config ] && [ $((0x$bounding >> 24 & 1)) = 0 ]; then
    install -m755 "$DEV/engine-runc" /usr/local/sbin/engine-runc
    echo '{"runtimes":{"fit":{"path":"/usr/local/sbin/engine-runc"}},"default-runtime":"fit"}' > $config
  fi
  setsid nohup dockerd > /var/log/dockerd.log 2>&1 < /dev/null 9>&- &   # 9 is the caller's lock: not for ever
}

say "starting the docker engine"
if [ -d /run/systemd/system ]; then systemctl start docker; log="journalctl -u docker"; else without_init; log=/var/log/dockerd.log; fi
for _ in $(seq 60); do docker info >/dev/null 2>&1 && exit 0; sleep 0.5; done
die "the docker engine did not start within 30 s; see $log"
