#!/bin/bash
# contract.sh SERVICE [IMAGE] [ARGUMENTS...] : the contract of a service (docs/service-contract.md), proven for an image. SERVICE is the
# name of one of services/ or examples/, or the path of a document; IMAGE an image of the local engine, or an archive; without it, the
# image of that service is built from this tree. ARGUMENTS are those of the suite (--help).
. "$(dirname "$0")/common.sh"
service=${1:-} image=${2:-}; shift $(($# < 2 ? $# : 2))
[ -n "$service" ] || die "say which service: make contract SERVICE=email, or SERVICE=path/of/service.yaml IMAGE=..."
need_rust
"$DEV/engine.sh"
images_from
[ "$SHOPKEEPER_IMAGES" = published ] || { "$DEV/postgres/image.sh"; "$DEV/nats/image.sh"; }

loaded=
trap '[ -z "$loaded" ] || docker rmi --force "$loaded" >/dev/null' EXIT
load() { # ARCHIVE : into the engine, whose own loader may not know the OCI layout, under a name for this run; sets image
  need_packages skopeo:skopeo
  image=localhost/shopkeeper-contract/$$:$(sha256sum "$1" | cut -c1-16)
  skopeo copy --quiet "oci-archive:$1" "docker-daemon:$image" >&2
  loaded=$image
}
if [ -z "$image" ]; then
  (cd "$ROOT" && cargo xtask images --service "$service" --out .state/contract) >&2
  image=$STATE/contract/$service.tar
fi
if [ -f "$image" ]; then
  load "$image"
elif ! docker image inspect "$image" >/dev/null 2>&1; then
  docker pull -q "$image" >/dev/null || die "the engine has no image $image and cannot pull it; name an archive, or leave IMAGE out"
fi
cargo run --quiet --manifest-path "$ROOT/Cargo.toml" --package conformance -- --image "$image" --service "$service" "$@"
