#!/usr/bin/env python3
"""How far quantized models are from their source, by how their codes were chosen and by whom: the tables in docs/quality.md.

usage: quality.py MODEL.gguf [--calibrated-on guides|code|self|FILE] [--text FILE] [--targets NAME...] [--ways NAME...]
                  [--peers nncf mlx-gptq mlx-dynamic mlx-dwq] [--ratio-to WAY] [--markdown FILE]

tests/bench/quality.sh makes the whole table, of all models. MODEL.gguf has F16 weights. It is calibrated on this tree's guides
and references, on code (Python's asyncio), on what it writes itself, or on a file; the text that models are judged by, and whose
default is the decisions, is unlike all of them in content. Each candidate of a target has the same types and bytes whatever the
rounding, but for "fit", which is the best mix within them (it takes minutes). "importance" is what llama.cpp makes with its
imatrix, byte for byte, and "plain" of mlx:int4-g64-asym what mlx-lm makes.

KL is from the source's distribution to the candidate's, in nats per token, with its standard error over windows; "same" is how
often both find the same token the likeliest. Our artifacts of every format are judged under the embedded engine, in F32, by the
values that their codes stand for; the peers under their own runtime in F32. A ratio is to the row "importance" of the same
target, or to "plain" where there is none, or to the row that --ratio-to names; with the error of the difference window by window.
Seconds are the processor's. Peers get the same calibration text, if it is a text that can be read; tests/bench/peers/install.sh
brings them. mlx-dynamic has the bytes of mlx:int4-g64-asym. --markdown appends to a file what is printed, with a line of what it
is above."""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QUANTFLEET_BIN", ROOT / "build/release/bin"))
PYTHON = ROOT / "tests/judges/runtimes/installed/venv/bin/python"
PEERS = ROOT / "tests/bench/peers"
LLAMA_HAS = ("plain", "importance", "search", "feedback")
GROUPS_HAVE = ("plain", "search", "feedback")
# With the ways that are of interest.
TARGETS = {
    "gguf:q4_0": (*LLAMA_HAS, "search + folds", "feedback + folds", "fit"),
    "gguf:iq4_nl": (*LLAMA_HAS, "feedback + folds"),
    "gguf:q5_0": LLAMA_HAS,
    "gguf:q4_k_m": (*LLAMA_HAS, "fit"),
    "mlx:int4-g64-asym": GROUPS_HAVE,
    "onnx:int4-asym": GROUPS_HAVE,
    "onnx:int4-g64-asym": GROUPS_HAVE,
    "openvino:int4-asym": GROUPS_HAVE,
    "openvino:int4-g64-asym": GROUPS_HAVE,
}
OTHERS = ("gguf:q4_1", "gguf:q4_k_s", "mlx:int4")  # on demand
# With importance llama-quantize gives some tensors of these another type: the body's here, to compare at equal bytes.
SAME_TYPES = {f"gguf:{body}": ("--tensor-type", f"role:ffn_down={body}") for body in ("q4_0", "q5_0")}
WAYS = {"plain": (), "importance": ("nearest",), "search": ("search",), "feedback": ("feedback",), "fit": ("feedback",),
        "search + folds": ("search", "--fold", "auto"), "feedback + folds": ("feedback", "--fold", "auto")}
PEER_NEEDS = {"nncf": "openvino", "mlx-gptq": "mlx", "mlx-dynamic": "mlx", "mlx-dwq": "mlx"}
PEERS_ARE_LIKE = "mlx:int4-g64-asym"  # groups of 64 with biases or zero points: their ratio is to its plain row
CHUNK, CHUNKS = 512, 20
HEAD = "| target | rounding | MB | mean KL | same | ratio | s |\n|---|---|---|---|---|---|---|"


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def quantfleet(*words):
    return run(BIN / "quantfleet", *words, stderr=subprocess.DEVNULL)


