#!/bin/bash
# deploy.sh CLUSTER : the images of this tree on the cluster's workers, and the operator installed from its chart.
# Prints on stdout, for each program, the version its image of this tree has there: "search 0.1.0".
#
# A name that a node already holds is never given another content, or running pods and new ones would differ under one name:
# a changed program gets a tag of its own, its version followed by the digest of its binary's layer.
. "$(dirname "$0")/common.sh"
cluster=$1 table=$STATE/images.table held=$STATE/held-$1
images_from
worker=$(kind get nodes --name "$cluster" | grep -v control-plane | head -1)
ctr() { docker exec "$worker" ctr -n k8s.io images "$@"; }
held() { awk -v image="$1" '$1 == image {print $3}' "$held"; }   # the digest that the node holds under a name

load() { # ARCHIVE
  say "putting $(basename "$1" .tar) on the cluster's nodes"
  "$DEV/cluster.sh" load "$cluster" "$1"
}

ctr ls > "$held"
changed=()
while read -r name image _ digest; do
  node=$(held "$image")
  [ -z "$node" ] || [ "$node" = "$digest" ] || changed+=(--service "$name")
done < <(tail -n +2 "$table")
: > "$STATE/shipped.table"
[ ${#changed[@]} = 0 ] || (cd "$ROOT" && cargo xtask images "${changed[@]}" --unique --out .state/shipped) > "$STATE/shipped.table"

operator=
while read -r name image _; do
  archive=$STATE/images/$name.tar
  own=$(awk -v name="$name" '$1 == name {print $2}' "$STATE/shipped.table")
  [ -z "$own" ] || image=$own archive=$STATE/shipped/$name.tar
  [ -n "$(held "$image")" ] || load "$archive"
  echo "$name ${image##*:}"
  [ "$name" != shop-operator ] || operator=${image##*:}
done < <(tail -n +2 "$table")

# Overrides are allowed: whoever has this cluster may do everything in it anyway.
say "installing the operator with Helm"
helm upgrade --install shop-operator "$ROOT/charts/shop-operator" --kube-context "kind-$cluster" --namespace shop-system --create-namespace \
  --set "image.tag=$operator" --set "images.postgres=$POSTGRES_IMAGE" --set "images.nats=$NATS_IMAGE" --set overrides=Allowed --wait --timeout 3m > "$STATE/helm-$cluster.log" 2>&1 ||
  { cat "$STATE/helm-$cluster.log" >&2; die "Helm could not install the operator; its words stand above"; }
