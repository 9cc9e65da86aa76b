#!/usr/bin/env bash
# Brings transformers, compressed-tensors and torch for the CPU from PyPI, pinned by digest. Does nothing where they already stand
# as pinned. Needs python3 with venv, gcc and binutils; some minutes, 600 MB to download, 1.7 GB on disk: for
# thorough tests alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec 9<requirements.txt
flock 9 # several tests may want them at once

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt without_cuda.py)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi

rm -rf installed
mkdir installed
python3 -m venv installed/venv
installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes -r requirements.txt
python3 without_cuda.py installed/venv/lib/python3*/site-packages/torch/lib installed/empty
printf '%s\n' "$pinned" >"$stamp"
