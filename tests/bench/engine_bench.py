#!/usr/bin/env python3
"""The engine beside llama.cpp's own llama-bench on the same files, taking turns, so that what else the machine does hits both.

usage: tests/bench/engine_bench.py MODEL.gguf... [--threads N] [--turns N] [--prompt-tokens N] [--tokens N] [--depth N[,N]]
                                   [--kv-type f16[,q8_0]] [--flash-attention 0,1] [--llama-bench PROGRAM]
Prints a line per model, type of cache and depth (tokens that are in the cache before): medians over the turns of
tokens/s, prompt and generation, and the median of ours over llama.cpp's. Of llama.cpp the better of with and without
flash attention counts, by itself for prompt and for generation; a cache of q8_0 it has with flash attention alone.
--prompt-tokens 0: generation alone, for llama-bench reads what is in front once more for each measurement.
llama-bench is built by tests/bench/llama_bench.sh.
"""
import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QUANTFLEET_BIN", ROOT / "build/release/bin"))
NAMES = ("prompt", "generation")


def output(command):
    return subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=True).stdout


def ours(model, depth, kv_type, args):
    context = depth + args.prompt_tokens + args.tokens + 1
    said = json.loads(output([BIN / "quantfleet-agent", "bench", model, "--threads", args.threads, "--rounds", 1,
                              "--kv-type", kv_type, "--prompt-tokens", max(args.prompt_tokens, 1), "--tokens", args.tokens,
                              "--depth", depth, "--context", context, "--json"]))
    return said["prompt_tokens_per_second"], said["tokens_per_second"]


def theirs(model, depth, kv_type, args):
    """Tokens/s of prompt and generation, each with and without flash attention: {fa: rate}."""
    lines = output([args.llama_bench, "-m", model, "-t", args.threads, "-r", 1, "-p", args.prompt_tokens,
                    "-n", args.tokens, "-d", depth, "-ctk", kv_type, "-ctv", kv_type,
                    "-fa", "1" if kv_type == "q8_0" else args.flash_attention, "-o", "jsonl"]).splitlines()
    rates = ({}, {})
    for line in map(json.loads, lines):
        rates[0 if line["n_prompt"] else 1][int(line["flash_attn"])] = line["avg_ts"]
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(word) for word in text.split(",")]
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--depth", type=numbers, default=[0])
    parser.add_argument("--kv-type", type=lambda text: text.split(","), default=["f16"])
    parser.add_argument("--flash-attention", default="0,1")
    parser.add_argument("--llama-bench", default=ROOT / "build/llama.cpp/bin/llama-bench")
    args = parser.parse_args()
    for model in args.models:
        for kv_type in args.kv_type:
            for depth in args.depth:
                turns = [(ours(model, depth, kv_type, args), theirs(model, depth, kv_type, args)) for _ in range(args.turns)]
                parts = []
                for i, name in list(enumerate(NAMES))[args.prompt_tokens == 0:]:
                    fa = max(turns[0][1][i], key=lambda one: statistics.median(turn[1][i][one] for turn in turns))
                    a, b = statistics.median(turn[0][i] for turn in turns), statistics.median(turn[1][i][fa] for turn in turns)
                    ratio = statistics.median(turn[0][i] / turn[1][i][fa] for turn in turns)
                    parts.append(f"{name} {a:.1f} / {b:.1f} (-fa {fa}) = {ratio:.2f}")
                print(f"{model}, {kv_type} cache, behind {depth}: {'; '.join(parts)} (ours / llama.cpp, tokens/s)", flush=True)


if __name__ == "__main__":
    main()
