#!/bin/bash
# broken/image.sh [later] : the service against which the suite proves itself as an image from scratch; prints its name. The later one says
# after its migration that what ran before does not run any more.
. "$(dirname "$0")/../../dev/common.sh"
here=$ROOT/conformance/broken
recipe=$(cd "$here" && cat ./*.go go.* image.sh | sha256sum | cut -c1-16)
image=localhost/shopkeeper/reference:$recipe${1:+-$1}
if ! docker image inspect "$image" >/dev/null 2>&1; then
  need_go
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  (cd "$here" && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off go build -trimpath -ldflags '-s -w' -o "$work/reference" .) >&2
  tar -C "$work" --owner=0 --group=0 --mtime=@0 -c reference |
    docker import -c "LABEL $RECIPE_LABEL=$recipe" -c 'USER 65532:65532' -c "ENV VARIANT=${1:-}" -c 'ENTRYPOINT ["/reference"]' - "$image" >/dev/null
fi
echo "$image"
