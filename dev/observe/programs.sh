#!/bin/bash
# observe/programs.sh BIN : the programs of the local stack, each from its Go module and built once per version.
. "$(dirname "$0")/../common.sh"
# shellcheck source=versions.env
. "$DEV/observe/versions.env"
bin=$1 work=$(mktemp -d) log=
finish() {
  local status=$?
  rm -rf "$work"
  [ $status = 0 ] || [ -z "$log" ] || { tail -20 "$log" >&2; die "$(basename "$log" .log) does not build; all of its output is in $log"; }
}
trap finish EXIT
trap - ERR
export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS='-mod=mod -trimpath -gcflags=all=-dwarf=false'

build() { go build -ldflags "-s -w ${2:-}" -o "out/$name" "$1"; }

victoria() { # PACKAGE
  go mod init "local/$name"
  go mod edit -require "github.com/VictoriaMetrics/VictoriaMetrics@$METRICS"
  build "$1"
}

# It pins a commit of VictoriaMetrics that is not served everywhere; a release of the same weeks is.
logs() { # PACKAGE
  go mod init "local/$name"
  go mod edit -require "github.com/VictoriaMetrics/VictoriaLogs@$LOGS_MODULE" -require "github.com/VictoriaMetrics/VictoriaMetrics@$METRICS"
  build "$1"
}

# With the checksums that its release lists: some of its modules are in no checksum database.
jaeger() {
  local module=github.com/jaegertracing/jaeger
  go mod init local/jaeger
  go mod edit -require "$module@$JAEGER_MODULE"
  cat "$(go mod download -json "$module@$JAEGER_MODULE" | jq -r .Dir)/go.sum" >> go.sum
  build $module/cmd/jaeger "-X $module/internal/version.latestVersion=$JAEGER"
}

in_folder() { (cd "$1" || exit; "${@:2}"); }

program() { # NAME VERSION HOW-LONG COMMAND... : into a folder of its own, moved into place when whole
  local name=$1 version=$2 time=$3; shift 3
  [ -x "$bin/$name" ] && [ "$(cat "$bin/$name.version" 2>/dev/null)" = "$version" ] && return
  say "building $name $version ($time)"
  mkdir -p "$work/$name/out" "$bin"
  log=$bin/$name.log
  in_folder "$work/$name" "$@" > "$log" 2>&1       # not "|| die": bash would go on after a failed step of the recipe
  log=
  mv "$work/$name/out/$name" "$bin/$name"
  echo "$version" > "$bin/$name.version"
}

main() { # read whole before it runs, so that an edit or a pull meanwhile does not meet it half-way
  local metrics=github.com/VictoriaMetrics/VictoriaMetrics logs=github.com/VictoriaMetrics/VictoriaLogs
  program victoria-metrics "$METRICS"     "half a minute"  victoria $metrics/app/victoria-metrics
  program vmalert          "$METRICS"     "10 s"           victoria $metrics/app/vmalert
  program victoria-logs    "$LOGS_MODULE" "half a minute"  logs $logs/app/victoria-logs
  program vlagent          "$LOGS_MODULE" "10 s"           logs $logs/app/vlagent
  program jaeger           "$JAEGER"      "8 to 14 min"    jaeger
}
main; exit
