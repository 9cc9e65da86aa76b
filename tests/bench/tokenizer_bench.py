#!/usr/bin/env python3
"""Our tokenizer beside PyPI's `tokenizers`: one thread, the same text, line by line and in one piece, by turns.

usage: tests/judges/tokenizers/installed/venv/bin/python tests/bench/tokenizer_bench.py BIN_TOKENIZE TOKENIZER.json ...
                                                                                        [--megabytes N] [--turns N]
TEXT is the judge's sample of thirty scripts, this tree's own English and code, and one letter a million times.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/judges/tokenizers"))
import strings  # noqa: E402  (found beside the judges)
import tokenizers  # noqa: E402  (after the number of threads)


def texts(megabytes):
    size = int(megabytes * 1e6)
    scripts = "\n".join(strings.lines()) + "\n"
    files = sorted(p for pattern in ("docs/**/*.md", "text/**/*.cc") for p in ROOT.glob(pattern))
    english = "".join(p.read_text() for p in files)
    def filled(text):
        return (text * (size // len(text.encode()) + 1)).encode()[:size].decode(errors="ignore")
    return {"scripts": filled(scripts), "English and code": filled(english), "one letter": "a" * size}


def ours(binary, file, path):
    seconds, ids = subprocess.run([binary, file, "--time", path], capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), int(ids)


def theirs(judge, text):
    ids, begun = 0, time.perf_counter()
    for line in text.splitlines(keepends=True) if "\n" in text else [text]:
        ids += len(judge.encode(line, add_special_tokens=False).ids)
    return time.perf_counter() - begun, ids


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenize")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--megabytes", type=float, default=1)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    asked = texts(args.megabytes)
    print("| tokenizer | " + " | ".join(f"{name}, MB/s | `tokenizers` | ratio" for name in asked) + " |")
    print("|---|" + "---|" * 3 * len(asked))
    for file in args.files:
        judge, cells = tokenizers.Tokenizer.from_file(file), []
        for text in asked.values():
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as written:
                written.write(text)
                written.flush()
                turns = [(ours(args.tokenize, file, written.name), theirs(judge, text)) for _ in range(args.turns)]
            best = [min(turn[side][0] for turn in turns) for side in (0, 1)]
            size = len(text.encode()) / 1e6
            cells += [f"{size / best[0]:.2f}", f"{size / best[1]:.2f}", f"{best[1] / best[0]:.1f}"]
        parents = Path(file).parts
        name = next((p.removeprefix("tokenizer-") for p in parents if p.startswith("tokenizer-")), Path(file).stem)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
