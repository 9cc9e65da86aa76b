#!/usr/bin/python3
"""Writes an HF folder with random weights, without NumPy: a large one of the Phi-3 architecture, or a tiny one
of a published family's shape.

usage: make_model.py OUT_DIR --megabytes N [--tokenizer FOLDER] [--seed S]
       make_model.py OUT_DIR --preset FAMILY [--dtype BF16[,F16,F32]] [--shards N] [--seed S]

The large one's weights are BF16, its tokenizer (and the vocabulary's size) is taken from FOLDER, by default the
demo model's. A family brings its own tokenizer; its tensors take the dtypes in turn. Deterministic.
"""
import argparse
import json
import random
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import families

HIDDEN, MLP, HEADS, KV_HEADS, CONTEXT = 1024, 2816, 16, 8, 512
BLOCK = 1 << 20

# BF16 high bytes that give magnitudes from 0.002 to 0.03: what trained weights look like, and never NaN.
HIGH = bytes((0x3B, 0x3C, 0xBB, 0xBC)[i % 4] for i in range(256))


def tensors(layers, vocab):
    """(name, shape), as Phi-3 has them."""
    sizes = dict(hidden=HIDDEN, intermediate=MLP, layers=layers, heads=HEADS, kv_heads=KV_HEADS, vocab=vocab)
    family = replace(families.FAMILIES["phi3-mini-4k"](), **sizes)
    return [(name, shape) for name, shape, _ in families.tensors(family)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--tokenizer", type=Path,
                        default=Path(__file__).resolve().parents[1] / "data/demo-model")
    parser.add_argument("--preset", choices=sorted(families.FAMILIES))
    parser.add_argument("--dtype", default="BF16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    if args.preset:
        family = families.write(args.preset, args.out, args.dtype.split(","), args.shards, args.seed)
        print(json.dumps({"architecture": family.architecture, "vocab": family.vocab}))
        return
    source = json.loads((args.tokenizer / "config.json").read_text())
    vocab = source["vocab_size"]
    size = lambda shape: 2 * (shape[0] * (shape[1] if len(shape) > 1 else 1))
    per_layer = sum(size(s) for n, s in tensors(1, vocab) if ".layers." in n)
    fixed = sum(size(s) for n, s in tensors(0, vocab))
    layers = max(1, -(-(args.megabytes * 10**6 - fixed) // per_layer))

    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(args.tokenizer / name, args.out / name)
    source.update(hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=layers, num_attention_heads=HEADS,
                  num_key_value_heads=KV_HEADS, max_position_embeddings=CONTEXT,
                  original_max_position_embeddings=CONTEXT, tie_word_embeddings=False)
    source.pop("head_dim", None)
    (args.out / "config.json").write_text(json.dumps(source, indent=1))

    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors(layers, vocab):
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size(shape)]}
        offset += size(shape)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    rng = random.Random(args.seed)
    block = bytearray(2 * BLOCK)
    block[0::2] = rng.randbytes(BLOCK)
    block[1::2] = rng.randbytes(BLOCK).translate(HIGH)
    block = bytes(block) * 2
    with open(args.out / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, shape in tensors(layers, vocab):
            if len(shape) == 1:
                out.write(b"\x80\x3f" * shape[0])  # norms: 1.0
                continue
            left = size(shape)
            while left:
                at = 2 * rng.randrange(BLOCK)
                n = min(left, 2 * BLOCK)
                out.write(block[at:at + n])
                left -= n
    print(json.dumps({"layers": layers, "bytes": offset, "parameters": offset // 2}))


if __name__ == "__main__":
    main()
