#!/usr/bin/env bash
# Brings the runtimes that run our folders from PyPI, pinned by digest: ONNX Runtime GenAI, OpenVINO GenAI and mlx-lm with its CPU
# backend; with --older also the releases of ONNX Runtime GenAI in genai/, each in a folder of its own. Does nothing where they
# already stand as pinned. Needs python3 with venv; a minute, 170 MB to download, with --older 60 MB more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec 9<requirements.txt
flock 9 # several tests may want them at once

pip() {
  installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes "$@"
}

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt)
if ! [ -f "$stamp" ] || [ "$(cat "$stamp")" != "$pinned" ]; then
  rm -rf installed
  mkdir installed
  python3 -m venv installed/venv
  pip -r requirements.txt
  printf '%s\n' "$pinned" >"$stamp"
fi

[ "${1:-}" = --older ] || exit 0
for release in genai/*.txt; do
  folder=installed/${release%.txt}
  pinned=$(sha256sum "$release")
  if [ -f "$folder/.installed-from" ] && [ "$(cat "$folder/.installed-from")" = "$pinned" ]; then
    continue
  fi
  rm -rf "$folder"
  pip --target "$folder" -r "$release"
  printf '%s\n' "$pinned" >"$folder/.installed-from"
done
