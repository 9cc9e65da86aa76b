#!/usr/bin/python3
"""Held-out loss of an exported model, with its weights as stored and as INT4 would leave them."""

import argparse
import json
from pathlib import Path

import numpy
import torch
from torch.nn import functional as F

import safetensors_io
import tokenizer
from model import Phi3

HEAD = "lm_head.weight"


def q8_0(rows):
    """ggml Q8_0 there and back: 32 int8 codes share an f16 scale. rows: f32 [n, k], k % 32 == 0."""
    blocks = rows.reshape(-1, 32)
    d = numpy.abs(blocks).max(1, keepdims=True) / numpy.float32(127)
    inverse = numpy.divide(numpy.float32(1), d, out=numpy.zeros_like(d), where=d != 0)
    scaled = blocks * inverse
    codes = numpy.trunc(scaled + numpy.copysign(numpy.float32(0.5), scaled))
    return (codes * d.astype(numpy.float16).astype(numpy.float32)).reshape(rows.shape)


def q4_0(rows):
    """ggml Q4_0 there and back: d = (value of largest magnitude) / -8, codes 0..15 minus 8."""
    blocks = rows.reshape(-1, 32)
    at = numpy.abs(blocks).argmax(1)[:, None]
    d = numpy.take_along_axis(blocks, at, 1) / numpy.float32(-8)
    inverse = numpy.divide(numpy.float32(1), d, out=numpy.zeros_like(d), where=d != 0)
    codes = numpy.minimum(15, numpy.trunc(blocks * inverse + numpy.float32(8.5))) - 8
    dequantized = codes * d.astype(numpy.float16).astype(numpy.float32)
    return dequantized.reshape(rows.shape).astype(numpy.float32)


def quantized(state):
    """The state dict nearly as a q4_0 artifact holds it: all matrices in Q4_0 but the head, here in Q8_0, not Q6_K."""
    out = {}
    for name, weight in state.items():
        rows = weight.float().numpy()
        if weight.dim() == 2:
            rows = q8_0(rows) if name == HEAD else q4_0(rows)
        out[name] = torch.from_numpy(numpy.ascontiguousarray(rows))
    return out


def model_of(state):
    model = Phi3()
    model.load_state_dict({name: weight.float() for name, weight in state.items()})
    return model.eval()


@torch.no_grad()
def mean_nll(model, texts):
    """Mean of -ln p over every token after BOS (EOS included) of each text by itself."""
    total, count = 0.0, 0
    for ids in texts:
        ids = torch.tensor(ids)
        logits = model(ids[None, :-1])[0]
        total += F.cross_entropy(logits, ids[1:], reduction="sum").item()
        count += len(ids) - 1
    return total / count


def windows(sp, text, length):
    """A text as windows of at most `length` tokens, each behind its own BOS."""
    ids = sp.encode(text)
    step = length - 1
    return [[sp.bos_id()] + ids[at:at + step] for at in range(0, len(ids), step)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="the Hugging Face folder")
    parser.add_argument("--text-file", required=True)
    parser.add_argument("--window", type=int, default=tokenizer.MAX_LENGTH)
    args = parser.parse_args()
    sp = tokenizer.load(args.folder)
    state = safetensors_io.load(Path(args.folder) / "model.safetensors")
    texts = windows(sp, Path(args.text_file).read_text(), args.window)
    print(json.dumps({
        "tokens": sum(len(t) - 1 for t in texts),
        "mean_nll": round(mean_nll(model_of(state), texts), 5),
        "mean_nll_q4_0": round(mean_nll(model_of(quantized(state)), texts), 5),
    }))


if __name__ == "__main__":
    main()
