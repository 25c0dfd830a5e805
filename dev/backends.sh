#!/bin/bash
# backends.sh up|down|env [test] : what the tests run against, in Docker containers on fixed ports of 127.0.0.1:
#   PostgreSQL (TEST_DATABASE_URL, a superuser; every test makes a database of its own),
#   NATS with JetStream (TEST_NATS_URL; accounts t0 to t255, user t<N>, password t, so that every test has a broker of its own),
#   a Kubernetes API server with its etcd and no node or controller (TEST_KUBECONFIG; every test makes namespaces of its own).
# `up` is idempotent, quick when they run, and prints nothing on stdout but exports:  eval "$(dev/backends.sh up)"
#
# backends.sh up|down bench : the same for bench-operator.sh, which wants them empty and for itself: another API server and etcd
# ($CACHE/backends-bench/kubeconfig), and a PostgreSQL that takes every password, on the port where the operator looks for databases.
#
# backends.sh up|down run : those of run.sh, PostgreSQL and NATS alone; they keep what they hold as long as they live.
. "$(dirname "$0")/common.sh"
purpose=${2:-test}
case $purpose in
  test)  POSTGRES_PORT=55432 NATS_PORT=54222 API_PORT=56443 conf=$CACHE/backends ;;
  bench) POSTGRES_PORT=5432 API_PORT=57443 conf=$CACHE/backends-bench ;;
  run)   POSTGRES_PORT=56432 NATS_PORT=56222 conf=$CACHE/backends-run ;;
  *)     die "there are the back ends 'test', 'bench' and 'run', and not '$purpose'" ;;
esac
ETCD_IMAGE=registry.k8s.io/etcd:${ETCD#v}-0 API_IMAGE=registry.k8s.io/kube-apiserver:$KUBERNETES

exports() {
  echo "export TEST_DATABASE_URL=postgres://postgres:postgres@127.0.0.1:$POSTGRES_PORT/postgres"
  echo "export TEST_NATS_URL=nats://127.0.0.1:$NATS_PORT"
  echo "export TEST_KUBECONFIG=$conf/kubeconfig"
}

# What was started by another version of this script is started anew.
recipe=$(sha256sum "$DEV/backends.sh" | cut -c1-16)
running() { [ "$(docker container inspect -f "{{.State.Running}} {{index .Config.Labels \"$RECIPE_LABEL\"}}" "$1" 2>/dev/null)" = "true $recipe" ]; }

# container NAME PORT DOCKER-ARGUMENTS... : started once, in place of a dead one
container() {
  local name=$1 port=$2; shift 2
  docker rm -fv "$name" >/dev/null 2>&1 || true
  need_port "$port" "$name"
  docker run -d --name "$name" --label "$RECIPE_LABEL=$recipe" "$@" >/dev/null
}

until_ready() { # NAME COMMAND... : within a minute
  local name=$1 deadline=$((SECONDS + 60)); shift
  until "$@" >/dev/null 2>&1; do
    running "$name" || { docker logs --tail 20 "$name" >&2; die "$name stopped; its last words stand above"; }
    [ $SECONDS -lt $deadline ] || { docker logs --tail 20 "$name" >&2; die "$name is not ready after 60 s; its last words stand above"; }
    sleep 0.2
  done
}

postgres() { # CONNECTIONS RULES... : so many at most, and how each is asked for its password
  local name=shopkeeper-$purpose-postgres connections=$1; shift
  running "$name" && return
  say "starting PostgreSQL on 127.0.0.1:$POSTGRES_PORT"
  # Test data may be lost in a crash: nothing is flushed, which makes making a database ten times as fast.
  printf '%s\n' 'local all all trust' "$@" > "$conf/pg_hba.conf"
  container "$name" $POSTGRES_PORT -p "127.0.0.1:$POSTGRES_PORT:5432" -e POSTGRES_PASSWORD=postgres \
    -v "$conf/pg_hba.conf:/pg_hba.conf:ro" "$POSTGRES_IMAGE" postgres -c hba_file=/pg_hba.conf -c max_connections="$connections" \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=64MB
  until_ready "$name" docker exec "$name" pg_isready -q -h 127.0.0.1 -U postgres
}

nats() { # an account for each test, with a login that may do everything and one with what the operator would give the test's service
  local name=shopkeeper-$purpose-nats n
  running "$name" && return
  say "starting NATS on 127.0.0.1:$NATS_PORT"
  { echo 'port: 4222'
    echo 'jetstream { store_dir: "/data", max_memory_store: 1GB, max_file_store: 8GB }'
    echo 'accounts {'
    for n in $(seq 0 255); do echo "  t$n { jetstream: enabled, users: [{user: t$n, password: t}, {user: n$n, password: t, permissions: $(rights_of_notes "n$n")}] }"; done
    echo '}'
  } > "$conf/nats.conf"
  container "$name" $NATS_PORT -p "127.0.0.1:$NATS_PORT:4222" --tmpfs /data:mode=1777 -v "$conf/nats.conf:/nats.conf:ro" "$NATS_IMAGE" -c /nats.conf
  until_ready "$name" timeout 2 bash -c "head -c 4 < /dev/tcp/127.0.0.1/$NATS_PORT | grep -q INFO"
}

rights_of_notes() { # USER : as operator/src/objects/broker.rs has them, for the service of services/chassis/tests/notes
  local api="\$JS.API" consumer=notes-shop-others-note-published-v1 kind=shop.others.note.published.v1
  echo "{publish: [shop.notes.note.written.v1, \"$api.INFO\", \"$api.STREAM.CREATE.SHOP\", \"$api.STREAM.INFO.SHOP\", \"$api.STREAM.UPDATE.SHOP\"," \
    "\"$api.CONSUMER.CREATE.SHOP.notes-outbox.shop.notes.>\", \"$api.CONSUMER.DELETE.SHOP.notes-outbox\", \"$api.CONSUMER.MSG.NEXT.SHOP.notes-outbox\"," \
    "\"$api.CONSUMER.CREATE.SHOP.$consumer.$kind\", \"$api.CONSUMER.INFO.SHOP.$consumer\", \"$api.CONSUMER.MSG.NEXT.SHOP.$consumer\", \"\$JS.ACK.SHOP.$consumer.>\"]," \
    "subscribe: [\"_INBOX.$1.>\"]}"
}

credentials() { # a certificate authority, the API server's certificate, a key for service accounts, an administrator's token
  [ -s "$conf/kubeconfig" ] && return
  need_packages openssl:openssl curl:curl
  local token key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650)
  token=$(openssl rand -hex 16)
  (
    cd "$conf"
    openssl req -x509 "${key[@]}" -subj /CN=test-ca -keyout ca.key -out ca.crt
    openssl req -x509 "${key[@]}" -subj /CN=kube-apiserver -CA ca.crt -CAkey ca.key -addext subjectAltName=IP:127.0.0.1 \
      -addext basicConstraints=critical,CA:FALSE -keyout api.key -out api.crt
    openssl genrsa -out accounts.key 2048
    openssl rsa -in accounts.key -pubout -out accounts.pub
  ) 2>"$conf/openssl.log" || { cat "$conf/openssl.log" >&2; die "the API server's certificate could not be made; openssl's words stand above"; }
  echo "$token,test,test,system:masters" > "$conf/tokens.csv"
  cat > "$conf/kubeconfig.new" <<X
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority-data: $(base64 -w0 < "$conf/ca.crt")}}]
users: [{name: test, user: {token: $token}}]
contexts: [{name: test, context: {cluster: test, user: test, namespace: default}}]
X
  mv "$conf/kubeconfig.new" "$conf/kubeconfig"
}

