#!/usr/bin/env bash
# Measures whole quantizing processes: wall and CPU seconds, peak memory, bytes read and written, per target and for all
# targets in one pass, beside llama.cpp's own quantizer in the same run; and four formats of one set of codes, together and one
# by one. JSON on stdout, a table on stderr.
#
# usage: tests/bench/pipeline_bench.sh [--model DIR] [--gguf FILE] [--megabytes N] [--repeats N] [--memory MIB]
#   --model DIR    a Hugging Face folder; without it a model of --megabytes (2200) is generated
#   --gguf FILE    the same model as F16 GGUF for llama.cpp; made with quantfleet when it is not given
#   --repeats N    runs of each, interleaved; medians count (3)
#   --memory MIB   quantfleet's budget (512)
# llama.cpp is measured where tests/judges/install.sh has been run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deploy/install-deps.sh --test
cmake --preset release >/dev/null
cmake --build --preset release --target quantfleet llama_quantize >&2
exec python3 tests/bench/pipeline_bench.py "$@"
