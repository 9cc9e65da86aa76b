"""`compare`: two models side by side, as a job's evaluation finds them, whatever their format."""
import shutil
import tempfile
import unittest
from pathlib import Path

from harness import DEMO, HELD_OUT, EndToEnd, run, run_json

TARGETS = ("gguf:q4_0", "gguf:q8_0", "onnx:int4", "openvino:int4", "mlx:int4")


class Compare(EndToEnd):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = Path(tempfile.mkdtemp(prefix="quantfleet-compare-"))
        cls.addClassCleanup(shutil.rmtree, cls.made, ignore_errors=True)
        run("quantfleet", "quantize", DEMO, *[x for t in TARGETS for x in ("--target", t)], "--out", cls.made)

    def compare(self, *words, **kwargs):
        return run_json("quantfleet", "compare", *words, "--text", HELD_OUT, "--json", **kwargs)

    def folder(self, target):
        return self.made / target.replace(":", "-")

    def test_figures_are_those_of_a_jobs_evaluation(self):
        found = self.compare(self.folder("gguf:q4_0"), self.folder("gguf:q8_0") / "model.gguf", "--reference", DEMO,
                             "--tokens", 200)
        four, eight = found["models"]
        self.assertEqual((four["target"], eight["target"]), ("gguf:q4_0", "gguf"))
        self.assertLess(four["bytes"], eight["bytes"])
        self.assertLess(eight["mean_kl"], four["mean_kl"])
        self.assertTrue(0 < four["kl_error"] < four["mean_kl"] < four["kl_p99"], four)
        self.assertTrue(0 < four["nll_error"] < four["mean_nll"], four)
        for model in found["models"]:
            self.assertGreater(model["prompt_tokens_per_second"], 0)
            self.assertGreater(model["tokens_per_second"], 0)
        daemon = self.daemon("--evaluation-text", HELD_OUT, "--evaluation-tokens", "200").start()
        daemon.cli("model", "push", "demo", DEMO)
        job = daemon.cli_json("job", "submit", "demo", "--class", "ai-pc-int8")["name"]
        job = self.wait_job(daemon, job)
        measured = job["measured"][0]
        self.assertEqual(measured["recipe"], "q8_0")
        for key in ("mean_kl", "kl_error", "kl_p99", "mean_nll", "nll_error", "top1_agreement"):
            self.assertAlmostEqual(measured["evaluation"][key], eight[key], places=12)
        text = daemon.cli("job", "show", job["name"]).stdout
        self.assertIn(f"{100 * eight['top1_agreement']:.1f} % of BF16's choices (KL ", text)

    def test_other_formats_are_compared_by_their_values(self):
        for target in ("onnx:int4", "openvino:int4", "mlx:int4"):
            with self.subTest(target):
                reference, other = self.compare(DEMO, self.folder(target), "--tokens", 64)["models"]
                self.assertTrue(reference["reference"])
                self.assertNotIn("mean_kl", reference)
                self.assertGreater(other["top1_agreement"], 0.8)
                self.assertLess(other["mean_kl"], 0.1)
                self.assertEqual(other["weights"], "DEQUANTIZED")
                self.assertIsNone(other["tokens_per_second"])
        # The same codes in two arrangements.
        onnx, mlx = self.compare(self.folder("onnx:int4"), self.folder("mlx:int4"), "--reference", DEMO, "--tokens", 64)["models"]
        self.assertAlmostEqual(onnx["mean_kl"] / mlx["mean_kl"], 1, delta=1e-3)
        text = run("quantfleet", "compare", DEMO, self.folder("onnx:int4"), "--text", HELD_OUT, "--tokens", 64).stdout
        for word in ("the reference", "not measured", "onnx:int4", "mean KL"):
            self.assertIn(word, text)

    def test_what_cannot_be_compared_is_refused(self):
        onnx = self.folder("onnx:int4")
        refused = run("quantfleet", "compare", onnx, onnx, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--reference", refused.stderr)
        run("tiny_model", self.dir / "tiny", "llama")
        refused = run("quantfleet", "compare", DEMO, self.dir / "tiny", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("vocabulary", refused.stderr)
        damaged = self.dir / "damaged"
        shutil.copytree(self.folder("gguf:q4_0"), damaged)
        with open(damaged / "model.gguf", "r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
        refused = run("quantfleet", "compare", DEMO, damaged, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("model.gguf", refused.stderr)


if __name__ == "__main__":
    unittest.main()
