#!/bin/bash
# programs.sh BIN [NAME...] : the programs of the node and of the workstation (all, or these), each from its Go module and built
# once per version.
# Kubernetes becomes one program that answers to seven names: one link instead of seven, one image layer instead of four.
. "$(dirname "$0")/../common.sh"
bin=$1; shift
only=" $* "
work=$(mktemp -d) log=
finish() {
  local status=$?
  rm -rf "$work"
  [ $status = 0 ] || [ -z "$log" ] || { tail -20 "$log" >&2; die "$(basename "$log" .log) does not build; all of its output is in $log"; }
}
trap finish EXIT
trap - ERR
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=local GOWORK=off

kubernetes() {
  local v=$KUBERNETES gomod flags='' p
  go mod init local/kubernetes
  cp "$DEV/node/kubernetes/main.go" .
  gomod=$(go mod download -json "k8s.io/kubernetes@$v" | jq -r .GoMod)
  # k8s.io/kubernetes asks for its own libraries at v0.0.0: give each its published version (v1.X.Y -> v0.X.Y)
  grep -oE '^[[:space:]]+k8s\.io/[a-z0-9-]+ v0\.0\.0$' "$gomod" |
    while read -r lib _; do go mod edit -replace "$lib=$lib@v0.${v#v1.}"; done
  sed -n '/^godebug/,/^)/p' "$gomod" >> go.mod          # runtime defaults count only in the main module
  go mod edit -require "k8s.io/kubernetes@$v"
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do   # kubeadm refuses to work without a version
    flags+=" -X $p.gitVersion=$v -X $p.gitMajor=1 -X $p.gitMinor=$(echo "$v" | cut -d. -f2) -X $p.gitTreeState=clean"
    flags+=" -X $p.gitCommit=0000000000000000000000000000000000000000 -X $p.buildDate=1970-01-01T00:00:00Z"
  done
  go build -trimpath -ldflags "-s -w $flags" -o out/kubernetes .
  for p in kubeadm kubectl kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do ln -sf kubernetes "$bin/$p"; done
}
etcd() { # its go.mod has local replace lines, so "go install" refuses it: build it as a dependency
  go mod init local/etcd
  go get "go.etcd.io/etcd/server/v3@$ETCD"
  go build -trimpath -ldflags '-s -w' -o out/etcd go.etcd.io/etcd/server/v3
}
kube_router() { # the fork lives under the original's name
  go mod init local/kube-router
  go mod edit -replace "github.com/cloudnativelabs/kube-router/v2=github.com/k3s-io/kube-router/v2@$KUBE_ROUTER" \
    -require "github.com/cloudnativelabs/kube-router/v2@$KUBE_ROUTER"
  go build -trimpath -ldflags '-s -w' -o out/kube-router github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
}
module() { GOFLAGS='' GOBIN=$PWD/out go install -trimpath -ldflags '-s -w' "$1"; }

program() { # NAME VERSION HOW-LONG COMMAND... : into a folder of its own, moved into place when whole
  local name=$1 version=$2 time=$3; shift 3
  [ "$only" = "  " ] || [[ $only = *" $name "* ]] || return 0
  [ -x "$bin/$name" ] && [ "$(cat "$bin/$name.version" 2>/dev/null)" = "$version" ] && return
  say "building $name $version ($time)"
  mkdir -p "$work/$name/out"
  log=$bin/$name.log
  (cd "$work/$name"; "$@") > "$log" 2>&1       # not "|| die": bash would go on after a failed step of the recipe
  log=
  mv "$work/$name/out/$name" "$bin/$name"
  echo "$version" > "$bin/$name.version"
}

program kind        "$KIND"        "half a minute" module "sigs.k8s.io/kind@$KIND"
program kubernetes  "$KUBERNETES"  "5 to 9 min"    kubernetes
program etcd        "$ETCD"        "half a minute" etcd
program kube-router "$KUBE_ROUTER" "1 to 2 min"    kube_router
program coredns     "$COREDNS"     "1 to 2 min"    module "github.com/coredns/coredns@$COREDNS"
program local-path-provisioner "$LOCAL_PATH" "1 min" module "github.com/rancher/local-path-provisioner@$LOCAL_PATH"
program metrics-server "$METRICS_SERVER" "2 min"   module "sigs.k8s.io/metrics-server/cmd/metrics-server@$METRICS_SERVER"
program nats-server "$NATS"        "half a minute" module "github.com/nats-io/nats-server/v2@$NATS"
program helm        "$HELM"        "1 to 2 min"    module "helm.sh/helm/v4/cmd/helm@$HELM"
