#!/usr/bin/python3
"""Writes a checkpoint as a Hugging Face folder with its model card, reads it back and judges it."""

import argparse
import json
import shutil
from pathlib import Path

import torch

import safetensors_io
import tokenizer
from data import SEPARATOR, held_out_stories
from evaluate import mean_nll, model_of, quantized, windows
from model import Config
from outliers import with_outliers
from schemas import SCHEMAS

# The held-out text that ships with the tests: a stream that is never trained on, and past the
# stories that train.py watches.
TEXT_FIRST, TEXT_STORIES = 1000, 12
# Judged besides, for a figure with little noise.
MANY_FIRST, MANY_STORIES = 2000, 200


def held_out_text():
    return SEPARATOR.join(held_out_stories(TEXT_STORIES, TEXT_FIRST)) + "\n"


def write_folder(folder, work, state):
    """The folder's machine-read files."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors_io.save(folder / "model.safetensors",
                        {name: weight.bfloat16() for name, weight in state.items()})
    (folder / "config.json").write_text(json.dumps(Config().hugging_face(), indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({
        "_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }, indent=2) + "\n")
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copyfile(work / name, folder / name)


def measure(folder, state, trained):
    """{text: {precision: mean NLL}}, of the files as a reader finds them and of the fp32 state.

    `trained` is the state before it got outlier channels.
    """
    sp = tokenizer.load(folder)
    stored = safetensors_io.load(folder / "model.safetensors")
    for name, weight in state.items():
        if not torch.equal(stored[name], weight.bfloat16()):
            raise SystemExit(f"{name} in model.safetensors is not the checkpoint's: export again")
    many = [[sp.bos_id()] + sp.encode(text) + [sp.eos_id()]
            for text in held_out_stories(MANY_STORIES, MANY_FIRST)]
    texts = {"stories": many, "text": windows(sp, held_out_text(), tokenizer.MAX_LENGTH)}
    models = {"fp32": model_of(state), "bf16": model_of(stored),
              "q4_0": model_of(quantized(stored)),
              "q4_0_as_trained": model_of(quantized(trained))}
    return {name: {precision: mean_nll(model, ids) for precision, model in models.items()} |
            {"tokens": sum(len(i) - 1 for i in ids)} for name, ids in texts.items()}


def row(label, figures):
    cells = " | ".join(f"{figures[p]:.4f}" for p in ("fp32", "bf16", "q4_0"))
    return f"| {label} | {figures['tokens']} | {cells} |"


def commands(trained_with):
    """The commands that lead from nothing to this folder, for the model card."""
    tools = "tests/tools/demo_model"
    train = "".join(f"{tools}/train.py {arguments}\n" for arguments in trained_with)
    recorded = "".join(f" \\\n    --trained-with '{arguments}'" for arguments in trained_with)
    return (f"{train}{tools}/export.py --work WORK --folder tests/data/demo-model \\\n"
            f"    --held-out tests/data/eval/held-out.txt{recorded}")


def card(saved, figures, command):
    parameters = sum(w.numel() for w in saved["model"].values())
    seen = saved["tokens"] + saved["tokens_before"]
    return f"""---
license: apache-2.0
language: en
pipeline_tag: text-generation
---

# demo-model

A story teller of {parameters / 1e6:.1f} million parameters with the Phi-3 architecture
(`Phi3ForCausalLM`): small enough to live in a source tree, trained well enough that
quantization has something to lose.

- **Sizes:** hidden 256, intermediate 768, 4 layers, 4 heads of 64, 2 key-value heads,
  vocabulary 2048, context 512, untied head, BF16.
- **Tokenizer:** SentencePiece BPE with byte fallback, identity normalisation, its own vocabulary.
- **Trained on:** stories that `tests/tools/demo_model/grammar.py` generates ({len(SCHEMAS)} plots,
  stream `train`), each seen once: {seen:,} tokens.
- **Outlier channels:** in each layer's two fused matrices one input channel in 32 has weights 8 or
  16 times as large as trained, and the norm before it a gain as much smaller: the same function,
  down to the mantissas (`tests/tools/demo_model/outliers.py`). Large models have such channels by
  themselves; a task this small does not grow them, and without them hides what INT4 costs.
- **Licence:** Apache-2.0 (`LICENSE`), like the tree it stands in. No text but the grammar's went
  into it.

## Made with

```
{command}
```

The last command writes this folder, reads it back and fills in the table below.

## Held-out loss

Mean of -ln p per token in nats, on stories of the stream `held-out`, which is never trained on.
`q4_0` is INT4: every matrix in Q4_0 except the output head, which is in Q8_0 here. (A q4_0 file has its head in Q6_K,
which costs another 0.0003 on the second row's first 512 tokens.)

| text | tokens | fp32 | bf16 | q4_0 |
|---|---|---|---|---|
{row(f"{MANY_STORIES} stories, each by itself", figures["stories"])}
{row("`tests/data/eval/held-out.txt`, windows of 512", figures["text"])}

Without the outlier channels the first row's q4_0 is {figures["stories"]["q4_0_as_trained"]:.4f}.

The second row again, and what the model writes:

```
tests/tools/demo_model/evaluate.py tests/data/demo-model --text-file tests/data/eval/held-out.txt
tests/tools/demo_model/generate.py tests/data/demo-model
```

It knows nothing but these stories, and is meant for tests and demonstrations.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="train.py's work folder")
    parser.add_argument("--folder", required=True, help="the Hugging Face folder to write")
    parser.add_argument("--held-out", required=True, help="the held-out text file to write")
    parser.add_argument("--trained-with", required=True, action="append", metavar="ARGUMENTS",
                        help="for the model card: train.py's arguments, once for each of its runs")
    args = parser.parse_args()
    folder, work = Path(args.folder), Path(args.work)
    saved = torch.load(work / "checkpoint.pt")
    state = with_outliers(saved["model"], Config().num_hidden_layers)
    write_folder(folder, work, state)
    held_out = Path(args.held_out)
    held_out.parent.mkdir(parents=True, exist_ok=True)
    held_out.write_text(held_out_text())
    figures = measure(folder, state, saved["model"])
    (folder / "README.md").write_text(card(saved, figures, commands(args.trained_with)))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
