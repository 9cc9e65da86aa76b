#!/usr/bin/env bash
# Brings transformers, and the packages whose chat templates it is asked about, from PyPI, pinned by digest; llama.cpp's come with
# the judges (tests/judges/install.sh). Does nothing where they already stand as pinned. Needs python3 with venv; half a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=installed/.installed-from
pinned=$(sha256sum requirements.txt wheels.txt ../package-lock.json)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi
bundle=../node_modules/node-llama-cpp/llama/gitRelease.bundle
if [ ! -f "$bundle" ]; then
  echo "install.sh: llama.cpp's source is not there (tests/judges/install.sh brings it)" >&2
  exit 1
fi

rm -rf installed
mkdir installed
python3 -m venv installed/venv
installed/venv/bin/pip install -q --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements.txt
installed/venv/bin/pip download -q --disable-pip-version-check --no-deps --require-hashes -r wheels.txt -d installed/wheels
git clone -q -c advice.detachedHead=false --no-checkout "$bundle" installed/llama.cpp
git -C installed/llama.cpp checkout -q HEAD -- models/templates
printf '%s\n' "$pinned" >"$stamp"
