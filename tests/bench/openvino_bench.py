"""Our OpenVINO folders beside what NNCF, which optimum-intel calls, makes of the same model: bytes, KL, processor time.

  openvino_bench.py FP16 IDS.json OURS=MODE[:GROUP]... [--prompt-tokens N] [--tokens N] [--rounds N] [--windows N] [--window N]

FP16 is the model as openvino:fp16, which NNCF quantizes; OURS are folders that quantfleet made of the model, each with the mode
and group size of NNCF that stand for it (int4_asym:64; a group that does not divide a row becomes smaller, as in ours). IDS.json
holds a text. KL is from FP16 to the folder, in nats per token, calculated in F32. Times are what a token takes of one thread's
processor time as OpenVINO runs the folder by default, the least of all rounds, in which folders take turns: that of a busy
machine hardly differs. The ratio is NNCF's time to ours, so that above 1 ours is faster. For the Python of
tests/judges/runtimes, with NNCF on PYTHONPATH (tests/bench/peers/install.sh).
"""
import argparse
import json
import tempfile
import time
from pathlib import Path

import nncf
import numpy
import openvino

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
ADJUST = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)


def by_nncf(folder, spec, into):
    """As optimum-intel has it where it has no data: all of the body, embedding and head in 8 bits per row."""
    mode, _, group = spec.partition(":")
    model = openvino.Core().read_model(f"{folder}/openvino_model.xml")
    more = {"group_size": int(group), "ratio": 1.0, "advanced_parameters": ADJUST} if group else {}
    Path(into).mkdir()
    openvino.save_model(nncf.compress_weights(model, mode=nncf.CompressWeightsMode(mode), **more), f"{into}/openvino_model.xml")
    return into


class Folder:
    def __init__(self, folder, **options):
        self.bytes = Path(folder, "openvino_model.bin").stat().st_size
        self.request = openvino.Core().compile_model(f"{folder}/openvino_model.xml", "CPU", options).create_infer_request()
        self.past = 0

    def start(self):
        self.request.reset_state()
        self.past = 0

    def read(self, ids):
        total = self.past + len(ids)
        given = {"input_ids": [ids], "attention_mask": [[1] * total], "position_ids": [list(range(self.past, total))]}
        self.past = total
        arrays = {name: numpy.array(value, numpy.int64) for name, value in given.items()}
        return self.request.infer({**arrays, "beam_idx": numpy.array([0], numpy.int32)})["logits"]


def logarithms(folder, ids):
    folder.start()
    logits = numpy.array(folder.read(ids), numpy.float64)[0, :-1]
    logits -= logits.max(1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))


def divergence(reference, folder, windows):
    other = Folder(folder, **EXACT)
    return numpy.mean([(numpy.exp(p) * (p - logarithms(other, ids))).sum(1).mean() for p, ids in zip(reference, windows)])


def seconds(folder, ids, prompt, tokens):
    """Of a token of the prompt, and of one behind it."""
    folder.start()
    begun = time.process_time()
    folder.read(ids[:prompt])
    prompted = time.process_time()
    for i in ids[prompt:prompt + tokens]:
        folder.read([i])
    return (prompted - begun) / prompt, (time.process_time() - prompted) / tokens


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fp16")
    parser.add_argument("ids")
    parser.add_argument("pairs", nargs="+")
    for name, value in (("--prompt-tokens", 64), ("--tokens", 24), ("--rounds", 5), ("--windows", 6), ("--window", 256)):
        parser.add_argument(name, type=int, default=value)
    options = parser.parse_args()
    ids, at = json.loads(Path(options.ids).read_text()), options.window
    windows = [ids[i * at:(i + 1) * at] for i in range(options.windows)]
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for number, pair in enumerate(options.pairs):
            ours, _, spec = pair.partition("=")
            folders += [(Path(ours).name, ours), (f"NNCF {spec}", by_nncf(options.fp16, spec, f"{scratch}/{number}"))]
        whole = Folder(options.fp16, **EXACT)
        reference = [logarithms(whole, window) for window in windows]
        opened = [Folder(folder, INFERENCE_NUM_THREADS="1") for _, folder in folders]
        times = [[] for _ in folders]
        for _ in range(options.rounds):
            for folder, found in zip(opened, times):
                found.append(seconds(folder, ids, options.prompt_tokens, options.tokens))
        best = [[1000 * min(column) for column in zip(*found)] for found in times]
        print("| folder | MB | KL | prompt, ms per token | generation, ms per token |\n|---|---|---|---|---|")
        for at, ((name, folder), (prompt, token)) in enumerate(zip(folders, best)):
            theirs = best[at + 1] if at % 2 == 0 else None
            ratio = [f" ({other / own:.2f})" if theirs else "" for own, other in zip((prompt, token), theirs or (1, 1))]
            print(f"| {name} | {opened[at].bytes / 1e6:.1f} | {divergence(reference, folder, windows):.4f} | "
                  f"{prompt:.2f}{ratio[0]} | {token:.2f}{ratio[1]} |")


main()