class ProcessorSeconds:
    """Of the commands that are run within."""

    def now(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def __enter__(self):
        self.started = self.now()
        return self

    def __exit__(self, *_):
        self.seconds = self.now() - self.started


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
        with ProcessorSeconds() as took:
            quantfleet("calibrate", options.model, *(("--text", self.read) if read else ("--self",)), "--second-moments",
                       "--out", self.calibration)
        self.calibrating = took.seconds

    def text(self, text, name):
        path = self.folder / f"{name}.txt"
        path.write_text(text)
        return path

    def quantize(self, source, spec, out, *words):
        made = json.loads(quantfleet("quantize", source, "--target", spec, *words, "--out", out, "--json"))
        return Path(made["targets"][0]["path"]), max(f["size"] for f in made["targets"][0]["files"])

    def planned(self, spec, *words):
        plan = json.loads(quantfleet("quantize", self.options.model, "--target", spec, *words, "--dry-run", "--json"))
        return plan["targets"][0]

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

    def peer(self, name):
        """What peers.py says."""
        judged = self.windows(self.judged, self.options.window, self.options.windows)
        given = self.windows(self.read, CHUNK, CHUNKS)
        done = subprocess.run(
            [str(w) for w in (PYTHON, PEERS / "peers.py", name, self.floats(PEER_NEEDS[name]), given, judged,
                              self.planned(PEERS_ARE_LIKE)["bytes"])],
            env={**os.environ, "PYTHONPATH": str(PEERS / "installed/packages")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=60 * self.options.peer_minutes)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return json.loads(done.stdout.splitlines()[-1])

    def fit(self, spec, words, recipe):
        """The best mix within the bytes of a target, as a target."""
        form = spec.split(":")[0]
        quantfleet("fit", self.options.model, "--calibration", self.calibration, "--target", form, "--bytes",
                   self.planned(spec, *words)["bytes"], "--no-check", "--out", recipe,
                   *(("--text", self.read) if self.read else ()))
        return f"{form}:{recipe}"

    def candidate(self, spec, way):
        """{"kl": ..., "top1": ..., "bytes", "seconds"} of one of ours."""
        out = self.folder / f"{spec}-{way}".replace(" ", "-").replace(":", "-")
        words = ("--calibration", self.calibration, "--rounding", *WAYS[way]) if WAYS[way] else ()
        same = SAME_TYPES.get(spec, ())
        with ProcessorSeconds() as took:
            if way == "fit":
                spec, same = self.fit(spec, (*words, *same), out.with_suffix(".toml")), ()
            folder, size = self.quantize(self.options.model, spec, out, *words, *same)
        made = folder / "model.gguf" if spec.startswith("gguf:") else folder
        said = run(BIN / "divergence", self.options.model, self.judged, self.options.window, self.options.windows, made)
        shutil.rmtree(out)
        return {**json.loads(said), "bytes": size, "seconds": took.seconds}


class Table:
    def __init__(self, markdown):
        self.markdown = markdown

    def say(self, text):
        print(text, flush=True)
        if self.markdown:
            with self.markdown.open("a") as out:
                out.write(text + "\n")

    def row(self, names, found, base):
        kl, same, ratio = found["kl"], found["top1"], ""
        if base and base is not found:
            by = statistics.mean(kl) / statistics.mean(base["kl"])
            apart = [a - by * b for a, b in zip(kl, base["kl"])]
            ratio = f"{by:.2f} ± {statistics.stdev(apart) / len(kl) ** 0.5 / statistics.mean(base['kl']):.2f}"
        error = statistics.stdev(kl) / len(kl) ** 0.5
        self.say(f"| {names[0]} | {names[1]} | {found['bytes'] / 1e6:.1f} | {statistics.mean(kl):.3f} ± {error:.3f} | "
                 f"{100 * statistics.mean(same):.0f} % | {ratio} | {found['seconds']:.0f} |")

    def fails(self, names, error):
        words = " ".join(str(error).replace("|", "/").split())[:200]
        self.say(f"| {names[0]} | {names[1]} | | fails: {words} | | | |")


def make_table(bench, options):
    table = Table(options.markdown)
    table.say(f"\n**{options.model.stem}**, calibrated on {options.calibrated_on} ({bench.calibrating:.0f} s), judged on "
              f"{options.windows} windows of {options.window} tokens\n\n{HEAD}")
    plain_groups = None
    for target in options.targets:
        base = None
        for way in options.ways or TARGETS.get(target, LLAMA_HAS):
            if way == "importance" and not target.startswith("gguf:"):
                continue
            try:
                found = bench.candidate(target, way)
            except subprocess.CalledProcessError as error:
                table.fails((f"`{target}`", way), error)
                continue
            if way == options.ratio_to or (not options.ratio_to and way in ("plain", "importance")):
                base = found
            if (target, way) == (PEERS_ARE_LIKE, "plain"):
                plain_groups = found
            table.row((f"`{target}`", way), found, base)
    for peer in options.peers:
        try:
            table.row((peer, ""), bench.peer(peer), plain_groups)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            table.fails((peer, ""), error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibrated-on", default="guides", metavar="guides|code|self|FILE")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), choices=[*TARGETS, *OTHERS])
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--peers", nargs="+", default=[], choices=PEER_NEEDS)
    parser.add_argument("--peer-minutes", type=float, default=30, help="after which a peer counts as failed")
    parser.add_argument("--ratio-to", choices=WAYS)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.peers and options.calibrated_on == "self":
        parser.error("peers need a text that can be read: calibrate on another than 'self'")
    if options.peers and not (PEERS / "installed").exists():
        parser.error("the peers are not installed (tests/bench/peers/install.sh)")
    with tempfile.TemporaryDirectory(prefix="quantfleet-quality-") as folder:
        make_table(Bench(options, Path(folder)), options)


if __name__ == "__main__":
    main()
