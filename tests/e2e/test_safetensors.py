"""Folders of safetensors hold the source's numbers and those of the GGUF made beside them, read by a reader that knows the
layouts alone; transformers and compressed-tensors themselves run them where they are installed."""
import json
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from compressed_files import HfFolder
from harness import DEMO, ROOT, THOROUGH, read_safetensors, refusal, run, run_json
from hf_weights import gguf_rows
from judge import TRANSFORMERS, hold_against, install_runtimes, transformers

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# Where both are in floats, and what both quantize.
AS_FLOATS = ("--output-type", "f16", "--embedding-type", "f16")
SOME = ("phi35-mini", "llama32", "qwen2", "qwen25-tied", "qwen3moe", "gemma3", "phi2")
MORE = ("phi4-mini", "llama2", "mistral", "qwen3", "phi35-moe", "granite", "smollm3", "gemma", "gemma2")


class Safetensors(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-safetensors-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def quantize(self, source, *targets, out="out", more=()):
        words = [word for target in targets for word in ("--target", target)]
        said = run_json("quantfleet", "quantize", source, *words, *more, "--out", self.dir / out, "--json")
        return said, *(self.dir / out / target.replace(":", "-") for target in targets)

    def test_floats_are_the_sources_bytes(self):
        _, made = self.quantize(DEMO, "safetensors:bf16")
        folder, (header, data) = HfFolder(made), read_safetensors(DEMO / "model.safetensors")
        header.pop("__metadata__", None)
        self.assertEqual(set(folder.tensors), set(header))
        for name, entry in header.items():
            self.assertEqual(folder.tensors[name], (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]), name)
        theirs = json.loads((DEMO / "config.json").read_text())
        said = folder.config.pop("torch_dtype")
        theirs.pop("torch_dtype", None)
        self.assertEqual((said, folder.config), ("bfloat16", {"tie_word_embeddings": False, **theirs}))
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            self.assertTrue((made / name).exists(), name)

    def test_a_gguf_becomes_the_folder_that_it_was_made_of(self):
        """Names, order of rows and values: what the model's authors would have published."""
        for name in (*SOME, *(MORE if THOROUGH else ())):
            with self.subTest(name):
                source = self.dir / name
                families.write(name, source, dtypes=("F32",))
                _, gguf = self.quantize(source, "gguf:f32", out=f"{name}-gguf")
                _, direct = self.quantize(source, "safetensors:f32", out=f"{name}-direct")
                straight = HfFolder(direct)
                header, data = {}, {}
                for shard in source.glob("*.safetensors"):
                    head, raw = read_safetensors(shard)
                    head.pop("__metadata__", None)
                    for tensor, entry in head.items():
                        header[tensor] = entry["dtype"], entry["shape"], raw[slice(*entry["data_offsets"])]
                self.assertEqual(set(straight.tensors), set(header))
                for tensor, stored in header.items():
                    self.assertEqual(straight.tensors[tensor], stored, tensor)
                if name == "llama32":  # its rope scaling is in a GGUF as factors alone
                    self.assertIn("llama3's rope scaling", refusal(self, self.dir / "no", gguf / "model.gguf", "safetensors:f32"))
                    continue
                _, back = self.quantize(gguf / "model.gguf", "safetensors:f32", out=f"{name}-back")
                again = HfFolder(back)
                self.assertEqual(set(again.tensors), set(header))
                for tensor, stored in header.items():
                    if tensor.endswith("norm.weight") and name.startswith("gemma"):  # w + 1, and back
                        for a, b in zip(again.rows(tensor)[0], straight.rows(tensor)[0]):
                            self.assertAlmostEqual(a, b, delta=1e-6)
                    else:
                        self.assertEqual(again.tensors[tensor], stored, tensor)

    def test_groups_share_the_codes_of_the_gguf(self):
        said, gguf, folder = self.quantize(DEMO, "gguf:q4_0", "safetensors:w4a16-g32", more=AS_FLOATS)
        made = HfFolder(folder)
        rows = gguf_rows(gguf / "model.gguf")
        self.assertEqual(made.weights(), set(rows))
        for name, theirs in rows.items():
            if len(theirs) > 1:
                self.assertEqual(made.rows(name), theirs, name)
        self.assertEqual(made.config["torch_dtype"], "float16")
        self.assertEqual(made.how["ignore"], ["lm_head"])
        # Quantized once for both: as many values as for the GGUF alone.
        alone, _ = self.quantize(DEMO, "gguf:q4_0", out="alone", more=AS_FLOATS)
        norms = 9 * 256  # F16 in one, F32 in the other
        self.assertEqual(said["values_encoded"], alone["values_encoded"] + norms)
        # Our own reader finds the same values, and the codes as they are.
        _, again = self.quantize(folder, "gguf:q4_0", out="again", more=AS_FLOATS)
        self.assertEqual(gguf_rows(again / "model.gguf"), {**rows, **{n: r for n, r in gguf_rows(again / "model.gguf").items()
                                                                     if len(r) == 1}})

    def test_rows_have_one_scale(self):
        _, folder = self.quantize(DEMO, "safetensors:w8a8")
        made = HfFolder(folder)
        _, floats = self.quantize(DEMO, "safetensors:f32", out="floats")
        plain = HfFolder(floats)
        name = "model.layers.1.mlp.down_proj.weight"
        _, (height, cols), raw = made.tensors[name]
        scales = struct.unpack(f"<{height}e", made.tensors[name + "_scale"][2])
        for row, scale, codes in zip(plain.rows(name), scales, struct.iter_unpack(f"<{cols}b", raw), strict=True):
            (want,) = struct.unpack("<e", struct.pack("<e", max(map(abs, row)) / 127))
            self.assertEqual(scale, want)
            for value, code in zip(row, codes):
                self.assertLessEqual(abs(value / scale - code), 0.5 + 1e-5)
        group, = made.how["config_groups"].values()
        self.assertEqual((group["input_activations"]["strategy"], group["input_activations"]["dynamic"]), ("token", True))
        # What our own reader makes of it.
        _, gguf = self.quantize(folder, "gguf:f32", out="read")
        self.assertEqual(gguf_rows(gguf / "model.gguf")[name], [tuple(r) for r in made.rows(name)])

    def test_groups_that_do_not_divide_give_way(self):
        run("tiny_model", self.dir / "odd", "llama", "hidden=576", "intermediate=172", "heads=9", "kv_heads=3")
        plan = run("quantfleet", "quantize", self.dir / "odd", "--target", "safetensors:w4a16", "--dry-run").stdout
        self.assertRegex(plan, r"q_proj.weight .* i4_g64 .* not i4_g128")
        self.assertRegex(plan, r"down_proj.weight .* f16 .* not i4_g128")
        _, folder = self.quantize(self.dir / "odd", "safetensors:w4a16")
        made = HfFolder(folder)
        self.assertIsNone(made.scheme("model.layers.0.mlp.down_proj"))
        self.assertEqual(len(made.rows("model.layers.0.self_attn.q_proj.weight")), 576)

    def test_refusals_say_what_to_take(self):
        families.write("gpt-oss", self.dir / "gpt-oss")
        self.assertIn("gpt-oss", refusal(self, self.dir / "no", self.dir / "gpt-oss", "safetensors:bf16"))
        for options, names in ((("--tensor-type", "role:ffn_down=u4_g64"), "u4_g64"),
                               (("--tensor-type", "role:ffn_down=i8_row"), "i8_row")):
            self.assertIn(names, refusal(self, self.dir / "no", DEMO, "safetensors:w4a16", *options))

    def test_it_is_compared_and_inspected(self):
        _, folder, mlx = self.quantize(DEMO, "safetensors:w4a16", "mlx:int4-g128", more=AS_FLOATS)
        shown = run_json("quantfleet", "inspect", folder, "--json")
        self.assertTrue(shown["verified"])
        self.assertIn("model.layers.0.mlp.down_proj.weight_packed", [t["name"] for t in shown["tensors"]])
        said = run_json("quantfleet", "compare", folder, mlx, "--reference", DEMO, "--tokens", 64, "--json")["models"]
        self.assertGreater(said[0]["mean_kl"], 0)
        self.assertAlmostEqual(said[0]["mean_kl"], said[1]["mean_kl"], places=6)


