"""What other people's quantizers make of our folders in F16, and how far it is from them: for tests/bench/quality.py.

  peers.py nncf|mlx-gptq|mlx-dynamic|mlx-dwq FOLDER CALIBRATION.json JUDGED.json BYTES

FOLDER is openvino:fp16 or mlx:fp16 of the model; the JSON files hold windows of ids. NNCF rounds to groups of 64 with zero points
by AWQ and scale estimation, mlx-lm to groups of 64 with biases; both leave eight bits to a tied embedding, as our recipes
do. mlx-lm's dynamic_quant chooses between four and five bits by what gradients say, so that BYTES are taken in all; its DWQ
trains scales and biases of the four bits, one epoch over the calibration. Prints {"kl": [of each window, nats per token],
"top1": [...], "bytes": of the weights, "seconds": the processor's, of quantizing}. All are run by their own runtime in F32. For
the Python of tests/judges/runtimes, with NNCF on PYTHONPATH (install.sh)."""
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy


class OpenVino:
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}

    def read_model(self, folder):
        import openvino
        return openvino.Core().read_model(f"{folder}/openvino_model.xml")

    def inputs(self, ids):
        arrays = {"input_ids": [ids], "attention_mask": [[1] * len(ids)], "position_ids": [list(range(len(ids)))]}
        return {**{name: numpy.array(value, numpy.int64) for name, value in arrays.items()},
                "beam_idx": numpy.array([0], numpy.int32)}

    def logits(self, model):
        import openvino
        request = openvino.Core().compile_model(model, "CPU", self.exact).create_infer_request()

        def read(ids):
            request.reset_state()
            return numpy.array(request.infer(self.inputs(ids))["logits"], numpy.float32)[0]
        return read

    def nncf(self, folder, calibration):
        import nncf
        return nncf.compress_weights(self.read_model(folder), mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=64, ratio=1.0,
                                     awq=True, scale_estimation=True, subset_size=len(calibration),
                                     dataset=nncf.Dataset([self.inputs(ids) for ids in calibration]))

    def size(self, model):
        import openvino
        with tempfile.TemporaryDirectory() as folder:
            openvino.save_model(model, f"{folder}/model.xml")
            return Path(folder, "model.bin").stat().st_size


class Mlx:
    four, eight = {"bits": 4, "group_size": 64}, {"bits": 8, "group_size": 64}

    def read_model(self, folder):
        import mlx.core as mx
        import mlx_lm.utils
        model = mlx_lm.utils.load_model(Path(folder))[0]
        model.set_dtype(mx.float32)
        return model

    def logits(self, model):
        import mlx.core as mx
        import mlx_lm.utils
        model = mlx_lm.utils.dequantize_model(model)
        return lambda ids: numpy.array(model(mx.array([ids])))[0]

    def gptq(self, folder, calibration):
        import mlx.core as mx
        from mlx_lm.quant import gptq
        return gptq.gptq_quantize(self.read_model(folder), mx.array(calibration), 4, 64, 8, 64, batch_size=1)[0]

    def groups(self, model, bits=lambda path: Mlx.four):
        """The model in groups; eight bits for the embedding, and for a head that is apart."""
        import mlx.nn as nn
        last = ("embed_tokens", "lm_head")
        nn.quantize(model, class_predicate=lambda path, module: hasattr(module, "to_quantized") and (
            self.eight if path.endswith(last) else bits(path)))
        return model

    def dynamic(self, folder, calibration):
        import mlx.core as mx
        from mlx_lm.quant.dynamic_quant import estimate_sensitivities
        harms = dict(estimate_sensitivities(self.read_model(folder), mx.array(calibration), 4, 64, 5, 64, batch_size=1))

        def made(threshold):
            return self.groups(self.read_model(folder),
                               lambda path: {**self.four, "bits": 5} if harms[path] > threshold else self.four)
        # As its own search does, the lowest threshold within the bytes.
        fits, least = max(harms.values()), min(harms.values())
        for _ in range(12):
            middle = (fits + least) / 2
            if self.size(made(middle)) > self.bytes:
                least = middle
            else:
                fits = middle
        return made(fits)

    def dwq(self, folder, calibration):
        import mlx.core as mx
        import mlx.optimizers
        from mlx_lm.quant.dwq import dwq_quantize
        teacher, student = self.read_model(folder), self.groups(self.read_model(folder))
        data = [(ids, 0) for ids in calibration]
        dwq_quantize(student, lambda batch, at, split: teacher(batch), mlx.optimizers.Adam(1e-6, bias_correction=True),
                     data, data[:1], batch_size=1, max_seq_length=len(calibration[0]) + 1, seed=1, dtype=mx.float32)
        return student

    def size(self, model):
        """With scales and biases in F16, as files have them."""
        import mlx.core as mx
        from mlx.utils import tree_flatten
        return sum(value.nbytes if value.dtype == mx.uint32 else 2 * value.size for _, value in tree_flatten(model.parameters()))


def logarithms(logits):
    logits = logits.astype(numpy.float64)
    logits -= logits.max(1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))


def divergence(reference, candidate, windows):
    kl, same = [], []
    for ids in windows:
        p, q = (logarithms(read(ids)[:-1]) for read in (reference, candidate))
        kl.append(float((numpy.exp(p) * (p - q)).sum(1).mean()))
        same.append(float((p.argmax(1) == q.argmax(1)).mean()))
    return {"kl": kl, "top1": same}


def main(peer, folder, given, judged, most):
    runtime = Mlx() if peer.startswith("mlx") else OpenVino()
    runtime.bytes = int(most)
    started = time.process_time()
    made = getattr(runtime, peer.removeprefix("mlx-"))(folder, json.loads(Path(given).read_text()))
    seconds = time.process_time() - started
    size = runtime.size(made)
    found = divergence(runtime.logits(runtime.read_model(folder)), runtime.logits(made), json.loads(Path(judged).read_text()))
    print(json.dumps({**found, "bytes": size, "seconds": seconds}))


main(*sys.argv[1:])
