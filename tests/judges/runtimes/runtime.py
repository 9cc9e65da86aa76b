"""A runtime as judge of a folder: how far its logits are from the embedded engine's, and what it generates.

  runtime.py onnx|openvino|mlx|transformers|qnn [FOLDER]   (answers what its input asks: each line is a question, a JSON array of
                                           words; FOLDER has other releases of packages than the virtual environment)
    [FOLDER, "compare", IDS.json, LOGITS]   {"whole": D, "parts": D, "single": D, "own": D}
    [FOLDER, "generate", IDS.json, N]       {"ids": {WAY: [new ids]}, "sampling": {...}}
    [FOLDER, "chat", MESSAGES.json, N]      {"text": what the folder's template makes of the messages, "prompt": its ids,
                                             "ids": [new ids]}
    [FOLDER, "last", IDS.json]              [the logits behind the ids]
    [FOLDER, "warnings"]                    [what ONNX Runtime says, at the level of warnings, when it loads the graphs]
    [FOLDER, "layers"]                      {KIND: how many of them OpenVINO runs}
    ["", "versions"]                        {PACKAGE: VERSION}

For the Python that install.sh makes, and that of ../transformers/install.sh. LOGITS is what bin/logits writes: F32, a row of
the vocabulary's size for each id. The ids go in at once ("whole"), some of them and then the rest ("parts"), and one by one
("single"), the latter two with the runtime's cache; "own" is at once as the runtime runs the folder if nobody asks for
precision, which the other three do if it can be asked for; it is left out if the runtime cannot. D is {"max": the greatest
difference of a logit, "kl": the mean divergence of the runtime's distribution from the engine's in nats, "top": the share of
places where both find the same token the likeliest}. generate adds at most N tokens, greedily; the end is among them if the
runtime gives it. OpenVINO GenAI has two ways, SDPA and PA (PagedAttention, its default; null for a model that cannot have it,
with which it falls back to SDPA); "sampling" is what it took from the folder. Answers are lines {"said": ...} or {"error":
...}.
"""
import collections
import functools
import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy

from answering import serve
from fixed_graphs import FixedGraphs

WAYS = ("whole", "parts", "single")


def divided(ids, way):
    """The text as the way feeds it."""
    if way == "single":
        return [[i] for i in ids]
    middle = len(ids) * 3 // 5
    return [ids[:middle], ids[middle:]] if way == "parts" else [ids]


class Onnx:
    """ONNX Runtime by its GenAI library, which reads genai_config.json. It has no precision but the graph's."""

    packages = ("onnxruntime-genai", "onnxruntime")

    def open(self, folder, exact):
        import onnxruntime_genai
        self.genai, self.model = onnxruntime_genai, onnxruntime_genai.Model(folder)

    def generator(self, length):
        params = self.genai.GeneratorParams(self.model)
        params.set_search_options(do_sample=False, max_length=length)
        return self.genai.Generator(self.model, params)

    def read(self, parts):
        generator, rows = self.generator(sum(map(len, parts)) + 1), []
        for part in parts:
            generator.append_tokens([part])
            rows.append(numpy.array(generator.get_output("logits"), numpy.float32)[0])
        return numpy.concatenate(rows)

    def generate(self, folder, prompt, most):
        self.open(folder, exact=True)
        generator, ids = self.generator(len(prompt) + most), []
        generator.append_tokens([prompt])
        while not generator.is_done():
            generator.generate_next_token()
            ids.append(int(generator.get_next_tokens()[0]))
        return {"ids": {"greedy": ids}}

    def chat(self, folder, messages, most):
        self.open(folder, exact=True)
        tokenizer = self.genai.Tokenizer(self.model)
        text = tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)
        prompt = [int(i) for i in tokenizer.encode(text)]
        return {"text": text, "prompt": prompt, "ids": self.generate(folder, prompt, most)["ids"]["greedy"]}

    def last(self, folder, ids):
        self.open(folder, exact=True)
        return self.read([ids])[-1].tolist()

    def warnings(self, folder):
        import onnxruntime
        with tempfile.TemporaryFile() as said:
            errors = os.dup(2)
            os.dup2(said.fileno(), 2)
            try:
                options = onnxruntime.SessionOptions()
                options.log_severity_level = 2
                for graph in sorted(Path(folder).rglob("*.onnx")):
                    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            finally:
                os.dup2(errors, 2)
                os.close(errors)
            said.seek(0)
            return said.read().decode(errors="replace").splitlines()


