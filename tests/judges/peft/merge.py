#!/usr/bin/env python3
"""Asks peft itself what merge_and_unload() makes of the cases of tests/e2e/lora_files.py, and writes merged.json beside
this file, with which tests/e2e/test_lora.py compares. Run by hand, where torch can be had:

    python3 -m venv VENV && VENV/bin/pip install -r tests/judges/peft/requirements.txt
    QUANTFLEET_BIN=$PWD/build/release/bin VENV/bin/python tests/judges/peft/merge.py

The models are loaded in double precision, so that what peft makes is rounded nowhere near F32. (torch from PyPI is linked
with CUDA's libraries, which are several gigabytes: empty ones in their place, with the symbols that torch names, do on a
machine without a GPU.)
"""
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))

import lora_files  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402


def merged(folder, adapters):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float64, pad_token_id=0)
    for number in range(1, adapters + 1):
        model = peft.PeftModel.from_pretrained(model, folder / str(number)).to(torch.float64).merge_and_unload()
    return dict(model.named_parameters())


def main():
    made = {"versions": {m.__name__: m.__version__.split("+")[0] for m in (torch, transformers, peft)}, "cases": {}}
    for name in lora_files.CASES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            changed, adapters = lora_files.write_case(folder, name)
            weights = merged(folder, adapters)
            made["cases"][name] = {
                weight: [weights[weight][row, col].item() for row, col in lora_files.sample(*weights[weight].shape)]
                for weight in changed}
    text = json.dumps(made, indent=0).replace(",\n-", ", -").replace(",\n0", ", 0")
    (HERE / "merged.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
