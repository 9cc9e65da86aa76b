"""ONNX Runtime reads groups of 16 to 256 around the middle and with zero points as we wrote them: it finds the
likelihood that our engine finds on the weights that the codecs decode."""
import sys
import unittest

from decoded_model import decoded_model
from harness import DEMO, HELD_OUT, ROOT, THOROUGH, refusal, run, run_json
from judge import HAS_ONNX, onnx_runtime
from onnx_judge import OnnxTest

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# Recipe: the types of body and head, and sizes of which some rows hold an odd number of groups, so that nibbles of zero
# points end in the middle of a byte.
OF_16, OF_32, OF_64, OF_128, OF_256 = (
    {"hidden": 192, "intermediate": 336}, {"hidden": 192, "intermediate": 352}, {"hidden": 192, "intermediate": 320},
    {"hidden": 128, "intermediate": 384}, {"hidden": 256, "intermediate": 768})
RECIPES = {
    "int4-g16": ("i4_g16", "i8_g16", OF_16), "int4-g16-asym": ("u4_g16", "u8_g16", OF_16),
    "int4-g16-asym-pure": ("u4_g16", "u4_g16", OF_16), "int8-g16": ("i8_g16", "i8_g16", OF_16),
    "int4-g256": ("i4_g256", "i8_g256", OF_256), "int4-g256-asym-pure": ("u4_g256", "u4_g256", OF_256),
    "int8-g256-asym": ("u8_g256", "u8_g256", OF_256),
    "int4-pure": ("q4_0", "q4_0", OF_32), "int4-asym": ("u4_g32", "u8_g32", OF_32),
    "int4-g64": ("i4_g64", "i8_g64", OF_64), "int4-g64-asym": ("u4_g64", "u8_g64", OF_64),
    "int4-g64-asym-pure": ("u4_g64", "u4_g64", OF_64), "int4-g128": ("i4_g128", "i8_g128", OF_128),
    "int4-g128-asym": ("u4_g128", "u8_g128", OF_128), "int4-g128-asym-pure": ("u4_g128", "u4_g128", OF_128),
    "int8-asym": ("u8_g32", "u8_g32", OF_32), "int8-g64": ("i8_g64", "i8_g64", OF_64),
    "int8-g128": ("i8_g128", "i8_g128", OF_128), "int8-g64-asym": ("u8_g64", "u8_g64", OF_64),
    "int8-g128-asym": ("u8_g128", "u8_g128", OF_128)}
FAMILIES = ("phi3-medium", "llama2", "qwen25-tied")
# Of each kind one; a tied embedding with points of both widths among them. In thorough runs also every recipe of
# FAMILIES.
SOME = {("phi3-medium", "int4-asym"), ("llama2", "int4-g16-asym"), ("qwen25-tied", "int4-g256-asym-pure"),
        ("llama2", "int4-g64"), ("phi3-medium", "int4-g128-asym"), ("qwen25-tied", "int4-g64-asym-pure"),
        ("qwen25-tied", "int8-g128-asym")}
# Without -exact ONNX Runtime rounds each group of activations to 8 bits, as int8 rounds weights: by 0.5 % of their size
# in groups of 32, 0.65 % in groups of 128 (docs/guides/quantize.md).
LIMITS = {"-exact": 1e-4, "": 0.0065}


