#!/bin/bash
# nats/image.sh : the NATS server of its Go module as an image from scratch under the name $BUILT_NATS. Like the published
# one it starts /nats-server; it runs as 65532 and needs nothing writable but its own store directory.
. "$(dirname "$0")/../common.sh"
if built "$BUILT_NATS" nats; then exit 0; fi
need_go
"$DEV/node/programs.sh" "$BIN" nats-server
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{data,tmp,etc}
install -m755 "$BIN/nats-server" "$work/nats-server"
printf 'root:x:0:0:root:/:/sbin/nologin\nnats:x:65532:65532:nats:/data:/sbin/nologin\n' > "$work/etc/passwd"
chmod 1777 "$work/data" "$work/tmp"
tar -C "$work" --owner=0 --group=0 --sort=name --mtime=@0 -c . |
  docker import -c "LABEL $RECIPE_LABEL=$(recipe nats)" -c 'ENV PATH=/' -c 'USER 65532:65532' -c 'EXPOSE 4222 8222' -c 'ENTRYPOINT ["/nats-server"]' - "$BUILT_NATS" >/dev/null
