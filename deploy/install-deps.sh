#!/usr/bin/env bash
# Installs the Debian 12 packages that quantfleet is built, tested and run with.
#
# usage: deploy/install-deps.sh [--build | --test | --full | --train]
#   --build  (default) compiler and libraries: enough for the build and the quickstart
#   --test   also what the tests and judges need
#   --full   also sanitizers, fuzzers and lint
#   --train  also what trains the demo model anew (PyTorch, SentencePiece)
# Does nothing, quickly and without the network, when everything is there.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config ca-certificates
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev
  libssl-dev libzstd-dev libhwy-dev libsoci-dev libsqlite3-dev libcli11-dev libtomlplusplus-dev libre2-dev libpcre2-dev
  libpugixml-dev
  libspdlog-dev libfmt-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev curl jq bsdextrautils)
test_=(libbenchmark-dev npm nodejs python3 openssl iproute2 libfaketime)
full=(clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev)
train=(python3 python3-torch python3-sentencepiece libopenblas0-pthread)

case "${1:---build}" in
  --build) want=("${build[@]}") ;;
  --test) want=("${build[@]}" "${test_[@]}") ;;
  --full) want=("${build[@]}" "${test_[@]}" "${full[@]}") ;;
  --train) want=("${train[@]}") ;;
  *) echo "usage: $0 [--build | --test | --full | --train]" >&2; exit 2 ;;
esac

# A Node that came from elsewhere serves as well as Debian's own, and the two cannot be installed together.
if command -v npm >/dev/null 2>&1; then
  kept=()
  for p in "${want[@]}"; do [[ $p == npm || $p == nodejs ]] || kept+=("$p"); done
  want=("${kept[@]}")
fi

missing=()
for p in "${want[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true) == installed ]] || missing+=("$p")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID)); then
  command -v sudo >/dev/null || { echo "install-deps: run as root, or install sudo" >&2; exit 1; }
  as_root=(sudo)
fi
echo "install-deps: installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