# A target, the GGUF of the same numbers, and what may differ where precision is asked for: a logit, the mean KL.
# compressed-tensors multiplies codes by scales in F16.
SAME = {"f32": ("f32", 1e-3, 1e-9), "f16": ("f16", 1e-3, 1e-9), "bf16": ("bf16", 1e-3, 1e-9), "w4a16-g32": ("q4_0", 0.1, 1e-4)}
TOKENS = 120


class JudgedByTransformers(unittest.TestCase):
    """Each family as transformers loads it, without a tensor too many or too few, against our engine on the same numbers."""

    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH, judges=TRANSFORMERS)
        cls.versions = transformers("", "versions")

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-transformers-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def compare(self, name, recipe, folder, gguf, ids, limits):
        path = self.dir / "ids.json"
        path.write_text(json.dumps(ids))
        run("logits", gguf, path, 512, self.dir / "ours")
        said = transformers(folder, "compare", path, self.dir / "ours")
        hold_against(self, f"{name} safetensors:{recipe}", said, limits)
        return said

    def judge(self, name, *recipes):
        source = self.dir / name
        # What transformers takes for Phi-3 where a file does not say lies outside of so small a vocabulary.
        family = families.write(name, source, pad_token_id=0)
        ids = [1 + 37 * i * i % (family.vocab - 1) for i in range(TOKENS)]
        for recipe in recipes:
            with self.subTest(name, recipe=recipe), tempfile.TemporaryDirectory(dir=self.dir) as made:
                out = Path(made)
                gguf = SAME[recipe][0] if recipe in SAME else "f32"
                more = AS_FLOATS if recipe.startswith("w") else ()
                run("quantfleet", "quantize", source, "--target", f"safetensors:{recipe}", "--target", f"gguf:{gguf}", *more,
                    "--out", out)
                folder, same = out / f"safetensors-{recipe}", out / f"gguf-{gguf}/model.gguf"
                if recipe not in SAME:  # what our own reader finds in it
                    run("quantfleet", "quantize", folder, "--target", "gguf:f32", "--out", out / recipe)
                    same = out / recipe / "gguf-f32/model.gguf"
                self.compare(name, recipe, folder, same, ids, SAME.get(recipe, ("", 0.1, 1e-4))[1:])

    def test_every_family(self):
        for name in (*SOME, *MORE):
            # Of phimoe's experts in codes, which transformers multiplies in another order, one token in 120 chooses another.
            self.judge(name, "f32", *(() if name == "phi35-moe" else ("w4a16-g32",)))

    def test_folders_made_of_ggufs(self):
        """Whose config.json is ours. Llama 3.2's rope scaling is in no GGUF as config.json has it."""
        for name in (*SOME, *MORE):
            if name == "llama32":
                continue
            with self.subTest(name), tempfile.TemporaryDirectory(dir=self.dir) as made:
                source, out = self.dir / name, Path(made)
                ids = [1 + 37 * i * i % (families.write(name, source, pad_token_id=0).vocab - 1) for i in range(TOKENS)]
                run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", out)
                gguf = out / "gguf-f32/model.gguf"
                run("quantfleet", "quantize", gguf, "--target", "safetensors:f32", "--out", out)
                self.compare(name, "f32 of a GGUF", out / "safetensors-f32", gguf, ids, SAME["f32"][1:])

    def test_every_recipe(self):
        for name in ("llama2", "phi35-mini"):
            self.judge(name, "f16", "bf16", "w8a8", "w4a16", "w4a16-g64")


if __name__ == "__main__":
    unittest.main()
