"""ONNX Runtime GenAI, OpenVINO GenAI or mlx-lm as judge of a folder: which tokens it generates, greedily, before it ends.

  generate.py onnx|openvino|mlx FOLDER IDS.json MAX_TOKENS

For a Python that has the runtime's package (onnxruntime-genai; openvino-genai, and openvino-tokenizers[transformers],
whose convert_tokenizer has to lie beside it and adds its files to the folder; mlx-lm and mlx[cpu]). IDS.json holds the
prompt's ids. Prints {"ids": [...], "sampling": {...}}: the new tokens, the end among them where the runtime gives it, and
what the runtime took from the folder for sampling (of OpenVINO).
"""
import json
import sys


def onnx(folder, prompt, most):
    import onnxruntime_genai as genai
    model = genai.Model(folder)
    params = genai.GeneratorParams(model)
    params.set_search_options(do_sample=False, max_length=len(prompt) + most)
    generator = genai.Generator(model, params)
    generator.append_tokens([prompt])
    ids = []
    while not generator.is_done():
        generator.generate_next_token()
        ids.append(int(generator.get_next_tokens()[0]))
    return ids, {}


def openvino(folder, prompt, most):
    import subprocess
    from pathlib import Path

    import numpy
    import openvino
    import openvino_genai as genai
    config = genai.GenerationConfig(f"{folder}/generation_config.json")
    sampling = {name: getattr(config, name) for name in ("do_sample", "temperature", "top_k", "top_p")}
    config.do_sample, config.max_new_tokens = False, most
    ids = openvino.Tensor(numpy.array([prompt], numpy.int64))
    tool = Path(sys.executable).parent / "convert_tokenizer"
    subprocess.run([tool, folder, "--with-detokenizer", "-o", folder], check=True, stdout=subprocess.DEVNULL)
    pipe = genai.LLMPipeline(folder, "CPU", INFERENCE_PRECISION_HINT="f32")
    inputs = genai.TokenizedInputs(ids, openvino.Tensor(numpy.ones_like(ids.data)))
    return list(pipe.generate(inputs, config).tokens[0]), sampling


def mlx(folder, prompt, most):
    from mlx_lm import load, stream_generate
    model, tokenizer = load(folder)
    return [r.token for r in stream_generate(model, tokenizer, prompt, max_tokens=most)], {}


def main():
    runtime, folder, ids, most = sys.argv[1:]
    with open(ids) as file:
        prompt = json.load(file)
    ids, sampling = {"onnx": onnx, "openvino": openvino, "mlx": mlx}[runtime](folder, prompt, int(most))
    print(json.dumps({"ids": ids, "sampling": sampling}))


main()
