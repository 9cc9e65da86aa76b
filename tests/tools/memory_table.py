#!/usr/bin/env python3
"""What devices of 2, 4, 8 and 16 GiB hold of the Phi family's shapes, by the dry run alone: the table of docs/guides/quantize.md.

usage: tests/tools/memory_table.py
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import hollow_model  # noqa: E402

BIN = Path(os.environ.get("QUANTFLEET_BIN", Path(__file__).resolve().parents[2] / "build/release/bin"))
RECIPES = ("q4_0", "q8_0")
GIB = (2, 4, 8, 16)


def dry_run(folder, recipe, *options):
    done = subprocess.run([BIN / "quantfleet", "quantize", folder, "--target", f"gguf:{recipe}", "--dry-run", "--json",
                           *map(str, options)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["targets"][0]


def verdict(device, wanted):
    if device["fits"]:
        return f"{wanted}, and up to {device['longest_context']}"
    return f"{device['longest_context']} at most" if device["longest_context"] else "no"


def main():
    print("| model | recipe | needs | " + " | ".join(f"{gib} GiB" for gib in GIB) + " |")
    print("|---" * (3 + len(GIB)) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        for shape in hollow_model.SHAPES:
            folder = Path(scratch) / shape
            hollow_model.write(shape, folder)
            for recipe in RECIPES:
                rows = [dry_run(folder, recipe, "--device-memory", gib << 10) for gib in GIB]
                needs = rows[0]["needs"]
                print(f"| {shape} | {recipe} | {needs['text']} | " +
                      " | ".join(verdict(row["device"], needs["context"]) for row in rows) + " |")


if __name__ == "__main__":
    main()
