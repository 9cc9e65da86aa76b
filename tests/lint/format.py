#!/usr/bin/python3
"""Fails on C++ that clang-format-19 would write otherwise, and on lines of other sources that are too long.

usage: format.py [ROOT]   (this tree)
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLANG_FORMAT = "clang-format-19"
CPP = (".h", ".cc")
# What clang-format does not see. Its own limit for C++ is 100 columns, from .clang-format.
COLUMNS = 130
OTHERS = (".py", ".sh", ".cmake", ".proto", ".mjs")
SCRIPT = re.compile(rb"#!.*(sh|python3?)\n")  # programs whose names do not say what they are
# Built, installed or a model's own: not ours to format.
SKIPPED = re.compile(r"(build(-.*)?|\.git|node_modules|__pycache__)$")
INSTALLED = ("tests/bench/peers/installed", "tests/judges/runtimes/installed", "tests/judges/templates/installed",
             "tests/judges/tokenizers/installed", "tests/judges/transformers/installed")
DATA = ("tests/data", "tests/fuzz/corpus", *INSTALLED)


def sources(root):
    """C++ files, and the other sources, as paths below `root`."""
    cpp, others = [], []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = sorted(f for f in folders if not SKIPPED.match(f) and str(here / f) not in DATA)
        for name in sorted(names):
            path = here / name
            if path.suffix in CPP:
                cpp.append(path)
            elif path.suffix in OTHERS or name == "CMakeLists.txt":
                others.append(path)
            elif not path.suffix:
                with open(root / path, "rb") as file:
                    if SCRIPT.match(file.readline(200)):
                        others.append(path)
    return cpp, others


def badly_formatted(root, files):
    """What clang-format has against them, as it says it: a line per place."""
    def check(part):
        done = subprocess.run([CLANG_FORMAT, "--dry-run", "--Werror", "--style=file", *part], cwd=root,
                              capture_output=True, text=True, check=False)
        found = [line for line in done.stderr.splitlines() if ": error: " in line]
        if done.returncode and not found:
            return [done.stderr.strip() or f"{CLANG_FORMAT}: exit code {done.returncode}"]
        return found

    parts = [[str(f) for f in files[i:i + 25]] for i in range(0, len(files), 25)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for found in pool.map(check, parts) for line in found]


def long_lines(root, files):
    return [f"{path}:{number}: {len(line)} columns, {COLUMNS} at most" for path in files
            for number, line in enumerate((root / path).read_text().splitlines(), 1) if len(line) > COLUMNS]


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT)
    cpp, others = sources(root)
    wrong = badly_formatted(root, cpp) + long_lines(root, others)
    if not cpp or not others:
        wrong.append("no source file was found: the test looks at the wrong place")
    print("\n".join(wrong) if wrong else f"format: {len(cpp)} files of C++ and {len(others)} others are as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
