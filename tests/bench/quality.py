#!/usr/bin/env python3
"""How far quantized models are from their source, by how their codes were chosen and by whom: the tables in docs/quality.md.

usage: quality.py MODEL.gguf [--calibrated-on guides|code|self|FILE] [--text FILE] [--targets NAME...] [--ways NAME...]
                  [--peers nncf mlx-awq mlx-gptq]

MODEL.gguf has F16 weights. It is calibrated on this tree's guides and references, on code (Python's asyncio), on what it writes
itself, or on a file; the text that models are judged by, and whose default is the decisions, is unlike all of them in content.
Each candidate of a target has the same types and bytes whatever the rounding, but for "fit", which is the best mix within them
(it takes minutes, and is made only if asked for). "importance" is what llama.cpp makes with its
imatrix, byte for byte, and "plain" of groups with a bias what mlx-lm makes. KL is from the source's distribution to the
candidate's, in nats per token, with its standard error over windows; "same" is how often both find the same token the
likeliest. GGUF and MLX are judged under the embedded engine, OpenVINO's groups and the peers' under their own runtime in F32. A
ratio is to the row named "search" of the same target, with the error of the difference window by window. Peers get the same
calibration text, if it is a text that can be read; tests/bench/peers/install.sh brings them."""
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
PYTHON = ROOT / "tests/judges/runtimes/installed/venv/bin/python"
PEERS = ROOT / "tests/bench/peers"
# With importance llama-quantize gives some tensors of q4_0 and q5_0 another type: the body's here, to compare at equal bytes.
SAME_TYPES = ("--tensor-type", "role:ffn_down={}")
TARGETS = {
    "q4_0": ("gguf:q4_0", "q4_0"), "q4_1": ("gguf:q4_1", None), "q5_0": ("gguf:q5_0", "q5_0"),
    "iq4_nl": ("gguf:iq4_nl", None), "q4_k_m": ("gguf:q4_k_m", None), "q4_k_s": ("gguf:q4_k_s", None),
    "groups of 64 with a bias": ("mlx:int4-g64-asym", None), "groups of 32": ("mlx:int4", None),
    "groups of 64 with a zero point": ("openvino:int4-g64-asym", None),
}
WAYS = {"plain": (), "importance": ("--calibration", "nearest"), "search": ("--calibration", "search"),
        "feedback": ("--calibration", "feedback"), "fit": ("--calibration", "feedback")}
NOT_LIKE_LLAMA = ("mlx:", "openvino:")  # where nearest knows no importance
PEER_NEEDS = {"nncf": "openvino", "mlx-awq": "mlx", "mlx-gptq": "mlx"}
CHUNK, CHUNKS = 512, 20


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def tree_text(folders):
    return "\n".join(p.read_text() for folder in folders for p in sorted((ROOT / "docs" / folder).glob("*.md")))


