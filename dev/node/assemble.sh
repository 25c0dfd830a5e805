#!/bin/bash
# assemble.sh ROOTFS BIN IMAGES.tar NAME RECIPE : the node image that kind starts
. "$(dirname "$0")/../common.sh"
root=$1 bin=$2 images=$3 name=$4 recipe=$5
tmp=$(mktemp -d -p "$CACHE"); n=$tmp/root containerd=
trap '[ -z "$containerd" ] || kill $containerd 2>/dev/null; rm -rf "$tmp"' EXIT

userland() { # the Debian userland without what a container does not start, and our files over it
  cp -a "$root" "$n"
  rm -rf "$n"/.done "$n"/var/cache/apt/archives/*.deb "$n"/var/lib/apt/lists/* "$n"/usr/share/{doc,man,locale}/* "$n"/var/log/*
  rm -f "$n"/etc/systemd/system/*.wants/* "$n"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* \
        "$n"/lib/systemd/system/sockets.target.wants/*{udev,initctl}* "$n"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
  printf '[Journal]\nReadKMsg=no\n' > "$n/etc/systemd/journald.conf"
  cp -a "$DEV/node/files/." "$n/"
  chown -R root:root "$n"/{kind,usr/local/bin,etc/containerd,etc/systemd,etc/sysctl.d,etc/default,etc/crictl.yaml}
}

programs() {
  local p
  mkdir -p "$n/etc/kubernetes/manifests" "$n/opt/cni"
  ln -sfn /usr/lib/cni "$n/opt/cni/bin"
  install -m755 "$bin/kubernetes" "$n/usr/bin/kubernetes"
  for p in kubeadm kubelet kubectl; do ln -sf kubernetes "$n/usr/bin/$p"; done
  printf '%s' "$KUBERNETES" > "$n/kind/version"
  sed -i "s#@PAUSE@#$("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES" 2>/dev/null | grep /pause:)#" "$n/etc/containerd/config.toml"
  chroot "$n" sh -c 'ctr oci spec | jq "del(.process.rlimits)" > /etc/containerd/cri-base.json'
  chroot "$n" systemctl -q enable containerd.service kubelet.service
  chroot "$n" systemctl -q mask systemd-binfmt.service
}

preload() { # a private containerd (the node's own) writes the images' blobs into the node's store, nothing unpacked
  local sock=$tmp/s.sock ctr ref
  mkdir -p "$n/var/lib/containerd"
  cat > "$tmp/c.toml" <<X
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[plugins."io.containerd.internal.v1.opt"]
  path = "$tmp/opt"
X
  "$n/usr/bin/containerd" -c "$tmp/c.toml" --root "$n/var/lib/containerd" --state "$tmp/state" --address "$sock" > "$tmp/log" 2>&1 & containerd=$!
  for _ in $(seq 100); do [ -S "$sock" ] && break; sleep .1; done
  ctr="$n/usr/bin/ctr -a $sock -n k8s.io"
  $ctr images import --no-unpack --digests --all-platforms "$images" >/dev/null || { tail "$tmp/log" >&2; die "the images could not be put into the node image"; }
  for ref in $($ctr images ls -q | grep -v sha256); do $ctr images label "$ref" io.cri-containerd.pinned=pinned >/dev/null; done
  kill $containerd; wait $containerd || true; containerd=
}

userland
programs
preload
tar -C "$n" -c . | docker import -c 'ENV container=docker' -c 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' -c "LABEL $RECIPE_LABEL=$recipe" - "$name-base" >/dev/null
printf 'FROM %s\nSTOPSIGNAL SIGRTMIN+3\n' "$name-base" | DOCKER_BUILDKIT=0 docker build -q -t "$name" - >/dev/null 2>&1   # docker import cannot set a stop signal
