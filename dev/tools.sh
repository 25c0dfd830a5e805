#!/bin/bash
# tools.sh : kind, helm and kubectl on the PATH of these scripts. What the machine has is used; where images are built, the
# programs of that build are; else kind and helm come from their Go modules, and kubectl from kind's node image.
. "$(dirname "$0")/common.sh"
images_from
[ "$SHOPKEEPER_IMAGES" = published ] || exec "$DEV/node/image.sh"
exclusive tools

install_module() { # PROGRAM MODULE@VERSION
  have "$1" && return
  need_go
  say "building $1 (half a minute to two minutes)"
  CGO_ENABLED=0 GOFLAGS='' GOWORK=off GOBIN=$BIN.new go install -trimpath -ldflags '-s -w' "$2" 2>"$BIN/$1.log" || die "$1 does not build; see $BIN/$1.log"
  mv "$BIN.new/$1" "$BIN/$1"
}
install_module kind "sigs.k8s.io/kind@$KIND"
install_module helm "helm.sh/helm/v4/cmd/helm@$HELM"
if ! docker image inspect "$NODE_IMAGE" >/dev/null 2>&1; then
  say "pulling kind's node image (350 MB)"
  docker pull -q "$NODE_IMAGE" >/dev/null || die "$NODE_IMAGE cannot be pulled; try again, or set SHOPKEEPER_IMAGES=built"
fi
if ! have kubectl; then
  node=$(docker create "$NODE_IMAGE")
  docker cp -q "$node:/usr/bin/kubectl" "$BIN/kubectl.new" && mv "$BIN/kubectl.new" "$BIN/kubectl"
  docker rm "$node" >/dev/null
fi
