"""Rounding by search and by feedback, through the program: one set of codes for all formats, the same bytes whatever
the threads, and calibrations of other models refused."""
import json
import random
import unittest

from gguf_files import read_gguf, write_importance, write_second_moments
from harness import EndToEnd, run, run_json

# One set of codes, beside super-blocks and groups.
TARGETS = ("gguf:q4_0", "onnx:int4", "openvino:int4", "mlx:int4", "gguf:q4_k_m", "onnx:int4-g64-asym",
           "mlx:int4-g64-asym", "safetensors:w4a16")


class RoundingTest(EndToEnd):
    def setUp(self):
        super().setUp()
        self.source = self.model("model", hidden=256)
        made = self.quantize("--target", "gguf:f32", "--out", self.dir / "plain")
        self.source_digest = made["source_digest"]
        self.f32 = self.dir / "plain/gguf-f32/model.gguf"
        self.calibration = self.calibrate("calibration")

    def model(self, name, **options):
        run("tiny_model", self.dir / name, "llama", "intermediate=512", "layers=2",
            *[f"{k}={v}" for k, v in options.items()])
        return self.dir / name

    def calibrate(self, name, digest=None):
        """Neighbouring columns of each input go together, some more than others."""
        folder = self.dir / name
        folder.mkdir()
        rng = random.Random(7)
        importance, moments, shared = {}, {}, []
        for tensor, (_, dims, _) in read_gguf(self.f32)[1].items():
            if len(dims) < 2 or not tensor.startswith("blk."):
                continue
            cols = dims[0]
            sums = [rng.uniform(1, 9) for _ in range(cols)]
            importance[tensor] = (sums, [2.0])
            if tensor.endswith(("attn_k.weight", "attn_v.weight")):
                shared.append(f"{tensor}={tensor.replace('_k.', '_q.').replace('_v.', '_q.')}")
            elif not tensor.endswith("attn_output.weight"):  # a calibration need not name all
                moments[tensor] = [sums[i] if i == j else 0.4 if i == j + 1 else 0.0
                                   for i in range(cols) for j in range(i + 1)]
        write_importance(folder / "importance.gguf", importance)
        write_second_moments(folder / "second_moments.gguf", moments, shared)
        (folder / "calibration.json").write_text(
            json.dumps({"complete": True, "source_digest": digest or self.source_digest}))
        return folder

    def quantize(self, *arguments, source=None):
        return run_json("quantfleet", "quantize", source or self.source, *arguments, "--json")

    def digests(self, *arguments, out):
        words = [word for target in TARGETS for word in ("--target", target)]
        made = self.quantize(*words, *arguments, "--out", self.dir / out)
        return {t["name"]: t["manifest_digest"] for t in made["targets"]}, made

    def refused(self, code, names, *arguments, target="gguf:q4_0"):
        failed = run("quantfleet", "quantize", *arguments, "--target", target, "--out", self.dir / "none",
                     check=False)
        self.assertEqual(failed.returncode, code, failed.stderr)
        for name in names:
            self.assertIn(name, failed.stderr)
        self.assertFalse((self.dir / "none/gguf-q4_0").exists())

    def test_every_format_and_every_number_of_threads(self):
        calibrated = ("--calibration", self.calibration)
        seen = {}
        for how in ("nearest", "search", "feedback"):
            one, made = self.digests(*calibrated, "--rounding", how, "--threads", "1", out=f"{how}-1")
            two, _ = self.digests(*calibrated, "--rounding", how, "--threads", "2", out=f"{how}-2")
            self.assertEqual(one, two)
            seen[how] = one
            self.assertEqual(any("attn_output" in note or "o_proj" in note for note in made["notes"]),
                             how == "feedback", made["notes"])
        for name, digest in seen["nearest"].items():
            self.assertNotEqual(seen["feedback"][name], digest, name)
            self.assertNotEqual(seen["feedback"][name], seen["search"][name], name)
        # Nearest is the importance alone.
        imatrix, _ = self.digests("--imatrix", self.calibration / "importance.gguf", out="imatrix")
        self.assertEqual(imatrix, seen["nearest"])
        # The four share their codes.
        four = [word for target in TARGETS[:4] for word in ("--target", target)]
        encoded = [self.quantize(*words, "--output-type", "q8_0", "--embedding-type", "q8_0", *calibrated,
                                 "--rounding", "feedback", "--out", self.dir / f"shared-{i}")
                   for i, words in enumerate((four, four[:2]))]
        more = encoded[0]["values_encoded"] - encoded[1]["values_encoded"]
        self.assertLess(more, 10_000, "only norms")
        shown = run_json("quantfleet", "inspect", self.dir / "feedback-1/gguf-q4_0", "--json")
        self.assertIn("rounding=feedback", json.dumps(shown))
        self.assertIn("second-moments=", json.dumps(shown))

    def test_folds_are_the_same_on_every_number_of_threads(self):
        # A few columns of every input count more than all others.
        importance = self.dir / "calibration/importance.gguf"
        sums = {name: ([900.0 if i % 32 == 5 else 1.0 for i in range(dims[0])], [2.0])
                for name, (_, dims, _) in read_gguf(self.f32)[1].items() if len(dims) > 1 and name.startswith("blk.")}
        write_importance(importance, sums)
        calibrated = ("--calibration", self.calibration, "--rounding", "search", "--fold", "auto")
        one, made = self.digests(*calibrated, "--threads", "1", out="folded-1")
        two, _ = self.digests(*calibrated, "--threads", "2", out="folded-2")
        self.assertEqual(one, two)
        self.assertEqual(made["source_digest"], self.source_digest)
        self.assertEqual(made["fold"]["sites"], 8)
        self.assertGreater(made["fold"]["folded"], 0)
        shown = run_json("quantfleet", "inspect", self.dir / "folded-1/gguf-q4_0", "--json")
        self.assertIn("fold=" + made["fold"]["digest"], json.dumps(shown))
        # A float keeps what the folded model is.
        folded = self.quantize("--target", "gguf:f32", "--imatrix", importance, "--fold", "auto", "--out", self.dir / "f32")
        self.assertNotEqual((self.dir / "f32/gguf-f32/model.gguf").read_bytes(), self.f32.read_bytes())
        self.assertEqual(folded["source_digest"], self.source_digest)
        self.refused(1, ["as-is"], self.f32, "--imatrix", importance, "--fold", "auto", target="gguf:as-is")

    def test_what_does_not_fit_is_refused(self):
        other = self.calibrate("other", digest="ab" * 32)
        self.refused(1, ["another model"], self.source, "--calibration", other)
        narrow = self.model("narrow", hidden=128)
        self.refused(1, ["importance.gguf", "another model"], narrow, "--calibration", self.calibration)
        (self.calibration / "second_moments.gguf").unlink()
        self.refused(1, ["--second-moments"], self.source, "--calibration", self.calibration, "--rounding", "feedback")
        self.refused(2, ["--calibration"], self.source, "--rounding", "feedback")
        self.refused(2, ["--calibration"], self.source, "--rounding", "search")
        self.refused(2, ["--calibration"], self.source, "--fold", "auto")
        self.refused(2, ["gptq"], self.source, "--rounding", "gptq", "--calibration", self.calibration)


if __name__ == "__main__":
    unittest.main()