kubernetes() {
  local name=shopkeeper-$purpose-kubernetes etcd=shopkeeper-$purpose-etcd
  running "$name" && running "$etcd" && return
  credentials
  say "starting a Kubernetes API server on 127.0.0.1:$API_PORT"
  docker rm -fv "$name" >/dev/null 2>&1 || true
  container "$etcd" $API_PORT -p "127.0.0.1:$API_PORT:6443" --tmpfs /data --entrypoint etcd "$ETCD_IMAGE" \
    --data-dir=/data --unsafe-no-fsync --quota-backend-bytes=8589934592
  # It shares etcd's network, so etcd needs no port of its own. No controller makes service accounts, so nothing may ask for them.
  docker run -d --name "$name" --label "$RECIPE_LABEL=$recipe" --network "container:$etcd" -v "$conf:/conf:ro" --entrypoint kube-apiserver "$API_IMAGE" \
    --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --tls-cert-file=/conf/api.crt --tls-private-key-file=/conf/api.key \
    --token-auth-file=/conf/tokens.csv --authorization-mode=RBAC --service-cluster-ip-range=10.96.0.0/16 --endpoint-reconciler-type=none \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=/conf/accounts.pub \
    --service-account-signing-key-file=/conf/accounts.key --disable-admission-plugins=ServiceAccount >/dev/null
  until_ready "$name" api_ready
}
api_ready() { curl -sf --max-time 2 --cacert "$conf/ca.crt" "https://127.0.0.1:$API_PORT/readyz"; }

up() {
  "$DEV/engine.sh"
  mkdir -p "$conf"
  images_from
  [ "$SHOPKEEPER_IMAGES" = published ] || "$DEV/postgres/image.sh"
  case $purpose in
    test)
      [ "$SHOPKEEPER_IMAGES" = published ] || "$DEV/nats/image.sh"
      # By the role, for tests of clients that give their password only in one way.
      postgres 300 'host all "/^clear_" all password' 'host all "/^md5_" all md5' 'host all all all scram-sha-256'
      nats
      ;;
    bench)
      postgres 1000 'host all all all trust' ;;
    run)
      [ "$SHOPKEEPER_IMAGES" = published ] || "$DEV/nats/image.sh"
      postgres 100 'host all all all scram-sha-256'
      nats
      return ;;
  esac
  docker image inspect "$API_IMAGE" "$ETCD_IMAGE" >/dev/null 2>&1 || [ "$SHOPKEEPER_IMAGES" = published ] || "$DEV/node/image.sh"
  kubernetes
}

case ${1:-} in
  up)   exclusive "backends-$purpose"; up >&2; [ "$purpose" = bench ] || exports ;;
  env)  exports ;;
  down) docker rm -fv shopkeeper-"$purpose"-{postgres,nats,kubernetes,etcd} >/dev/null 2>&1 || true ;;
  *)    die "usage: dev/backends.sh up|down [test|bench|run], dev/backends.sh env" ;;
esac
