"""transformers.js, in Node and in a browser, generates from a folder made for it what ONNX Runtime does from its own."""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from harness import DEMO, ROOT, THOROUGH, refusal, run, run_json
from judge import HAS_TRANSFORMERS_JS, onnx_runtime, transformers_js

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

PROMPT, MOST = "Once upon a time", 24
# What transformers.js calls the precision, and the recipe with the same graph for ONNX Runtime.
RECIPES = {"int4-web": ("q4", "int4"), "int8-web": ("q8", "int8"), "int4-f16-web": ("q4f16", "int4-f16"),
           "int4-g64-asym-web": ("q4", "int4-g64-asym")}
# Its class for each model_type is another.
FAMILIES = ("llama32", "qwen25-tied", "qwen3", "qwen3moe", "phi2", "granite", "smollm3", "gemma", "gemma2", "gemma3", "gpt-oss",
            "mistral")
CHROMIUM = Path("/usr/bin/chromium")


@unittest.skipUnless(HAS_TRANSFORMERS_JS, "the judges are not installed (tests/judges/install.sh)")
class TransformersJs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-js-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        both = [word for web, (_, own) in RECIPES.items() for r in (web, own) for word in ("--target", f"onnx:{r}")]
        run("quantfleet", "quantize", DEMO, *both, "--target", "gguf:q4_0", "--out", cls.dir / "demo")
        prompt = cls.dir / "prompt.txt"
        prompt.write_text(PROMPT)
        cls.prompt = run_json("quantfleet-agent", "tokenize", cls.dir / "demo/gguf-q4_0/model.gguf", "--text-file", prompt,
                              "--json")["tokens"]

    def greedy(self, folder, ids, most):
        path = self.dir / "ids.json"
        path.write_text(json.dumps(ids))
        return onnx_runtime(folder, "greedy", "--tokens-file", path, "--max-tokens", most)["ids"]

    def demo(self, web, place):
        precision, own = RECIPES[web]
        said = transformers_js(self.dir / f"demo/onnx-{web}", place, PROMPT, MOST)
        self.assertEqual((said["prompt"], said["dtype"]), (self.prompt, precision))
        return said, self.greedy(self.dir / f"demo/onnx-{own}", self.prompt, MOST)

    def test_node(self):
        for web in RECIPES if THOROUGH else ("int4-web",):
            with self.subTest(web):
                said, whole = self.demo(web, "node")
                self.assertEqual(said["ids"], whole)

    @unittest.skipUnless(THOROUGH and CHROMIUM.exists(), "a browser takes longer: in thorough runs, where Chromium is installed")
    def test_browser(self):
        for web in RECIPES:
            with self.subTest(web):
                said, whole = self.demo(web, "browser")
                print(f"in Chromium {web}: {said['text']!r}", file=sys.stderr)
                # Its kernels are others, which round otherwise.
                self.assertEqual(said["ids"][:8], whole[:8])
                self.assertEqual(len(said["ids"]), MOST)

    def test_a_chat_ends(self):
        whole = self.greedy(self.dir / "demo/onnx-int4", self.prompt, MOST)
        end = next(token for at, token in enumerate(whole) if at >= 5 and whole.index(token) == at)
        source = self.dir / "chat"
        shutil.copytree(DEMO, source)
        (source / "chat_template.jinja").write_text("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
        path = source / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [2, end]}))
        run("quantfleet", "quantize", source, "--target", "onnx:int4-web", "--out", self.dir / "chat-out")
        asked = json.dumps([{"role": "user", "content": PROMPT}])
        said = transformers_js(self.dir / "chat-out/onnx-int4-web", "node", asked, MOST)
        self.assertEqual(said["prompt"], self.prompt)
        self.assertEqual(said["ids"], whole[:whole.index(end) + 1])

    @unittest.skipUnless(THOROUGH, "one family in the usual run")
    def test_its_classes_run_every_family(self):
        for family in FAMILIES:
            with self.subTest(family):
                source, out = self.dir / family, self.dir / f"{family}-out"
                families.write(family, source)
                run("quantfleet", "quantize", source, "--target", "onnx:int8-web", "--target", "onnx:int8", "--out", out)
                said = transformers_js(out / "onnx-int8-web", "node", PROMPT, 12)
                whole = self.greedy(out / "onnx-int8", said["prompt"], 12)
                self.assertEqual(said["ids"][:len(whole)], whole)
                self.assertLessEqual(len(said["ids"]), len(whole) + 1)  # which gives the end, too
                shutil.rmtree(out)

    def test_what_it_has_no_class_for_is_refused(self):
        families.write("phimoe-mini", self.dir / "phimoe")
        self.assertIn("phimoe", refusal(self, self.dir / "refused", self.dir / "phimoe", "onnx:int4-web"))
        self.assertIn("-f16", refusal(self, self.dir / "refused", DEMO, "onnx:int8-f16-web"))


if __name__ == "__main__":
    unittest.main()
