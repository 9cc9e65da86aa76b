#!/usr/bin/python3
"""Continues prompts with an exported model, greedily and by sampling: to be read."""

import argparse
from pathlib import Path

import torch

import safetensors_io
import tokenizer
from evaluate import model_of, quantized

PROMPTS = ("Once upon a time", "The little fox", "One night, Lily could not sleep.",
           "Tom was a brave bear.", "Long ago, a shy mouse")


@torch.no_grad()
def continuation(model, sp, prompt, temperature, limit, generator):
    """The prompt and what follows, up to EOS or `limit` tokens. Temperature 0 is greedy."""
    ids = [sp.bos_id()] + sp.encode(prompt)
    for _ in range(limit):
        logits = model(torch.tensor([ids]))[0, -1]
        if temperature == 0:
            chosen = int(logits.argmax())
        else:
            odds = torch.softmax(logits / temperature, -1)
            chosen = int(torch.multinomial(odds, 1, generator=generator))
        if chosen == sp.eos_id():
            break
        ids.append(chosen)
    return sp.decode(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="the Hugging Face folder")
    parser.add_argument("--prompt", action="append", help="default: five built-in ones")
    parser.add_argument("--temperature", type=float, action="append", help="default: 0 and 0.8")
    parser.add_argument("--max-tokens", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--int4", action="store_true", help="with Q4_0 weights")
    args = parser.parse_args()
    sp = tokenizer.load(args.folder)
    state = safetensors_io.load(Path(args.folder) / "model.safetensors")
    model = model_of(quantized(state) if args.int4 else state)
    generator = torch.Generator().manual_seed(args.seed)
    for temperature in args.temperature or (0.0, 0.8):
        for prompt in args.prompt or PROMPTS:
            text = continuation(model, sp, prompt, temperature, args.max_tokens, generator)
            print(f"[temperature {temperature}] {text}\n")


if __name__ == "__main__":
    main()
