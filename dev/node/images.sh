#!/bin/bash
# images.sh ROOTFS BIN OUT.tar : the images a node holds, under the names its manifests ask for.
# One layer (the Kubernetes program and a small userland) serves seven names, so the node stores and maps it once.
. "$(dirname "$0")/../common.sh"
root=$1 bin=$2 out=$3
lib=usr/lib/x86_64-linux-gnu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mapfile -t kubeadm < <("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES" 2>/dev/null)
wanted() { printf '%s\n' "${kubeadm[@]}" | grep -m1 -E "/$1:"; }   # the reference kubeadm uses for a component

refs=()
image() { # DIR CHANGE REF... : one layer, several names
  local dir=$1 change=$2 first=$3 ref; shift 2
  tar -C "$dir" --owner=0 --group=0 --sort=name --mtime=@0 -c . |
    docker import -c "LABEL $RECIPE_LABEL=part-of-node" -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' ${change:+-c "$change"} - "$first" >/dev/null
  for ref; do [ "$ref" = "$first" ] || docker tag "$first" "$ref"; refs+=("$ref"); done
}

with_libraries() { # DIR FILE... : copy files of the node's userland together with the libraries they load
  local dir=$1 f l; shift
  for f; do
    mkdir -p "$dir$(dirname "$f")"; cp -a "$root$f" "$dir$f"
    [ -L "$root$f" ] && continue
    for l in $(chroot "$root" ldd "$f" 2>/dev/null | grep -oE '/[^ ]+'); do mkdir -p "$dir$(dirname "$l")"; cp -Ln "$root$l" "$dir$l"; done
  done
}

userland() { # DIR : what programs that write packet rules need
  local d=$1 n
  mkdir -p "$d"/{bin,tmp,run,etc,usr/local/bin,usr/sbin,var/lib,lib/modules,$lib}
  with_libraries "$d" /usr/sbin/{xtables-nft-multi,xtables-legacy-multi,conntrack,nft,ipset}
  cp -a "$root/$lib/xtables" "$d/$lib/"
  # shellcheck disable=SC2046  # one word per module; libxt_statistic needs libm, or a Service keeps one endpoint
  with_libraries "$d" $(cd "$root" && printf '/%s\n' $lib/xtables/*.so)
  for n in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do ln -s xtables-nft-multi "$d/usr/sbin/$n"; done
  cp "$(command -v busybox)" "$d/bin/busybox"
  for n in sh cat ip sleep cmp mv mkdir rm chmod grep awk sed ls ps wget nslookup ping hostname; do ln -s busybox "$d/bin/$n"; done
  echo 'root:x:0:0:root:/:/bin/sh' > "$d/etc/passwd"
}

d=$work/kubernetes; userland "$d"
cp "$bin/kubernetes" "$d/usr/local/bin/"
for n in kubectl kube-proxy kube-apiserver kube-controller-manager kube-scheduler; do ln -s kubernetes "$d/usr/local/bin/$n"; done
install -m755 "$DEV/node/node-network.sh" "$d/usr/local/bin/node-network"
image "$d" "" "$(wanted kube-apiserver)" "$(wanted kube-controller-manager)" "$(wanted kube-scheduler)" "$(wanted kube-proxy)" \
  local/node-network:1 local/node-storage-helper:1

d=$work/policy; userland "$d"; cp "$bin/kube-router" "$d/usr/local/bin/"
image "$d" "" local/network-policy:1

d=$work/etcd; mkdir -p "$d"/{usr/local/bin,var/lib/etcd,tmp}; cp "$bin/etcd" "$d/usr/local/bin/"
image "$d" 'CMD ["etcd"]' "$(wanted etcd)"

d=$work/coredns; mkdir -p "$d"; cp "$bin/coredns" "$d/"
image "$d" 'ENTRYPOINT ["/coredns"]' "$(wanted coredns)"

d=$work/storage; mkdir -p "$d"/{usr/local/bin,tmp}; cp "$bin/local-path-provisioner" "$d/usr/local/bin/"
image "$d" "" local/node-storage:1

d=$work/metrics; mkdir -p "$d"/tmp; cp "$bin/metrics-server" "$d/"
image "$d" 'ENTRYPOINT ["/metrics-server"]' "registry.k8s.io/metrics-server/metrics-server:$METRICS_SERVER"

d=$work/pause; mkdir -p "$d"
gcc -static -Os -s -o "$d/pause" "$DEV/node/pause.c"
image "$d" 'ENTRYPOINT ["/pause"]' "$(wanted pause)"

docker save -o "$out.new" "${refs[@]}"
mv "$out.new" "$out"
