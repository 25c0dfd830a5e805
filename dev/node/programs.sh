#!/bin/bash
# programs.sh BIN [NAME...] : the programs of the node and of the workstation (all, or these), each from its Go module and built
# once per version.
#
# Nearly all of the time goes into libraries that several of them use, k8s.io/* before all, and Go compiles a package once for all
# programs that want the same versions of it and of what it imports. So programs are built in one module as far as they go together:
#   cluster   Kubernetes, etcd, kube-router, CoreDNS, local-path-provisioner, with the libraries of this Kubernetes
#   tools     Helm and metrics-server, which do not compile with libraries as old as those of this Kubernetes
#   alone     kind and nats-server, which share next to nothing
# In a module each library has the highest version that one of its programs asks for.
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
export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
# Debug information would be dropped by the linker (-s -w); not making it saves an eighth of the compiler's time.
export GOFLAGS='-mod=mod -trimpath -gcflags=all=-dwarf=false'

compile() { # PACKAGE MODULE [LINKER-FLAGS] : in the module of this folder, into out/
  # What runtime defaults a program gets follows from its own module's version of Go, as in its release.
  go mod edit -godebug "default=go$(go list -m -f '{{.GoVersion}}' "$2" | cut -d. -f1,2)"
  go build -ldflags "-s -w ${3:-}" -o "out/$name" "$1"
}

alone() { # MODULE VERSION
  go mod init "local/$name"
  go mod edit -require "$1@$2"
  compile "$1" "$1"
}

tools() { # PACKAGE MODULE
  local apiserver=k8s.io/apiserver
  go mod init local/tools
  go mod edit -require "helm.sh/helm/v4@$HELM" -require "sigs.k8s.io/metrics-server@$METRICS_SERVER"
  # Helm asks for a newer one than metrics-server, and not for what that needs: a library that is asked for here brings its own needs.
  go mod edit -require "$apiserver@$(go list -m -f '{{.Version}}' $apiserver)"
  compile "$@"
}

cluster() { # PACKAGE MODULE [LINKER-FLAGS]
  cluster_module
  compile "$@"
}

cluster_module() {
  local gomod lib
  go mod init local/cluster
  gomod=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES" | jq -r .GoMod)
  # k8s.io/kubernetes asks for its own libraries at v0.0.0: give each its published version (v1.X.Y -> v0.X.Y)
  grep -oE '^[[:space:]]+k8s\.io/[a-z0-9-]+ v0\.0\.0$' "$gomod" |
    while read -r lib _; do go mod edit -replace "$lib=$lib@v0.${KUBERNETES#v1.}"; done
  # The fork of kube-router lives under the original's name.
  go mod edit -replace "github.com/cloudnativelabs/kube-router/v2=github.com/k3s-io/kube-router/v2@$KUBE_ROUTER" \
    -require "k8s.io/kubernetes@$KUBERNETES" -require "go.etcd.io/etcd/server/v3@$ETCD" -require "github.com/coredns/coredns@$COREDNS" \
    -require "github.com/cloudnativelabs/kube-router/v2@$KUBE_ROUTER" -require "github.com/rancher/local-path-provisioner@$LOCAL_PATH"
}

kubernetes() {
  local v=$KUBERNETES flags='' p
  cp "$DEV/node/kubernetes/main.go" .
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do   # kubeadm refuses to work without a version
    flags+=" -X $p.gitVersion=$v -X $p.gitMajor=1 -X $p.gitMinor=$(echo "$v" | cut -d. -f2) -X $p.gitTreeState=clean"
    flags+=" -X $p.gitCommit=0000000000000000000000000000000000000000 -X $p.buildDate=1970-01-01T00:00:00Z"
  done
  cluster . k8s.io/kubernetes "$flags"
  for p in kubeadm kubectl kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do ln -sf kubernetes "$bin/$p"; done
}

coredns() { # sets a field, to false, that client-go has dropped since; false was what it does now
  local m=github.com/coredns/coredns
  cluster_module
  cp -r --no-preserve=mode "$(go mod download -json "$m@$COREDNS" | jq -r .Dir)" coredns
  sed -i '/RetryOnError: *false,/d' coredns/plugin/kubernetes/object/informer.go
  go mod edit -replace $m=./coredns
  compile $m $m
}

in_folder() { (cd "$1" || exit; "${@:2}"); }

program() { # NAME VERSION HOW-LONG COMMAND... : into a folder of its own, moved into place when whole
  local name=$1 version=$2 time=$3; shift 3
  [ "$only" = "  " ] || [[ $only = *" $name "* ]] || return 0
  [ -x "$bin/$name" ] && [ "$(cat "$bin/$name.version" 2>/dev/null)" = "$version" ] && return
  say "building $name $version ($time)"
  mkdir -p "$work/$name/out"
  log=$bin/$name.log
  part "$name" in_folder "$work/$name" "$@" > "$log" 2>&1       # not "|| die": bash would go on after a failed step of the recipe
  log=
  mv "$work/$name/out/$name" "$bin/$name"
  echo "$version" > "$bin/$name.version"
}

main() { # read whole before it runs, so that an edit or a pull meanwhile does not meet it half-way
  local router=github.com/cloudnativelabs/kube-router/v2 storage=github.com/rancher/local-path-provisioner
  program kind        "$KIND"        "half a minute" alone sigs.k8s.io/kind "$KIND"
  program kubernetes  "$KUBERNETES"  "5 to 9 min"    kubernetes
  program etcd        "$ETCD"        "half a minute" cluster go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
  program kube-router "$KUBE_ROUTER" "1 to 2 min"    cluster $router/cmd/kube-router $router
  program coredns     "$COREDNS"     "1 to 2 min"    coredns
  program local-path-provisioner "$LOCAL_PATH" "1 min" cluster $storage $storage
  program metrics-server "$METRICS_SERVER" "2 min"   tools sigs.k8s.io/metrics-server/cmd/metrics-server sigs.k8s.io/metrics-server
  program nats-server "$NATS"        "half a minute" alone github.com/nats-io/nats-server/v2 "$NATS"
  program helm        "$HELM"        "1 to 2 min"    tools helm.sh/helm/v4/cmd/helm helm.sh/helm/v4
}
main; exit
