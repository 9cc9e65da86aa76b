#!/usr/bin/env bash
# Installs the judges (llama.cpp through node-llama-cpp, ONNX Runtime, OpenAI's client, and their Node) from the lock file.
# Does nothing where they already stand as locked. Needs npm; no package's own scripts are run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=node_modules/.installed-from
locked=$(sha256sum package.json package-lock.json)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$locked" ]; then
  exit 0
fi

if ! command -v npm >/dev/null; then
  echo "install.sh: npm is not installed (Debian: apt-get install npm)" >&2
  exit 1
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "install.sh: the locked judges are for Linux on x86-64, this is $(uname -sm)" >&2
  exit 1
fi

# The optional packages are other platforms' binaries and GPU builds, over a gigabyte of them.
npm ci --ignore-scripts --omit=optional --no-progress --loglevel=error
if ! node_modules/.bin/node --version >/dev/null; then
  echo "install.sh: the locked Node does not start on this machine" >&2
  exit 1
fi
printf '%s\n' "$locked" >"$stamp"
