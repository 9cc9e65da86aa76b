"""ONNX Runtime GenAI, of several releases, opens our folders without a word of warning, sees as far as a window goes and no
further, and ends a chat where the model says that it ends."""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from harness import DEMO, ROOT, THOROUGH, run
from judge import install_runtimes, older_genai, runtimes

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

RECIPES = ("fp32", "fp16", "int8", "int4", "int4-g128-asym", "int4-exact", "int4-f16", "int8-qdq", "int4-web")
# One model of each kind of graph: tied and with tables for two lengths, windows of two bases, experts with an operator and in a
# loop, layers without rotary embedding, LayerNorm.
KINDS = {"phi4-mini": ("int4", "int8-qdq"), "gemma3": ("int4",), "qwen3moe": ("int4", "int8-exact"), "smollm3": ("int8",),
         "phi2": ("fp32",), "mistral": ("int4-g64-asym",), "gpt-oss": ("int8",)}
PARTIAL = {"partial_rotary_factor": 0.5, "rope_scaling": families.long_rope(8, 40)}
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>\nOnce upon a time' }}{% endif %}")
MESSAGES = [{"role": "user", "content": "Tell me a story."}]


class GenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH, older=THOROUGH)
        cls.releases = {"pinned": runtimes["onnx"], **(older_genai if THOROUGH else {})}
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-genai-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)

    def quantize(self, source, name, *recipes):
        out = self.dir / name
        run("quantfleet", "quantize", source, *(word for r in recipes for word in ("--target", f"onnx:{r}")), "--out", out)
        return [out / f"onnx-{r}" for r in recipes]

    def written(self, preset, name, **config):
        sizes = config.pop("sizes", None)
        more = PARTIAL if preset == "phi4-mini" else {}
        return families.write(preset, self.dir / name, sizes=sizes, **{**more, **config})

    def ids_file(self, name, ids):
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps(ids))
        return path

    def test_onnx_runtime_warns_of_nothing(self):
        """Not of initializers that no node uses, as all folders of codes once had them."""
        folders = self.quantize(DEMO, "demo-recipes", *RECIPES)
        for preset, recipes in KINDS.items():
            self.written(preset, f"warns-{preset}")
            folders += self.quantize(self.dir / f"warns-{preset}", f"warns-{preset}-out", *recipes)
        for folder in folders:
            with self.subTest(str(folder.relative_to(self.dir))):
                self.assertEqual(runtimes["onnx"](folder, "warnings"), [])

    def test_a_chat_ends_at_its_end_token(self):
        source = self.dir / "chat"
        shutil.copytree(DEMO, source)
        (source / "chat_template.jinja").write_text(TEMPLATE)
        messages = self.ids_file("messages", MESSAGES)
        (endless,) = self.quantize(source, "endless", "int4")
        for release, genai in self.releases.items():
            with self.subTest(release):
                whole = genai(endless, "chat", messages, 40)
                self.assertIn("<|user|>\nTell me a story.<|end|>\n<|assistant|>\n", whole["text"])
                new = [token for at, token in enumerate(whole["ids"]) if at >= 5 and whole["ids"].index(token) == at]
                path = source / "generation_config.json"
                path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [2, 2047, new[-1]]}))
                (folder,) = self.quantize(source, f"ends-{release}", "int4")
                said = genai(folder, "chat", messages, 40)
                at = whole["ids"].index(new[-1])
                self.assertEqual(said["ids"][:at], whole["ids"][:at])
                self.assertIn(said["ids"][at:], ([], [new[-1]]))

    def test_the_cache_is_smaller_than_the_context(self):
        """The cache is allocated for search.max_length at once; who asks for more gets it."""
        self.written("llama32", "long", max_position_embeddings=131072)
        (folder,) = self.quantize(self.dir / "long", "long-out", "int4")
        config = json.loads((folder / "genai_config.json").read_text())
        self.assertEqual((config["model"]["context_length"], config["search"]["max_length"]), (131072, 4096))
        # 0.9.0 hides padding wherever it is in a prompt: not what stands between a chat's turns.
        self.assertEqual(config["model"]["pad_token_id"], config["model"]["eos_token_id"][1])
        ids = self.ids_file("long-ids", [1 + i % 200 for i in range(4200)])
        said = runtimes["onnx"](folder, "generate", ids, 8)["ids"]["greedy"]
        self.assertEqual(len(said), 8)

    def test_mistrals_window_is_a_window(self):
        """It was where the context ended, and beyond it ONNX Runtime stopped for want of rotary tables."""
        self.written("mistral", "window", sizes={"layers": 1}, sliding_window=16, max_position_embeddings=512)
        folders = self.quantize(self.dir / "window", "window-out", "fp32", "int8-qdq")
        ids = [1 + 37 * i * i % 250 for i in range(100)]
        for folder in folders:
            self.assertEqual(json.loads((folder / "genai_config.json").read_text())["model"]["context_length"], 512)

            def last(changed):
                """The logits behind the text with another token at that distance from its end."""
                other = list(ids)
                if changed:
                    other[-changed] = 1 + other[-changed] % 250
                return runtimes["onnx"](folder, "last", self.ids_file("window-ids", other))
            whole = last(0)
            for distance, seen in ((1, True), (16, True), (17, False), (90, False)):
                with self.subTest(folder.name, distance=distance):
                    moved = max(abs(a - b) for a, b in zip(whole, last(distance)))
                    (self.assertGreater if seen else self.assertLess)(moved, 1e-4)

    @unittest.skipUnless(THOROUGH, "one release says that it loads; the others are downloaded in thorough runs")
    def test_every_release_runs_every_family_alike(self):
        for preset in ("phi3-mini-4k", "phi4-mini", "llama32", "mistral", "qwen2", "qwen3", "qwen3moe", "phimoe-mini", "phi2",
                       "granite", "smollm3", "gemma", "gemma2", "gemma3", "gpt-oss"):
            family = self.written(preset, f"release-{preset}")
            (folder,) = self.quantize(self.dir / f"release-{preset}", f"release-{preset}-out", "int8")
            ids = self.ids_file("release-ids", [1 + 37 * i * i % (family.vocab - 1) for i in range(40)])
            with self.subTest(preset):
                said = {}
                for release, genai in self.releases.items():
                    if preset == "gpt-oss" and release == "0.9.0":  # whose list of types it is not on
                        continue
                    said[release] = genai(folder, "generate", ids, 12)["ids"]["greedy"]
                self.assertEqual(len(set(map(tuple, said.values()))), 1, said)


if __name__ == "__main__":
    unittest.main()
