#!/usr/bin/env python3
"""How far quantized models are from their source, by how their codes were chosen: the table in docs/quality.md.

usage: quality.py MODEL.gguf [--calibration DIR] [--calibration-text FILE] [--text FILE] [--targets NAME...]

MODEL.gguf has F16 weights. Without --calibration one is made from the calibration text, whose default is this tree's
guides and references; the text that models are judged by, and whose default is the decisions, is unlike it in content. Each
candidate has the same types and bytes whatever the rounding, but for "fit", which is the best mix within the bytes of the
target. KL is from the source's distribution to the candidate's under the embedded engine, in nats per token, with its standard
error over windows; "same" is how often both find the same token the likeliest."""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QUANTFLEET_BIN", ROOT / "build/release/bin"))
# With importance llama-quantize gives some tensors of q4_0 and q5_0 another type: the body's here, to compare at equal bytes.
SAME_TYPES = ("--tensor-type", "role:ffn_down={}")
TARGETS = {
    "q4_0": ("gguf:q4_0", "q4_0"), "q4_1": ("gguf:q4_1", None), "q5_0": ("gguf:q5_0", "q5_0"),
    "iq4_nl": ("gguf:iq4_nl", None), "q4_k_m": ("gguf:q4_k_m", None), "q4_k_s": ("gguf:q4_k_s", None),
    "groups of 64 with a bias": ("mlx:int4-g64-asym", None), "groups of 32": ("mlx:int4", None),
}
WAYS = {"plain": (), "importance": ("--calibration", "nearest"), "search": ("--calibration", "search"),
        "feedback": ("--calibration", "feedback"), "fit": ("--calibration", "feedback")}


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def text_of(folders, out):
    out.write_text("\n".join(p.read_text() for folder in folders for p in sorted((ROOT / "docs" / folder).glob("*.md"))))
    return out


def make(model, target, way, calibration, read, out):
    """The candidate as a GGUF that the engine runs, the bytes of its weights, and seconds."""
    spec, body = TARGETS[target]
    words = (WAYS[way][0], calibration, "--rounding", WAYS[way][1]) if WAYS[way] else ()
    if body:
        words += (SAME_TYPES[0], SAME_TYPES[1].format(body))
    started = time.monotonic()
    if way == "fit":  # within the bytes of the named one
        planned = json.loads(run(BIN / "quantfleet", "quantize", model, "--target", spec, *words, "--dry-run", "--json"))
        form, recipe, words = spec.split(":")[0], out.with_suffix(".toml"), words[:4]
        run(BIN / "quantfleet", "fit", model, "--calibration", calibration, "--text", read, "--target", form, "--bytes",
            planned["targets"][0]["bytes"], "--no-check", "--out", recipe)
        spec = f"{form}:{recipe}"
    made = json.loads(run(BIN / "quantfleet", "quantize", model, "--target", spec, *words, "--out", out, "--json"))
    seconds = time.monotonic() - started
    folder = Path(made["targets"][0]["path"])
    size = max(f["size"] for f in made["targets"][0]["files"])
    if spec.startswith("gguf:"):
        return folder / "model.gguf", size, seconds
    # What other runtimes compute with, as F16 for the engine.
    run(BIN / "quantfleet", "quantize", folder, "--target", "gguf:f16", "--out", out)
    return out / "gguf-f16/model.gguf", size, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--calibration-text", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--targets", nargs="+", default=["q4_0", "q4_k_m", "groups of 64 with a bias"], choices=TARGETS)
    parser.add_argument("--ways", nargs="+", default=[way for way in WAYS if way != "fit"], choices=WAYS)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--windows", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantfleet-quality-") as folder:
        folder = Path(folder)
        judged = options.text or text_of(["decisions"], folder / "judged.txt")
        calibration = options.calibration
        read = options.calibration_text or text_of(["guides", "formats", "reference"], folder / "read.txt")
        if calibration is None:
            calibration = folder / "calibration"
            run(BIN / "quantfleet", "calibrate", options.model, "--text", read, "--second-moments", "--out", calibration)
        print("| target | rounding | MB | mean KL | same | seconds |\n|---|---|---|---|---|---|", flush=True)
        for target in options.targets:
            for way in options.ways:
                out = folder / f"{target}-{way}".replace(" ", "-")
                candidate, size, seconds = make(options.model, target, way, calibration, read, out)
                found = json.loads(run(BIN / "divergence", options.model, judged, options.window, options.windows, candidate))
                kl, error = statistics.mean(found["kl"]), statistics.stdev(found["kl"]) / len(found["kl"]) ** 0.5
                print(f"| {target} | {way} | {size / 1e6:.1f} | {kl:.3f} ± {error:.3f} | "
                      f"{100 * statistics.mean(found['top1']):.0f} % | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