class Groups(OnnxTest):
    def sized(self, name, **sizes):
        """A family of other sizes, written."""
        folder = self.dir / "-".join([name, *map(str, sizes.values())])
        return folder, families.write(name, folder, sizes=sizes)

    def judge(self, name, source, recipe, ids, tied, others=None):
        body, head, _ = RECIPES[recipe]
        targets = [word for ending in LIMITS for word in ("--target", f"onnx:{recipe}{ending}")]
        run("quantfleet", "quantize", source, *targets, "--out", self.dir / name)
        decoded = decoded_model(source, self.dir / name / "decoded", body, head, tied, others)
        run("quantfleet", "quantize", decoded, "--target", "gguf:f32", "--out", self.dir / name)
        for ending, limit in LIMITS.items():
            self.check(name.replace("/", " ") + ending, self.dir / name / f"onnx-{recipe}{ending}",
                       self.dir / name / "gguf-f32/model.gguf", ids, limit)

    @unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
    def test_onnx_runtime_finds_what_the_codecs_decode(self):
        more = {(family, recipe) for family in FAMILIES for recipe in RECIPES} if THOROUGH else set()
        for family, recipe in sorted(SOME | more):
            with self.subTest(family, recipe=recipe):
                source, made = self.sized(family, **RECIPES[recipe][2])
                ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(80)]
                self.judge(f"{family}/{recipe}", source, recipe, ids, made.tied)

    @unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
    def test_onnx_runtime_reads_the_smaller_groups_of_rows_that_do_not_divide(self):
        source, made = self.sized("llama2", hidden=128, intermediate=192)
        ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(80)]
        self.judge("llama2 of 192", source, "int4-g128-asym", ids, made.tied, {"down_proj.weight": "u4_g64"})

    @unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
    def test_half_precision_around_a_group(self):
        source, made = self.sized("phi3-medium", **OF_128)
        run("quantfleet", "quantize", source, "--target", "onnx:fp16", "--target", "onnx:fp32", "--tensor-type",
            "role:ffn_down=u4_g128", "--out", self.dir)
        ids, _ = self.tokens([1 + 37 * i * i % (made.vocab - 1) for i in range(80)])
        half, whole = (onnx_runtime(self.dir / f"onnx-{float_type}", "nll", "--tokens-file", ids)["mean_nll"]
                       for float_type in ("fp16", "fp32"))
        print(f"mean NLL fp16 around u4_g128: {half:.6f}, fp32 {whole:.6f}", file=sys.stderr)
        self.assertLess(abs(half / whole - 1), 0.002)

    @unittest.skipUnless(HAS_ONNX and THOROUGH, "a trained model takes longer: in thorough runs")
    def test_demo_model(self):
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--out", self.dir)
        ids = run_json("quantfleet-agent", "tokenize", self.dir / "gguf-f16/model.gguf", "--text-file", HELD_OUT,
                       "--json")["tokens"][:200]
        for recipe in RECIPES:
            with self.subTest(recipe):
                self.judge(f"demo/{recipe}", DEMO, recipe, ids, False)

    def test_rows_that_groups_do_not_divide_get_the_next_smaller_ones(self):
        source, _ = self.sized("llama2", intermediate=192)
        out = self.dir / "out"
        plan = run_json("quantfleet", "quantize", source, "--target", "onnx:int4-g128-asym", "--dry-run", "--json")
        schemes = {t["name"]: (t["scheme"], t["asked"]) for t in plan["targets"][0]["tensors"]}
        self.assertEqual(schemes["model.layers.0.mlp.down_proj.weight"], ("u4_g64", "u4_g128"))
        self.assertEqual(schemes["model.layers.0.mlp.up_proj.weight"], ("u4_g128", "u4_g128"))
        self.assertRegex(run("quantfleet", "quantize", source, "--target", "onnx:int4-g128-asym", "--dry-run").stdout,
                         r"0\.mlp\.down_proj\.weight .* u4_g64 .* not u4_g128")
        said = run("quantfleet", "quantize", source, "--target", "onnx:int4-g128-asym", "--out", out).stderr
        self.assertIn("down_proj.weight gets u4_g64 in place of u4_g128", said)
        stored = run_json("quantfleet", "inspect", out / "onnx-int4-g128-asym", "--json")["tensors"]
        said = {t["name"]: t for t in stored}
        down = "model.layers.0.mlp.down_proj.weight"
        self.assertEqual(said[f"{down}.zero_points"]["shape"], [128, 2])
        self.assertEqual(said["model.layers.0.mlp.up_proj.weight.zero_points"]["shape"], [192, 1])

    def test_other_formats_refuse_what_they_do_not_hold(self):
        said = refusal(self, self.dir / "out", DEMO, "gguf:q4_0", "--output-type", "u8_g64")
        self.assertRegex(said, "'output.weight'.*u8_g64")


if __name__ == "__main__":
    unittest.main()
