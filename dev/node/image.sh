#!/bin/bash
# node/image.sh : the node image for kind where none can be pulled, under the name $BUILT_NODE, and the workstation's programs
# (kind, kubectl, helm). Fourteen minutes on two quiet cores when everything is cold; what is finished stays in the cache.
. "$(dirname "$0")/../common.sh"
here=$DEV/node parts=$CACHE/node-image

if built "$BUILT_NODE" node && [ -x "$BIN/kind" ] && [ -x "$BIN/helm" ] && [ -e "$BIN/kubectl" ]; then exit 0; fi

[ "$(id -u)" = 0 ] || die "building the node image needs root (debootstrap, chroot); run this as root, or where an image registry can be reached"
need_go
[ -x "$BIN/kubernetes" ] || need_disk 15
need_packages debootstrap:debootstrap jq:jq busybox:busybox-static gcc:gcc ctr:containerd

say "node image: building the programs and a Debian userland (14 minutes when cold and alone, half a minute when cached)"
background part "Debian userland" "$here/rootfs.sh" "$parts/rootfs"
trap 'stop $JOB' EXIT
"$here/programs.sh" "$BIN"
wait "$JOB" || die "the node's userland could not be made; the cause stands above"
trap - EXIT
say "node image: the control plane's images (10 s)"
part "images of the node" "$here/images.sh" "$parts/rootfs" "$BIN" "$parts/images.tar"
say "node image: putting it together (20 s)"
part "node image" "$here/assemble.sh" "$parts/rootfs" "$BIN" "$parts/images.tar" "$BUILT_NODE" "$(recipe node)"
rm -f "$parts/images.tar"
docker image prune --force --filter "label=$RECIPE_LABEL" >/dev/null   # what the new images have replaced
