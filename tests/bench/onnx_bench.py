"""How fast ONNX Runtime GenAI generates with folders of ours, taking turns; for a Python that has onnxruntime-genai.

  onnx_bench.py [--prompt-tokens N] [--tokens N] [--rounds N] [--threads N] FOLDER...

The medians of all rounds: tokens/s of the prompt and of what is generated behind it. A folder's weights may be random.
"""
import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import onnxruntime_genai as genai


def with_threads(folder, threads):
    """The folder again, as links, with a number of threads in its genai_config.json."""
    copy = Path(tempfile.mkdtemp(prefix="quantfleet-onnx-bench-"))
    for file in Path(folder).iterdir():
        (copy / file.name).symlink_to(file.resolve())
    config = json.loads((copy / "genai_config.json").read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    (copy / "genai_config.json").unlink()
    (copy / "genai_config.json").write_text(json.dumps(config))
    return copy


def once(model, prompt, tokens):
    params = genai.GeneratorParams(model)
    # As many as asked for, whatever ends a generation.
    params.set_search_options(do_sample=False, max_length=prompt + tokens, min_length=prompt + tokens)
    generator = genai.Generator(model, params)
    begun = time.perf_counter()
    generator.append_tokens([[3 + i * 37 % 300 for i in range(prompt)]])
    generator.generate_next_token()
    prompted = time.perf_counter()
    for _ in range(tokens - 1):
        generator.generate_next_token()
    return prompt / (prompted - begun), (tokens - 1) / (time.perf_counter() - prompted)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+")
    for name, value in (("--prompt-tokens", 64), ("--tokens", 32), ("--rounds", 3), ("--threads", 2)):
        parser.add_argument(name, type=int, default=value)
    options = parser.parse_args()
    copies = [with_threads(folder, options.threads) for folder in options.folders]
    models = [genai.Model(str(copy)) for copy in copies]
    rates = [[] for _ in models]
    for turn in range(options.rounds + 1):
        for model, found in zip(models, rates):
            rate = once(model, options.prompt_tokens, options.tokens)
            if turn:  # the first warms up
                found.append(rate)
    for folder, found in zip(options.folders, rates):
        prompt, generated = (statistics.median(column) for column in zip(*found))
        print(f"{Path(folder).name}: prompt {prompt:.1f} tokens/s, generation {generated:.1f} tokens/s")
    for copy in copies:
        shutil.rmtree(copy)


main()