def code_text():
    import asyncio
    return "\n".join(p.read_text() for p in sorted(Path(asyncio.__file__).parent.glob("*.py")))


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.judged = self.text(options.text and options.text.read_text() or tree_text(["decisions"]), "judged")
        texts = {"guides": lambda: tree_text(["guides", "formats", "reference"]), "code": code_text, "self": lambda: None}
        on = options.calibrated_on
        read = texts.get(on, lambda: Path(on).read_text())()
        self.read = read and self.text(read, "read")
        self.calibration = folder / "calibration"
        run(BIN / "quantfleet", "calibrate", options.model, *(("--text", self.read) if read else ("--self",)),
            "--second-moments", "--out", self.calibration, stderr=subprocess.DEVNULL)

    def text(self, text, name):
        path = self.folder / f"{name}.txt"
        path.write_text(text)
        return path

    def quantize(self, source, spec, out, *words):
        made = json.loads(run(BIN / "quantfleet", "quantize", source, "--target", spec, *words, "--out", out, "--json",
                              stderr=subprocess.DEVNULL))
        return Path(made["targets"][0]["path"]), max(f["size"] for f in made["targets"][0]["files"])

    def windows(self, text, size, most):
        lines = run(BIN / "tokenize", self.options.model, input=json.dumps(text.read_text()) + "\n")
        ids = json.loads(lines)["ids"]
        out = self.folder / f"{text.stem}-{size}.json"
        out.write_text(json.dumps([ids[at:at + size] for at in range(0, len(ids) - size + 1, size)][:most]))
        return out

    def floats(self, runtime):
        out = self.folder / "floats"
        folder = out / f"{runtime}-fp16"
        if not folder.exists():
            self.quantize(self.options.model, f"{runtime}:fp16", out)
        return folder

    def peer(self, name, given):
        """What peers.py says."""
        if not (PEERS / "installed").exists():
            raise SystemExit("the peers are not installed (tests/bench/peers/install.sh)")
        judged = self.windows(self.judged, self.options.window, self.options.windows)
        said = run(PYTHON, PEERS / "peers.py", name, self.floats(PEER_NEEDS.get(name, name)), given, judged,
                   env={**os.environ, "PYTHONPATH": str(PEERS / "installed/packages")}, stderr=subprocess.DEVNULL)
        return json.loads(said.splitlines()[-1])

    def fit(self, spec, words, recipe):
        """The best mix within the bytes of a target, as a target."""
        planned = json.loads(run(BIN / "quantfleet", "quantize", self.options.model, "--target", spec, *words, "--dry-run",
                                 "--json", stderr=subprocess.DEVNULL))
        form = spec.split(":")[0]
        run(BIN / "quantfleet", "fit", self.options.model, "--calibration", self.calibration, "--target", form, "--bytes",
            planned["targets"][0]["bytes"], "--no-check", "--out", recipe, *(("--text", self.read) if self.read else ()),
            stderr=subprocess.DEVNULL)
        return f"{form}:{recipe}"

    def candidate(self, target, way):
        """{"kl": ..., "top1": ..., "bytes", "seconds"} of one of ours."""
        spec, body = TARGETS[target]
        out = self.folder / f"{target}-{way}".replace(" ", "-")
        words = ("--calibration", self.calibration, "--rounding", WAYS[way][1]) if WAYS[way] else ()
        if body:
            words += (SAME_TYPES[0], SAME_TYPES[1].format(body))
        started = time.monotonic()
        if way == "fit":
            spec, words = self.fit(spec, words, out.with_suffix(".toml")), words[:4]
        folder, size = self.quantize(self.options.model, spec, out, *words)
        seconds = time.monotonic() - started
        if spec.startswith("openvino:"):
            return {**self.peer("openvino", folder), "bytes": size, "seconds": seconds}
        gguf = folder / "model.gguf"
        if not spec.startswith("gguf:"):  # what other runtimes compute with, as F16 for the engine
            gguf = self.quantize(folder, "gguf:f16", out)[0] / "model.gguf"
        said = run(BIN / "divergence", self.options.model, self.judged, self.options.window, self.options.windows, gguf)
        return {**json.loads(said), "bytes": size, "seconds": seconds}


def line(names, found, base):
    kl, same = found["kl"], found["top1"]
    ratio = ""
    if base and base is not found:
        by = statistics.mean(kl) / statistics.mean(base["kl"])
        apart = [a - by * b for a, b in zip(kl, base["kl"])]
        ratio = f"{by:.2f} ± {statistics.stdev(apart) / len(kl) ** 0.5 / statistics.mean(base['kl']):.2f}"
    error = statistics.stdev(kl) / len(kl) ** 0.5
    print(f"| {names[0]} | {names[1]} | {found['bytes'] / 1e6:.1f} | {statistics.mean(kl):.3f} ± {error:.3f} | "
          f"{100 * statistics.mean(same):.0f} % | {ratio} | {found['seconds']:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibrated-on", default="guides", metavar="guides|code|self|FILE")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--targets", nargs="*", default=["q4_0", "q4_k_m", "groups of 64 with a bias"], choices=TARGETS)
    parser.add_argument("--ways", nargs="+", default=[way for way in WAYS if way != "fit"], choices=WAYS)
    parser.add_argument("--peers", nargs="+", default=[], choices=PEER_NEEDS)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--windows", type=int, default=16)
    options = parser.parse_args()
    if options.peers and options.calibrated_on == "self":
        parser.error("peers need a text that can be read: calibrate on another than 'self'")
    with tempfile.TemporaryDirectory(prefix="quantfleet-quality-") as folder:
        bench = Bench(options, Path(folder))
        print("| target | rounding | MB | mean KL | same | / search | seconds |\n|---|---|---|---|---|---|---|", flush=True)
        for target in options.targets:
            base = None
            for way in options.ways:
                if way == "importance" and TARGETS[target][0].startswith(NOT_LIKE_LLAMA):
                    continue
                found = bench.candidate(target, way)
                base = found if way == "search" else base
                line((target, way), found, base)
        for peer in options.peers:
            line((peer, ""), bench.peer(peer, bench.windows(bench.read, CHUNK, CHUNKS)), None)


if __name__ == "__main__":
    main()
