#!/bin/bash
# postgres/image.sh : PostgreSQL 17 of Debian trixie as a small image under the name $BUILT_POSTGRES. It honours the settings of
# the published one (POSTGRES_USER, POSTGRES_PASSWORD or _FILE, POSTGRES_DB, PGDATA, POSTGRES_INITDB_ARGS), runs as 999, and
# needs only PGDATA, /tmp and /var/run/postgresql writable.
. "$(dirname "$0")/../common.sh"
if built "$BUILT_POSTGRES" postgres; then exit 0; fi
root=$CACHE/node-image/postgres-root here=$DEV/postgres pg=usr/lib/postgresql/$POSTGRES

userland() { # all of Debian's PostgreSQL with what it depends on; the image takes the few files it needs from it
  [ -e "$root/.done" ] && return
  [ "$(id -u)" = 0 ] || die "building the PostgreSQL image needs root; run this as root"
  need_packages debootstrap:debootstrap
  say "unpacking Debian's PostgreSQL $POSTGRES (one to two minutes)"
  rm -rf "$root" "$root.new"
  debootstrap --variant=minbase --include="postgresql-$POSTGRES,ca-certificates" trixie "$root.new" > "$root.log" 2>&1 ||
    die "debootstrap failed; see $root.log"
  touch "$root.new/.done"
  mv "$root.new" "$root"
}

libraries() { # the shared libraries that the programs and modules below $1 load
  find "$1" -type f \( -name '*.so' -o -perm -100 \) | sed "s#^$d##" |
    while read -r file; do chroot "$root" ldd "$file" 2>/dev/null | grep -oE '/[^ ]+\.so[^ ]*' || true; done | sort -u
}

need_packages busybox:busybox-static
userland
say "making $BUILT_POSTGRES"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
d=$work/root
mkdir -p "$d"/{etc,tmp,var/run/postgresql,var/lib/postgresql/data,usr/local/bin,usr/bin,usr/lib/locale,usr/lib64,usr/share/postgresql,"$pg"}
for n in bin lib lib64; do ln -s "usr/$n" "$d/$n"; done
cp -a "$root/$pg/bin" "$root/$pg/lib" "$d/$pg/"
rm -rf "$d/$pg"/lib/bitcode "$d/$pg"/lib/llvmjit*                  # no JIT: it drags 150 MB in
cp -a "$root/usr/share/postgresql/$POSTGRES" "$d/usr/share/postgresql/"
rm -rf "$d/usr/share/postgresql/$POSTGRES/man"
cp -a "$root/usr/share/zoneinfo" "$d/usr/share/"
cp -a "$root/usr/lib/locale/C.utf8" "$d/usr/lib/locale/" 2>/dev/null || true
libraries "$d/$pg" | while read -r l; do mkdir -p "$d$(dirname "$l")"; cp -Ln "$root$l" "$d$l"; done
cp -Ln "$root/lib64/ld-linux-x86-64.so.2" "$d/usr/lib64/"
install -m755 "$(command -v busybox)" "$d/usr/bin/busybox"
for n in sh cat chmod mkdir id ls rm sleep env test mv; do ln -sf busybox "$d/usr/bin/$n"; done
printf 'root:x:0:0:root:/:/bin/sh\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\n' > "$d/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' > "$d/etc/group"
printf 'hosts: files dns\n' > "$d/etc/nsswitch.conf"
install -m755 "$here/entrypoint" "$d/usr/local/bin/docker-entrypoint.sh"
chmod 1777 "$d/tmp"
chown -R 999:999 "$d/var/run/postgresql" "$d/var/lib/postgresql"
chmod 3777 "$d/var/run/postgresql"
tar -C "$d" --sort=name --mtime=@0 -c . |
  docker import -c "LABEL $RECIPE_LABEL=$(recipe postgres)" -c "ENV PATH=/$pg/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8" \
    -c 'USER 999' -c 'EXPOSE 5432' -c 'VOLUME /var/lib/postgresql/data' \
    -c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["postgres"]' - "$BUILT_POSTGRES-base" >/dev/null
# As the published image: on SIGTERM PostgreSQL would wait for its clients to leave, and be killed after the grace period.
printf 'FROM %s\nSTOPSIGNAL SIGINT\n' "$BUILT_POSTGRES-base" | DOCKER_BUILDKIT=0 docker build -q -t "$BUILT_POSTGRES" - >/dev/null 2>&1   # docker import cannot set a stop signal
