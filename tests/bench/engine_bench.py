#!/usr/bin/env python3
"""The engine beside llama.cpp on the same files, taking turns, so that what else the machine does hits both.

usage: tests/bench/engine_bench.py MODEL.gguf... [--threads N] [--turns N] [--prompt-tokens N] [--tokens N]
Prints a line per model: medians over the turns of tokens/s, prompt and generation, and ours over llama.cpp's.
"""
import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QUANTFLEET_BIN", ROOT / "build/release/bin"))
JUDGES = ROOT / "tests/judges"
KEYS = ("prompt_tokens_per_second", "tokens_per_second")


def measured(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--prompt-tokens", default=128)
    parser.add_argument("--tokens", default=32)
    args = parser.parse_args()
    for model in args.models:
        ours = [BIN / "quantfleet-agent", "bench", model, "--threads", args.threads, "--rounds", 1, "--json",
                "--prompt-tokens", args.prompt_tokens, "--tokens", args.tokens]
        theirs = [JUDGES / "node_modules/.bin/node", JUDGES / "llama_cpp.mjs", model, "bench", "--rounds", 1,
                  "--threads", args.threads, "--prompt-tokens", args.prompt_tokens, "--max-tokens", args.tokens]
        runs = [(measured(ours), measured(theirs)) for _ in range(args.turns)]
        parts = []
        for key, name in zip(KEYS, ("prompt", "generation")):
            a, b = (statistics.median(run[i][key] for run in runs) for i in (0, 1))
            ratio = statistics.median(run[0][key] / run[1][key] for run in runs)
            parts.append(f"{name} {a:.1f} / {b:.1f} = {ratio:.2f}")
        print(f"{model}: {'; '.join(parts)} (ours / llama.cpp, tokens/s)", flush=True)


if __name__ == "__main__":
    main()
