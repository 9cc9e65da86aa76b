#!/usr/bin/env bash
# Builds llama-bench for this machine from the sources that the judges' package brings (tests/judges/install.sh), and prints
# where it is: build/llama.cpp/bin/llama-bench.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bundle=tests/judges/node_modules/node-llama-cpp/llama/gitRelease.bundle
source=build/llama.cpp/source
if [ ! -f "$bundle" ]; then
  echo "llama_bench.sh: $bundle is not there: tests/judges/install.sh" >&2
  exit 1
fi
[ -d "$source" ] || git clone --quiet "$bundle" "$source" 2>/dev/null
cmake -S "$source" -B build/llama.cpp -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF \
  -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_EXAMPLES=OFF >&2
cmake --build build/llama.cpp --target llama-bench >&2
echo "$PWD/build/llama.cpp/bin/llama-bench"