class OpenVino:
    """OpenVINO; with its GenAI library for what is generated, whose SDPA runs the model as `read` does."""

    packages = ("openvino-genai", "openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}

    def open(self, folder, exact):
        import openvino
        model = openvino.Core().read_model(f"{folder}/openvino_model.xml")
        self.request = openvino.Core().compile_model(model, "CPU", self.exact if exact else {}).create_infer_request()

    def read(self, parts):
        self.request.reset_state()
        rows, past = [], 0
        for part in parts:
            total = past + len(part)
            given = {"input_ids": [part], "attention_mask": [[1] * total], "position_ids": [list(range(past, total))]}
            arrays = {name: numpy.array(value, numpy.int64) for name, value in given.items()}
            result = self.request.infer({**arrays, "beam_idx": numpy.array([0], numpy.int32)})
            rows.append(numpy.array(result["logits"], numpy.float32)[0])
            past = total
        return numpy.concatenate(rows)

    def layers(self, folder):
        import openvino
        model = openvino.Core().compile_model(f"{folder}/openvino_model.xml", "CPU", self.exact).get_runtime_model()
        return collections.Counter(str(layer.get_rt_info()["layerType"].astype(str)) for layer in model.get_ops())

    def generate(self, folder, prompt, most):
        import openvino
        import openvino_genai as genai
        config = genai.GenerationConfig(f"{folder}/generation_config.json")
        sampling = {name: getattr(config, name) for name in ("do_sample", "temperature", "top_k", "top_p")}
        config.do_sample, config.max_new_tokens = False, most
        ids = openvino.Tensor(numpy.array([prompt], numpy.int64))
        said = {}
        for attention in ("SDPA", "PA"):
            try:
                pipe = genai.LLMPipeline(folder, "CPU", ATTENTION_BACKEND=attention, **self.exact)
            except RuntimeError as error:
                if attention == "SDPA" or "No ScaledDotProductAttention" not in str(error):
                    raise
                said[attention] = None
                continue
            inputs = genai.TokenizedInputs(ids, openvino.Tensor(numpy.ones_like(ids.data)))
            said[attention] = [int(i) for i in pipe.generate(inputs, config).tokens[0]]
        return {"ids": said, "sampling": sampling}


class Mlx:
    """mlx-lm. If precision is asked for, whatever is not codes is F32, and so is all that is computed."""

    packages = ("mlx-lm", "mlx")

    def open(self, folder, exact):
        import mlx.core
        import mlx_lm.models.cache
        import mlx_lm.utils
        self.mx, self.cache = mlx.core, mlx_lm.models.cache
        self.model = mlx_lm.utils.load_model(Path(folder))[0]
        if exact:
            self.model.set_dtype(self.mx.float32)

    def read(self, parts):
        cache, rows = self.cache.make_prompt_cache(self.model), []
        for part in parts:
            logits = self.model(self.mx.array([part]), cache=cache)
            rows.append(numpy.array(logits.astype(self.mx.float32))[0])
        return numpy.concatenate(rows)

    def generate(self, folder, prompt, most):
        import mlx_lm
        model, tokenizer = mlx_lm.load(folder)
        return {"ids": {"greedy": [r.token for r in mlx_lm.stream_generate(model, tokenizer, prompt, max_tokens=most)]}}


class Transformers:
    """Hugging Face's. If precision is asked for, codes are decoded as compressed-tensors does it and all is F32; otherwise
    the folder's own type and, where it says so, activations of 8 bits."""

    packages = ("transformers", "compressed-tensors", "torch")

    def open(self, folder, exact):
        import torch
        import transformers
        self.torch, said = torch, {}
        config = transformers.AutoConfig.from_pretrained(folder)
        # With several schemes it would decode all weights by the first; without being asked it decodes each as it is used.
        if exact and len((getattr(config, "quantization_config", None) or {}).get("config_groups", ())) == 1:
            said["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
        self.model, loaded = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32 if exact else "auto", attn_implementation="eager", output_loading_info=True, **said)
        wrong = {what: names for what, names in loaded.items() if names}
        if wrong:
            raise ValueError(f"{folder} is not what transformers expects: {wrong}")

    def read(self, parts):
        cache, rows = None, []
        with self.torch.no_grad():
            for part in parts:
                said = self.model(self.torch.tensor([part]), past_key_values=cache, use_cache=True)
                cache = said.past_key_values
                rows.append(said.logits[0].float().numpy())
        return numpy.concatenate(rows)

    def generate(self, folder, prompt, most):
        import transformers
        self.open(folder, exact=False)
        said = self.model.generate(self.torch.tensor([prompt]), max_new_tokens=most, do_sample=False)
        text = transformers.AutoTokenizer.from_pretrained(folder).decode(said[0, len(prompt):])
        return {"ids": {"greedy": said[0, len(prompt):].tolist()}, "text": text}


def logarithms(logits):
    logits = logits.astype(numpy.float64)
    logits -= logits.max(1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))


def distance(theirs, ours):
    if theirs.shape != ours.shape:
        raise ValueError(f"the runtime's logits are {theirs.shape}, the engine's {ours.shape}")
    if not numpy.isfinite(theirs).all():
        raise ValueError("the runtime's logits are not all finite")
    p, q = logarithms(ours), logarithms(theirs)
    return {"max": float(numpy.abs(theirs.astype(numpy.float64) - ours).max()),
            "kl": float((numpy.exp(p) * (p - q)).sum(1).mean()), "top": float((ours.argmax(1) == theirs.argmax(1)).mean())}


def compare(runtime, folder, ids, logits):
    ours = numpy.fromfile(logits, "<f4").reshape(len(ids), -1)
    runtime.open(folder, exact=True)
    said = {way: distance(runtime.read(divided(ids, way)), ours) for way in WAYS}
    runtime.open(folder, exact=False)
    try:
        return {**said, "own": distance(runtime.read([ids]), ours)}
    except RuntimeError as error:  # MLX's CPU multiplies by chosen experts in F32 alone
        print(f"{folder}: {error}", file=sys.stderr)
        return said


def answer(runtime, folder, command, ids=None, argument=None):
    if command == "versions":
        return {package: importlib.metadata.version(package) for package in runtime.packages}
    if command in ("layers", "warnings"):
        return getattr(runtime, command)(folder)
    ids = json.loads(Path(ids).read_text())
    if command == "last":
        return runtime.last(folder, ids)
    if command == "chat":
        return runtime.chat(folder, ids, int(argument))
    return runtime.generate(folder, ids, int(argument)) if command == "generate" else compare(runtime, folder, ids, argument)


sys.path[:0] = sys.argv[2:]
RUNTIMES = {"onnx": Onnx, "openvino": OpenVino, "mlx": Mlx, "transformers": Transformers, "qnn": FixedGraphs}
serve(functools.partial(answer, RUNTIMES[sys.argv[1]]()))
