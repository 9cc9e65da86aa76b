"""A runtime as judge of an embedding model's folder: the vectors that it makes of texts.

  embeddings.py onnx|openvino|mlx     (answers what its input asks: each line is a question, a JSON array of words)
    [FOLDER, "embed", TEXTS.json]     {"ids": [[id]], WAY: {OUTPUT: [vector of each text]}}
    [FOLDER, "shapes", ""]            {"inputs": {NAME: [dimension]}, "outputs": the same}; not MLX
    [FOLDER, "pipeline", TEXTS.json]  {"right": [vector of each text]}: of OpenVINO GenAI's TextEmbeddingPipeline

For the Python that install.sh makes. Texts are cut by tokenizers from the folder's tokenizer.json. WAY is how they go in: each
text "alone", or all of them in one batch that is padded on the "right" or the "left". OUTPUT is "sentence_embedding", as the
model gives it (MLX: text_embeds), and "pooled", what sentence-transformers makes of last_hidden_state by 1_Pooling/config.json
and modules.json. Answers are lines {"said": ...} or {"error": ...}.
"""
import functools
import json
import sys
import types
from pathlib import Path

import numpy
import tokenizers

from answering import serve

STATES, VECTORS = "last_hidden_state", "sentence_embedding"


class Onnx:
    def open(self, folder):
        import onnxruntime
        (model,) = Path(folder).rglob("*.onnx")
        self.session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def shapes(self):
        return {"inputs": {value.name: value.shape for value in self.session.get_inputs()},
                "outputs": {value.name: value.shape for value in self.session.get_outputs()}}

    def run(self, inputs):
        wanted = [value.name for value in self.session.get_inputs()]
        return dict(zip(self.shapes()["outputs"], self.session.run(None, {name: inputs[name] for name in wanted})))


class OpenVino:
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}

    def open(self, folder):
        import openvino
        self.model = openvino.Core().compile_model(f"{folder}/openvino_model.xml", "CPU", self.exact)

    def shapes(self):
        def told(ports):
            return {port.any_name: [str(dim) for dim in port.partial_shape] for port in ports}
        return {"inputs": told(self.model.inputs), "outputs": told(self.model.outputs)}

    def run(self, inputs):
        result = self.model({port.any_name: inputs[port.any_name] for port in self.model.inputs})
        return {STATES: result[STATES]}

    def pipeline(self, folder, texts):
        import openvino_genai
        pooling = openvino_genai.TextEmbeddingPipeline.PoolingType
        kind = {"pooling_mode_cls_token": pooling.CLS, "pooling_mode_mean_tokens": pooling.MEAN,
                "pooling_mode_lasttoken": pooling.LAST_TOKEN}[mode_of(folder)]
        pipe = openvino_genai.TextEmbeddingPipeline(folder, "CPU", pooling_type=kind, normalize=True, **self.exact)
        return {"right": pipe.embed_documents(texts)}


class Mlx:
    def open(self, folder):
        import mlx.core
        # The package takes one function from a far larger one, for models that see images: no text's model calls it.
        larger = types.ModuleType("mlx_vlm.utils")
        larger.sanitize_weights = None
        sys.modules |= {"mlx_vlm": types.ModuleType("mlx_vlm"), "mlx_vlm.utils": larger}
        from mlx_embeddings.utils import load_model
        self.mx, self.model = mlx.core, load_model(Path(folder), path_to_repo=folder)
        self.model.set_dtype(mlx.core.float32)

    def run(self, inputs):
        ids, mask = (self.mx.array(inputs[name]) for name in ("input_ids", "attention_mask"))
        said = self.model(ids, attention_mask=mask)
        return {VECTORS: numpy.array(said.text_embeds), STATES: numpy.array(said.last_hidden_state)}


def unit(vectors):
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def mode_of(folder):
    config = json.loads(Path(folder, "1_Pooling/config.json").read_text())
    (mode,) = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    return mode


def pooled(folder, states, mask):
    """As sentence-transformers' stages have it: none of them knows on which side the padding is, but for the last token's."""
    stages = [stage["type"].rpartition(".")[2] for stage in json.loads(Path(folder, "modules.json").read_text())]
    if stages != ["Transformer", "Pooling", "Normalize"]:
        raise ValueError(f"stages are {stages}")
    config = json.loads(Path(folder, "1_Pooling/config.json").read_text())
    if config["word_embedding_dimension"] != states.shape[2]:
        raise ValueError(f"states are {states.shape}")
    mode = mode_of(folder)
    places = mask * numpy.arange(mask.shape[1])
    one = {"pooling_mode_cls_token": mask.argmax(1), "pooling_mode_lasttoken": places.argmax(1)}
    if mode in one:
        return unit(states[numpy.arange(len(states)), one[mode]])
    return unit((states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True))


def embed(runtime, folder, texts):
    runtime.open(folder)
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = [tokenizer.encode(text).ids for text in texts]

    def answered(rows, side):
        width = max(map(len, rows))
        left = [(width - len(row)) * (side == "left") for row in rows]
        shape = (len(rows), width)
        inputs = {name: numpy.zeros(shape, numpy.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        for at, (begin, row) in enumerate(zip(left, rows)):
            inputs["input_ids"][at, begin:begin + len(row)] = row
            inputs["attention_mask"][at, begin:begin + len(row)] = 1
        outputs = {name: numpy.asarray(value, numpy.float64) for name, value in runtime.run(inputs).items()}
        outputs["pooled"] = pooled(folder, outputs.pop(STATES), inputs["attention_mask"])
        return outputs
    alone = [answered([row], "right") for row in ids]
    said = {"alone": {name: numpy.concatenate([one[name] for one in alone]) for name in alone[0]}}
    said |= {side: answered(ids, side) for side in ("right", "left")}
    return {"ids": ids, **{way: {name: value.tolist() for name, value in outputs.items()} for way, outputs in said.items()}}


def answer(runtime, folder, command, texts):
    if command == "shapes":
        runtime.open(folder)
        return runtime.shapes()
    texts = json.loads(Path(texts).read_text())
    return runtime.pipeline(folder, texts) if command == "pipeline" else embed(runtime, folder, texts)


RUNTIMES = {"onnx": Onnx, "openvino": OpenVino, "mlx": Mlx}
serve(functools.partial(answer, RUNTIMES[sys.argv[1]]()))
