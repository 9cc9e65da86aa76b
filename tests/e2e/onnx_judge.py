"""ONNX Runtime as judge of ONNX folders, for the tests that ask it."""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from harness import run_json
from judge import onnx_runtime


class OnnxTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-onnx-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def quantize(self, source, out, onnx, gguf, head, *options):
        said = run_json("quantfleet", "quantize", source, "--target", f"onnx:{onnx}", "--target", f"gguf:{gguf}",
                        "--output-type", head, *options, "--out", out, "--json")
        return said, out / f"onnx-{onnx}", out / f"gguf-{gguf}/model.gguf"

    def tokens(self, ids):
        """The ids as the judge wants them, and as our engine does."""
        theirs, ours = self.dir / "ids.json", self.dir / "ids.txt"
        theirs.write_text(json.dumps(ids))
        ours.write_text(",".join(map(str, ids)))
        return theirs, ours

    def likelihoods(self, folder, gguf, ids, context):
        """(ours, ONNX Runtime's at once, ONNX Runtime's token by token)."""
        theirs, ours = self.tokens(ids)
        engine = run_json("quantfleet-agent", "eval", "--float-activations", "--kv-type", "f32", gguf, "--tokens-file", ours,
                          "--context", context, "--json")
        at_once = onnx_runtime(folder, "nll", "--tokens-file", theirs)
        stepwise = onnx_runtime(folder, "nll", "--tokens-file", theirs, "--prefill", 20)
        self.assertEqual((engine["tokens"], at_once["tokens"]), (len(ids), len(ids)))
        return engine["mean_nll"], at_once["mean_nll"], stepwise["mean_nll"]

    def check(self, name, folder, gguf, ids, limit, context=512):
        ours, at_once, stepwise = self.likelihoods(folder, gguf, ids, context)
        print(f"mean NLL {name}: ours {ours:.6f}, ONNX Runtime {at_once:.6f}, step by step {stepwise:.6f}",
              file=sys.stderr)
        self.assertLess(abs(at_once / ours - 1), limit)
        self.assertLess(abs(stepwise / ours - 1), limit)
