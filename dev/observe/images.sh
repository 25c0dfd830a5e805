#!/bin/bash
# observe/images.sh : the programs of the local stack as images from scratch, each under its name in versions.env. They run as 65532.
. "$(dirname "$0")/../common.sh"
# shellcheck source=versions.env
. "$DEV/observe/versions.env"
bin=$CACHE/observe/bin
exclusive image-observe

image() { # NAME IMAGE
  local work
  ! docker image inspect "$2" >/dev/null 2>&1 || return 0
  work=$(mktemp -d)
  mkdir -p "$work/tmp"
  chmod 1777 "$work/tmp"
  install -m755 "$bin/$1" "$work/$1"
  tar -C "$work" --owner=0 --group=0 --sort=name --mtime=@0 -c . |
    docker import -c "LABEL $RECIPE_LABEL=${2##*:}" -c 'ENV PATH=/' -c 'USER 65532:65532' -c "ENTRYPOINT [\"/$1\"]" - "$2" >/dev/null
  rm -rf "$work"
}

main() {
  need_go
  need_packages jq:jq
  "$DEV/observe/programs.sh" "$bin"
  image jaeger "$BUILT_JAEGER"
  image victoria-metrics "$BUILT_VICTORIA_METRICS"
  image vmalert "$BUILT_VMALERT"
  image victoria-logs "$BUILT_VICTORIA_LOGS"
  image vlagent "$BUILT_VLAGENT"
}
main; exit
