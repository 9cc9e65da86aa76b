"""onnx:int8-qdq says with the standard's operators what onnx:int8-exact says with ONNX Runtime's own: ONNX Runtime, which
runs both, finds the likelihood that our engine finds on the same codes."""
import json
import sys
import unittest

from harness import DEMO, HELD_OUT, ROOT, SHARED, THOROUGH, refusal, run, run_json
from judge import HAS_ONNX, onnx_runtime
from onnx_judge import OnnxTest

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

LIMIT = 1e-4
# (family, members of config.json): partly rotated heads under LongRoPE, biases, shared keys, tied embeddings, norms of heads,
# experts.
MODELS = [("phi3-medium", {}), ("qwen2", {}), ("llama32", {}), ("qwen3", {}), ("phi2", {}), ("granite", {}),
          ("smollm3", {}), ("gemma", {}), ("gemma2", {}), ("gemma3", {}), ("qwen3moe", {}), ("phimoe-mini", {}),
          ("phi4-mini", {"max_position_embeddings": 1024, "original_max_position_embeddings": 512})]
MORE = [("llama2", {}), ("mistral", {}), ("qwen25-tied", {}), ("qwen3-tied", {}), ("phi3-mini-4k", {})]


@unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
class Judged(OnnxTest):
    def test_demo_model(self):
        _, folder, gguf = self.quantize(DEMO, self.dir / "out", "int8-qdq", "q8_0", "q8_0")
        ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", HELD_OUT, "--json")["tokens"]
        ids = ids[:400 if THOROUGH else 150]
        self.check("demo int8-qdq", folder, gguf, ids, LIMIT)

    @unittest.skipUnless(SHARED, "QUANTFLEET_SHARED is not set: stories260k is not here")
    def test_stories260k(self):
        """Heads of 8, which ONNX Runtime's own operators do not rotate, and rows of 172, which no group divides."""
        source = SHARED / "models/stories260k"
        self.assertIn("use onnx:int8-qdq", refusal(self, self.dir / "no", source, "onnx:fp32"))
        _, folder, gguf = self.quantize(source, self.dir / "out", "int8-qdq", "q8_0", "q8_0",
                                        "--tensor-type", "role:ffn_down=f16")
        text = self.dir / "story.txt"
        text.write_text((source / "golden-greedy.txt").read_text()[:400])
        ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", text, "--json")["tokens"]
        self.check("stories260k int8-qdq", folder, gguf, ids, LIMIT)

    def test_every_architecture(self):
        for family, config in MODELS + (MORE if THOROUGH else []):
            with self.subTest(family):
                made = families.write(family, self.dir / family, **config)
                ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(120)]
                _, folder, gguf = self.quantize(self.dir / family, self.dir / "out" / family, "int8-qdq", "q8_0",
                                                "q8_0")
                self.check(f"{family} int8-qdq", folder, gguf, ids, LIMIT)

    def test_windows_padding_and_longrope_as_the_other_flavour_has_them(self):
        """What our engine does not do, or does by its context: against ONNX Runtime's own operators."""
        made = families.write("phi35-mini", self.dir / "model", max_position_embeddings=256,
                              original_max_position_embeddings=64, sliding_window=24)
        run("quantfleet", "quantize", self.dir / "model", "--target", "onnx:int8-exact", "--target", "onnx:int8-qdq",
            "--out", self.dir / "out")
        ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(100)]
        # On both sides of the original length; beyond it, steps would change factors on their way.
        for count, ways in ((60, ((), ("--pad", 3), ("--prefill", 30))), (100, ((), ("--pad", 3)))):
            tokens, _ = self.tokens(ids[:count])

            def nll(target, *how):
                return onnx_runtime(self.dir / "out" / target, "nll", "--tokens-file", tokens, *how)["mean_nll"]
            theirs = nll("onnx-int8-exact")
            said = [nll("onnx-int8-qdq", *how) for how in ways]
            print(f"a window of 24, {count} tokens: own operators {theirs:.6f}, standard {said}", file=sys.stderr)
            for way, found in zip(ways, said):
                self.assertLess(abs(found / theirs - 1), LIMIT, way)


class Folder(OnnxTest):
    def test_files_and_inspect(self):
        run("quantfleet", "quantize", DEMO, "--target", "onnx:int8-qdq", "--out", self.dir)
        folder = self.dir / "onnx-int8-qdq"
        self.assertFalse(json.loads((folder / "genai_config.json").read_text())["search"]["past_present_share_buffer"])
        said = run_json("quantfleet", "inspect", folder, "--json")
        self.assertTrue(said["verified"])
        stored = {t["name"]: t for t in said["tensors"]}
        self.assertEqual((stored["lm_head.weight.codes"]["dtype"], stored["lm_head.weight.codes"]["shape"]),
                         ("INT8", [2048, 256]))
        self.assertEqual(stored["lm_head.weight.scales"]["shape"], [2048, 8])


if __name__ == "__main__":
    unittest.main()
