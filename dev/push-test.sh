#!/bin/bash
# push-test.sh : `cargo xtask push` into a registry on this machine, which then holds what was built, byte for byte; and into one
# that is not there. The registry is crane's, of its Go module.
. "$(dirname "$0")/common.sh"
CRANE=v0.22.1
work=$(mktemp -d) server=
labels="title version licenses"
[ "$(git -C "$ROOT" rev-parse --is-shallow-repository 2>/dev/null)" != false ] || labels+=" revision"
trap '[ -z "$server" ] || kill $server; rm -rf "$work"' EXIT

registry() { # starts one, and sets server and address
  local log=$work/registry.log
  "$BIN/crane" registry serve --address 127.0.0.1:0 > "$log" 2>&1 9>&- & server=$!
  for _ in $(seq 300); do grep -q 'serving on port' "$log" && break; sleep 0.1; done
  address=127.0.0.1:$(sed -nE 's/.*serving on port ([0-9]+).*/\1/p' "$log")
  [ "$address" != 127.0.0.1: ] || { cat "$log" >&2; die "crane does not serve a registry after 30 s; its words stand above"; }
}

if [ "$(cat "$BIN/crane.version" 2>/dev/null)" != $CRANE ]; then
  say "building crane $CRANE (half a minute)"
  CGO_ENABLED=0 GOFLAGS='' GOWORK=off GOBIN=$work go install -trimpath "github.com/google/go-containerregistry/cmd/crane@$CRANE" 2> "$work/log" ||
    { cat "$work/log" >&2; die "crane does not build; the compiler's words stand above"; }
  mv "$work/crane" "$BIN/crane"
  echo $CRANE > "$BIN/crane.version"
fi

registry
cd "$ROOT"
say "pushing to $address"
cargo xtask images --out .state/pushed | tail -n +2 > "$work/built"
cargo xtask push "$address/some/path" --out .state/pushed > "$work/pushed"
while read -r name image _ digest; do
  wanted=$address/some/path/$name:${image##*:}@$digest
  grep -qxF "$wanted" "$work/pushed" || die "push did not say that it pushed $wanted, but: $(cat "$work/pushed")"
  manifest=$work/manifest
  curl -sSf -H 'Accept: application/vnd.oci.image.manifest.v1+json' -o "$manifest" "http://$address/v2/some/path/$name/manifests/${image##*:}" ||
    die "the registry does not give out $wanted"
  [ "$digest" = "sha256:$(sha256sum < "$manifest" | cut -d' ' -f1)" ] || die "the registry holds another $name than $digest"
  config=$(curl -sSf "http://$address/v2/some/path/$name/blobs/$(jq -r .config.digest "$manifest")")
  for label in $labels; do
    jq -e --arg key "org.opencontainers.image.$label" '.config.Labels[$key] | length > 0' <<< "$config" >/dev/null || die "$wanted has no label $label"
  done
done < "$work/built"
programs=$(($(find services -maxdepth 2 -name service.yaml | wc -l) + 1)) # and the operator
[ "$(wc -l < "$work/built")" = $programs ] || die "$programs images were to be built and pushed, and not those of $(cut -d' ' -f1 "$work/built" | paste -sd' ')"

kill $server; wait $server 2>/dev/null || true; server=
if cargo xtask push "$address/some/path" --service email --out .state/pushed > "$work/pushed" 2> "$work/error"; then
  die "push to a registry that is not there has ended well: $(cat "$work/pushed")"
fi
grep -q "$address/some/path/email:.* could not be pushed" "$work/error" || die "push to a registry that is not there says: $(cat "$work/error")"
say "pushed $programs images and found them in the registry"
