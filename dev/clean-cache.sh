#!/bin/bash
# clean-cache.sh : remove what these scripts left on the machine, but for the docker engine and cargo's and Go's own caches.
. "$(dirname "$0")/common.sh"
if docker info >/dev/null 2>&1; then
  for cluster in shopkeeper shopkeeper-e2e; do "$DEV/cluster.sh" down $cluster; done
  "$DEV/backends.sh" down; "$DEV/backends.sh" down bench; "$DEV/backends.sh" down run
  docker images --quiet --filter "label=$RECIPE_LABEL" | sort -u | xargs -r docker rmi --force >/dev/null
fi
rm -rf "$CACHE" "$STATE"
say "removed the clusters, $CACHE and the images made for them; kept: the docker engine, cargo's and Go's own caches"
