"""What other people's quantizers make of our folders in F16, and how far it is from them: for tests/bench/quality.py.

  peers.py nncf|mlx-gptq FOLDER CALIBRATION.json JUDGED.json
  peers.py openvino FOLDER OTHER JUDGED.json

FOLDER is openvino:fp16 or mlx:fp16 of the model; the JSON files hold windows of ids. NNCF rounds to groups of 64 with zero points
by AWQ and scale estimation, mlx-lm to groups of 64 with biases; both leave eight bits to a tied embedding, as our recipes
do. `openvino` compares two folders that are there. Prints {"kl": [of each window, nats per token], "top1": [...],
"bytes": of the weights, "seconds": of quantizing}. All are run by their own runtime in F32. For the Python of
tests/judges/runtimes, with NNCF on PYTHONPATH (install.sh)."""
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


def main(peer, folder, given, judged):
    runtime = Mlx() if peer.startswith("mlx") else OpenVino()
    started = time.monotonic()
    if peer == "openvino":
        made = runtime.read_model(given)
    else:
        made = getattr(runtime, peer.removeprefix("mlx-"))(folder, json.loads(Path(given).read_text()))
    seconds = time.monotonic() - started
    size = runtime.size(made)
    found = divergence(runtime.logits(runtime.read_model(folder)), runtime.logits(made), json.loads(Path(judged).read_text()))
    print(json.dumps({**found, "bytes": size, "seconds": seconds}))


main(*sys.argv[1:])
