#!/usr/bin/env bash
# Brings what others quantize with, for tests/bench/quality.py: the runtimes of tests/judges/runtimes and, from PyPI, pinned by
# digest, NNCF beside them. Does nothing where it already stands as pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../../judges/runtimes/install.sh

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi

rm -rf installed
../../judges/runtimes/installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --no-deps \
  --require-hashes --target installed/packages -r requirements.txt
printf '%s\n' "$pinned" >"$stamp"
