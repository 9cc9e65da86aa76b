"""Whole quantizing processes, ours and llama.cpp's, as pipeline_bench.sh says."""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
LLAMA = ROOT / "tests/judges/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
FTYPES = {"f16": 1, "q8_0": 7, "q4_0": 2, "q4_k_m": 15, "q6_k": 18}  # enum llama_ftype
# One set of codes in four formats.
FORMATS = ("gguf:q4_0", "onnx:int4", "openvino:int4", "mlx:int4")
SHARED = ("--output-type", "q8_0", "--embedding-type", "q8_0")


def measure(*command):
    """Runs a command; what the kernel accounted to it."""
    started = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    peak = 0  # ru_maxrss would count what this process held when it started the other
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.M)
        peak = int(found[1]) if found else peak  # none once it has ended
        time.sleep(0.005)
    wall = time.monotonic() - started
    io = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"pipeline_bench: {' '.join(map(str, command))} failed")
    return {"wall_s": wall, "user_s": usage.ru_utime, "system_s": usage.ru_stime,
            "cpu_s": usage.ru_utime + usage.ru_stime, "peak_rss_mib": peak / 1024,
            "read_mib": int(io["rchar"]) / 2**20, "written_mib": int(io["wchar"]) / 2**20}


def medians(runs):
    return {key: round(statistics.median(r[key] for r in runs), 3) for key in runs[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--megabytes", type=int, default=2200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantfleet-bench-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        folder = Path(folder)
        model = options.model
        if not model:
            model = folder / "model"
            subprocess.run([sys.executable, ROOT / "tests/tools/make_model.py", model, "--megabytes",
                            str(options.megabytes)], check=True, stdout=subprocess.DEVNULL)
        # ONNX Runtime GenAI, OpenVINO and MLX run no model without its tokenizer, so none is made.
        formats = FORMATS if any((model / f"tokenizer.{kind}").exists() for kind in ("json", "model")) else ()
        if not formats:
            print("the model has no tokenizer: GGUF alone is measured", file=sys.stderr)
        with_llama = LLAMA.exists()
        gguf = options.gguf
        if with_llama and not gguf:
            subprocess.run([BIN / "quantfleet", "quantize", model, "--target", "gguf:f16", "--out", folder / "f16"],
                           check=True, stdout=subprocess.DEVNULL)
            gguf = folder / "f16/gguf-f16/model.gguf"

        def ours(*targets, more=()):
            out = folder / "ours"
            run = measure(BIN / "quantfleet", "quantize", model, "--memory", options.memory, "--out", out, *more,
                          *[x for t in targets for x in ("--target", t)])
            shutil.rmtree(out)
            return run

        def llama(recipe):
            out = folder / "llama.gguf"
            run = measure(BIN / "llama_quantize", LLAMA, gguf, out, FTYPES[recipe])
            out.unlink()
            return run

        runs = {}
        for n in range(options.repeats):
            for recipe in FTYPES:
                print(f"run {n + 1} of {options.repeats}: {recipe}", file=sys.stderr)
                runs.setdefault(("quantfleet", recipe), []).append(ours(f"gguf:{recipe}"))
                if with_llama:
                    runs.setdefault(("llama-quantize", recipe), []).append(llama(recipe))
            runs.setdefault(("quantfleet", "all in one pass"), []).append(ours(*[f"gguf:{r}" for r in FTYPES]))
            for target in formats:
                print(f"run {n + 1} of {options.repeats}: {target}", file=sys.stderr)
                runs.setdefault(("quantfleet", target), []).append(ours(target, more=SHARED))
            if formats:
                runs.setdefault(("quantfleet", "four formats"), []).append(ours(*formats, more=SHARED))
        result = {}
        for (who, what), each in runs.items():
            result.setdefault(what, {})[who] = medians(each)
        if with_llama:
            peer = {k: sum(result[r]["llama-quantize"][k] for r in FTYPES) for k in ("cpu_s", "wall_s")}
            result["all in one pass"]["llama-quantize, five runs"] = {k: round(v, 3) for k, v in peer.items()}
        if formats:
            alone = {k: sum(result[t]["quantfleet"][k] for t in formats)
                     for k in ("cpu_s", "wall_s", "read_mib", "written_mib")}
            result["four formats"]["quantfleet, one by one"] = {k: round(v, 3) for k, v in alone.items()}
        report(result, model)


def report(result, model):
    print(json.dumps({"model": str(model), "cores": os.cpu_count(), "medians": result}, indent=2))
    print(f"{'target':16} {'program':26} {'CPU s':>8} {'wall s':>8} {'RSS MiB':>8} {'read':>8} {'written':>8} {'ratio':>6}",
          file=sys.stderr)
    for what, programs in result.items():
        peer = next((p for name, p in programs.items() if name != "quantfleet"), None)
        for who, run in programs.items():
            ratio = f"{run['cpu_s'] / peer['cpu_s']:.2f}" if peer and who == "quantfleet" else ""
            cells = [f"{run[k]:8.1f}" if k in run else " " * 8
                     for k in ("cpu_s", "wall_s", "peak_rss_mib", "read_mib", "written_mib")]
            print(f"{what:16} {who:26} {' '.join(cells)} {ratio:>6}", file=sys.stderr)


if __name__ == "__main__":
    main()
