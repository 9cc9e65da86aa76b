#!/usr/bin/env bash
# Brings the runtimes that run our folders from PyPI, pinned by digest: ONNX Runtime GenAI, OpenVINO GenAI and mlx-lm with its CPU
# backend. Does nothing where they already stand as pinned. Needs python3 with venv; a minute, 170 MB to download.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec 9<requirements.txt
flock 9 # several tests may want them at once

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi

rm -rf installed
mkdir installed
python3 -m venv installed/venv
installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes -r requirements.txt
printf '%s\n' "$pinned" >"$stamp"
