#!/bin/bash
# engine.sh : a docker engine that answers. Leaves a running one alone; otherwise installs Debian's and starts it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
docker info >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] || { echo "no docker engine answers; start one, or run this as root on Debian" >&2; exit 1; }
command -v dockerd >/dev/null || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null; }
if [ -d /run/systemd/system ]; then systemctl start docker; else
  config=/etc/docker/daemon.json; mkdir -p /etc/docker /var/log
  # A machine without CAP_SYS_RESOURCE (bit 24) cannot grant it: engine-runc takes it out of each request.
  if [ ! -e $config ] && [ $(( 0x$(awk '/^CapBnd/{print $2}' /proc/self/status) >> 24 & 1 )) = 0 ]; then
    install -m755 "$here/engine-runc" /usr/local/sbin/engine-runc
    echo '{"runtimes":{"fit":{"path":"/usr/local/sbin/engine-runc"}},"default-runtime":"fit"}' > $config
  fi
  setsid nohup dockerd > /var/log/dockerd.log 2>&1 < /dev/null 9>&- &   # 9: the caller's lock, not for ever
fi
for _ in $(seq 60); do docker info >/dev/null 2>&1 && exit 0; sleep 0.5; done
echo "the docker engine did not start; see /var/log/dockerd.log" >&2; exit 1
