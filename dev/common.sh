# Sourced by every script here: where things lie, how progress and failure are told, which images are used.
# shellcheck shell=bash
set -euo pipefail
DEV=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$DEV")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/shopkeeper
BIN=$CACHE/node-image/bin                       # kind, kubectl, helm and, where they are built, the cluster's programs
STATE=$ROOT/.state                              # what belongs to this checkout: archives, kubeconfig of the test cluster
export PATH="$BIN:$PATH"
# shellcheck source=versions.env
. "$DEV/versions.env"
mkdir -p "$BIN" "$STATE"

say()  { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die()  { printf 'error: %s\n' "$*" | tee "$STATE/died" >&2; exit 86; }   # 86: the reason has been told, callers need not add to it
have() { command -v "$1" >/dev/null 2>&1; }

# step TITLE COMMAND... : a heading, the command, and the seconds it took, which go into the run's table (TIMES) too
step() {
  local start=$SECONDS
  printf '\n== %s\n' "$1" >&2
  STEP=${1%% (*}; shift
  "$@"
  printf '== %s: %s s\n' "$STEP" "$((SECONDS - start))" >&2
  printf '%6s  %s\n' "$((SECONDS - start))" "$STEP" >> "$TIMES"
  STEP=
}
# part TITLE COMMAND... : the command, and a line in the run's table where it took a second; scripts that a step calls use it
part() {
  local start=$SECONDS title=$1; shift
  "$@"
  [ $SECONDS = "$start" ] || printf '%6s    %s\n' "$((SECONDS - start))" "$title" >> "$TIMES"
}
TIMES=${TIMES:-/dev/null} STEP=
# table NAME : begins the run's table; times_by_part prints it
table() { export TIMES=$STATE/$1.times; : > "$TIMES"; }
times_by_part() {
  times > "$STATE/cpu.times"   # not in a pipe: the times of this very shell's children
  echo 'Seconds by part (parts stand above the step that they are of, or that waited for them):'
  cat "$TIMES"
  awk 'NR == 2 {print "   CPU of all: " $1 " user, " $2 " system (without the docker engine)"}' "$STATE/cpu.times"
}
set -E
trap '[ $? = 86 ] || [ "$BASH_SUBSHELL" != 0 ] || printf "error: %s: stopped at line %s of %s (the cause stands above)\n" "${STEP:-unexpected failure}" "$LINENO" "${BASH_SOURCE[0]##*/}" >&2' ERR

# exclusive NAME : from here to the end of the script nobody else does NAME; waits, and says so
exclusive() {
  exec 9> "$CACHE/$1.lock"
  flock -n 9 || { say "another run is at work on this ($1); waiting for it"; flock 9; }
}

# background COMMAND... : beside the script, in a process group of its own (JOB), so that `stop $JOB` leaves no compiler behind
# shellcheck disable=SC2034  # the callers read JOB
background() { set -m; "$@" 9>&- & JOB=$!; set +m; }
stop() { kill -- "-$1" 2>/dev/null || true; }

need_platform() {
  [ "$(uname -sm)" = "Linux x86_64" ] || die "this runs on Linux on x86_64 only, and this machine is $(uname -sm)"
}

need_disk() { # GIGABYTES : room for the cache and for docker
  local dir free
  for dir in "$CACHE" "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || true)"; do
    [ -d "$dir" ] || continue
    free=$(df -Pk "$dir" | awk 'NR==2 {print int($4 / 1e6)}')
    [ "$free" -ge "$1" ] || die "$dir has $free GB free, and this needs $1 GB; make room and run it again"
  done
}

need_version() { # PROGRAM FOUND LEAST HINT
  [ -n "$2" ] || die "$1 is missing: $4"
  [ "$(printf '%s\n' "$2" "$3" | sort -V | head -1)" = "$3" ] || die "$1 is too old: $2 found, $3 needed; $4"
}
need_go()   { need_version Go "$(go env GOVERSION 2>/dev/null | sed 's/^go//; s/ .*//')" 1.26.4 "install Go from https://go.dev/dl/ and put it on PATH"; }
need_rust() { need_version Rust "$(cd "$ROOT" && rustc --version 2>/dev/null | awk '{print $2}')" 1.95.0 "install it with https://rustup.rs"; }
need_packages() { # PROGRAM:PACKAGE... : Debian packages for programs that are not there
  local p missing=()
  for p; do have "${p%%:*}" || missing+=("${p##*:}"); done
  [ ${#missing[@]} = 0 ] && return
  { [ "$(id -u)" = 0 ] && have apt-get; } || die "these Debian packages are missing: ${missing[*]}; install them, or run this as root on Debian"
  say "installing ${missing[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Of Debian's package the one program: the package itself starts a Prometheus.
need_promtool() {
  local work
  have promtool && return
  have apt-get || die "promtool is missing: it is a part of Prometheus (https://prometheus.io/download/); put it on PATH"
  say "fetching promtool"
  work=$(mktemp -d)
  (cd "$work" && { apt-get download -qq prometheus || { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq prometheus; }; }) >"$work/log" 2>&1 \
    || { cat "$work/log" >&2; die "the Debian package prometheus cannot be fetched; put promtool on PATH"; }
  dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool
  mv "$work/usr/bin/promtool" "$BIN/promtool"
  rm -rf "$work"
}

need_port() { # PORT WHO : nobody listens on it
  ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || die "port $1 of 127.0.0.1 is taken, and $2 needs it; stop what listens there"
}

# put_on_node IMAGE NODE : an image of the docker engine, where the node of a cluster does not have it
put_on_node() {
  [ -z "$(docker exec "$2" ctr -n k8s.io images ls -q "name==$1")" ] || return 0
  say "putting $1 on $2"
  docker save "$1" | docker exec -i "$2" ctr -n k8s.io images import - >/dev/null
}

# recipe FOLDER : what decides about an image that this folder of dev/ builds; built NAME FOLDER : there is an image of that recipe
RECIPE_LABEL=dev.shopkeeper.recipe
recipe() { (cd "$DEV" && find versions.env "$1" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16); }
built() { is_current "$@" && return; exclusive "image-$2"; is_current "$@"; }   # else the caller builds it, and nobody beside it
is_current() { [ "$(docker image inspect -f "{{index .Config.Labels \"$RECIPE_LABEL\"}}" "$1" 2>/dev/null)" = "$(recipe "$2")" ]; }

# images_from : "published" where a registry answers, else "built". What this machine used before stays in use, so that a
# cluster never changes its images under way; SHOPKEEPER_IMAGES forces one.
images_from() {
  if [ -z "${SHOPKEEPER_IMAGES:-}" ]; then
    if   docker image inspect "$BUILT_NATS" >/dev/null 2>&1; then SHOPKEEPER_IMAGES=built
    elif docker image inspect "$PUBLISHED_NATS" >/dev/null 2>&1; then SHOPKEEPER_IMAGES=published
    elif timeout 20 docker pull -q "$PUBLISHED_NATS" >/dev/null 2>&1; then SHOPKEEPER_IMAGES=published
    else
      SHOPKEEPER_IMAGES=built
      say "no image registry answers within 20 s: images are built from Debian packages and Go modules"
    fi
  fi
  case $SHOPKEEPER_IMAGES in
    published) NODE_IMAGE=$PUBLISHED_NODE POSTGRES_IMAGE=$PUBLISHED_POSTGRES NATS_IMAGE=$PUBLISHED_NATS ;;
    built)     NODE_IMAGE=$BUILT_NODE POSTGRES_IMAGE=$BUILT_POSTGRES NATS_IMAGE=$BUILT_NATS ;;
    *) die "SHOPKEEPER_IMAGES is '$SHOPKEEPER_IMAGES'; it must be 'published' or 'built'" ;;
  esac
  export SHOPKEEPER_IMAGES NODE_IMAGE POSTGRES_IMAGE NATS_IMAGE
}
