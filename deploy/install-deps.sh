#!/usr/bin/env bash
# Installs the Debian 12 packages that are needed to build, test and run quantfleet.
#
# usage: deploy/install-deps.sh [--build | --test | --full | --aarch64 | --train | --print-libraries]
#   --build  (default) compiler and libraries: enough for the build and the quickstart
#   --test   also what the tests and judges need
#   --full   also what sanitizers, fuzzers and lint need
#   --aarch64  a cross compiler for aarch64 and an emulator for its output (the libraries: deploy/aarch64-sysroot.sh)
#   --train  what is needed to train the demo model again (PyTorch, SentencePiece)
#   --print-libraries  only print the packages of the linked libraries, one per line
# If everything is installed, does nothing, quickly and without the network.
set -euo pipefail

libraries=(libgrpc++-dev libprotobuf-dev libabsl-dev
  libboost1.81-dev libboost-json1.81-dev
  libssl-dev libzstd-dev libhwy-dev libsoci-dev libsqlite3-dev libcli11-dev libtomlplusplus-dev libre2-dev libpcre2-dev
  libutf8proc-dev libpugixml-dev
  libspdlog-dev libfmt-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev)
build=(g++ cmake ninja-build pkg-config ca-certificates protobuf-compiler protobuf-compiler-grpc "${libraries[@]}"
  curl jq bsdextrautils)
test_=(libbenchmark-dev npm nodejs python3 python3-venv openssl iproute2 libfaketime zsh fish mandoc)
full=(clang-19 lld-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev)
aarch64=(g++-aarch64-linux-gnu qemu-user)
train=(python3 python3-torch python3-sentencepiece libopenblas0-pthread)

case "${1:---build}" in
  --build) want=("${build[@]}") ;;
  --test) want=("${build[@]}" "${test_[@]}") ;;
  --full) want=("${build[@]}" "${test_[@]}" "${full[@]}") ;;
  --aarch64) want=("${aarch64[@]}") ;;
  --train) want=("${train[@]}") ;;
  --print-libraries) printf '%s\n' "${libraries[@]}"; exit 0 ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

# A Node.js from another source works as well as Debian's, and the two cannot be installed together.
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
