"""onnx:qnn-...: ONNX Runtime loads the two graphs of fixed shapes, reads a text through both with one cache, and is as near to
the model in F32 as the recipe allows. That no dimension, operator or float is left that the NPU's compiler refuses: a unit test
reads the graphs (tests/pipeline/format/qnn_target_test.cc)."""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from harness import DEMO, HELD_OUT, ROOT, THOROUGH, refusal, run, run_json
from judge import fixed_graphs, install_runtimes

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# Recipes, what they are rounded by, and the most of mean KL from F32 that the demo model may have. Four times what was seen.
RECIPES = {"qnn-a16w8": ("nearest", 1e-4), "qnn-a8w8": ("nearest", 1e-4), "qnn-a16w4": ("feedback", 2e-3)}
TOKENS = 200


class Judged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-qnn-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def compare(self, source, calibration, recipes, ids):
        """{recipe: what the judge says of it}, against the engine on the source in F32."""
        run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", self.dir / "f32", "--force")
        (self.dir / "ids.json").write_text(json.dumps(ids))
        run("logits", self.dir / "f32/gguf-f32/model.gguf", self.dir / "ids.json", 256, self.dir / "logits")
        said = {}
        for recipe, rounding in recipes.items():
            run("quantfleet", "quantize", source, "--calibration", calibration, "--rounding", rounding,
                "--target", f"onnx:{recipe}", "--out", self.dir / "out", "--force")
            said[recipe] = fixed_graphs(self.dir / f"out/onnx-{recipe}", "compare", self.dir / "ids.json", self.dir / "logits")
            print(f"{source.name} {recipe}: {said[recipe]}", file=sys.stderr)
        return said

    def test_demo_model(self):
        run("quantfleet", "calibrate", DEMO, "--ranges", "--second-moments", "--chunk", 128, "--chunks", 20,
            "--out", self.dir / "calibration")
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--out", self.dir / "f16")
        ids = run_json("quantfleet-agent", "tokenize", self.dir / "f16/gguf-f16/model.gguf", "--text-file", HELD_OUT,
                       "--json")["tokens"][:TOKENS]
        said = self.compare(DEMO, self.dir / "calibration", {name: how for name, (how, _) in RECIPES.items()}, ids)
        for recipe, (_, most) in RECIPES.items():
            for way in ("whole", "parts", "own"):
                self.assertLess(said[recipe][way]["kl"], most, (recipe, way))
            # However a text is cut, its keys and values are the same codes but where a sum fell on the other side of a half.
            self.assertLess(abs(said[recipe]["single"]["kl"] - said[recipe]["whole"]["kl"]), 0.1 * most)
        folder = self.dir / "out/onnx-qnn-a16w8"
        texts = fixed_graphs(folder, "generate", self.dir / "ids.json", 12)["ids"]
        self.assertEqual(texts["graphs"], texts["genai"])
        changes = json.loads(run("quantfleet", "inspect", folder, "--json").stdout)["changes"]
        self.assertTrue(any(change.startswith("ranges=") for change in changes), changes)

    def test_every_family(self):
        """Of random weights, whose likelihoods say little but which compute everything that a family has."""
        for family in FAMILIES if THOROUGH else FAMILIES[:2]:
            with self.subTest(family):
                source = self.dir / family
                made = families.write(family, source)
                ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(90)]
                calibration = self.dir / f"{family}-calibration"
                run("quantfleet", "calibrate", source, "--ranges", "--chunk", 128, "--chunks", 4, "--out", calibration)
                said = self.compare(source, calibration, {"qnn-a16w8": "nearest"}, ids)
                self.assertLess(said["qnn-a16w8"]["whole"]["kl"], 0.02)

    def test_what_it_needs(self):
        self.assertIn("calibrate --ranges", refusal(self, self.dir / "no", DEMO, "onnx:qnn-a8w8"))


FAMILIES = ("gemma3", "phi2", "qwen2", "llama32", "mistral", "qwen3", "phi4-mini", "granite", "smollm3", "gemma", "gemma2",
            "qwen25-tied", "phi3-medium", "phi15")

if __name__ == "__main__":
    unittest.main()
