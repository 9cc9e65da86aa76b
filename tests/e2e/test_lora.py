"""Adapters merged into their base in the same pass: W + scale * B * A, judged in double precision."""
import json
import math
import random
import shutil
import tempfile
import unittest
from pathlib import Path

from harness import read_safetensors, run, run_json, write_safetensors
from hf_weights import decoded, gguf_rows
from packed_weights import bf16, f32, floats


def matrix(rng, rows, cols, dtype):
    narrow = {"F32": f32, "BF16": bf16}[dtype]
    return [[narrow(rng.uniform(-.3, .3)) for _ in range(cols)] for _ in range(rows)]


class Lora(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-lora-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.rng = random.Random(3)
        self.base = self.dir / "base"
        run("tiny_model", self.base, "llama")
        header, data = read_safetensors(self.base / "model.safetensors")
        self.weights = {name: decoded("bf16", t["shape"][::-1], data[slice(*t["data_offsets"])])
                        for name, t in header.items() if name != "__metadata__"}

    def adapter(self, name, modules, rank, alpha, dtype="F32", **config):
        """Writes one; returns what it adds to each weight, without its scale."""
        folder, out, raw, added = self.dir / name, {}, b"", {}
        folder.mkdir()
        for module in modules:
            rows = self.weights[module + ".weight"]
            a, b = matrix(self.rng, rank, len(rows[0]), dtype), matrix(self.rng, len(rows), rank, dtype)
            added[module + ".weight"] = [[math.fsum(x * y for x, y in zip(line, column)) for column in zip(*a)]
                                         for line in b]
            for part, values in (("A", a), ("B", b)):
                content = floats(sum(values, []), dtype)
                out[f"base_model.model.{module}.lora_{part}.weight"] = {
                    "dtype": dtype, "shape": [len(values), len(values[0])],
                    "data_offsets": [len(raw), len(raw) + len(content)]}
                raw += content
        write_safetensors(folder / "adapter_model.safetensors", out, raw)
        (folder / "adapter_config.json").write_text(json.dumps(
            {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj"], "bias": "none",
             "fan_in_fan_out": False, "modules_to_save": None, "rank_pattern": {}, **config}))
        return added

    def quantize(self, name, *options):
        return run_json("quantfleet", "quantize", self.base, *options, "--target", "gguf:f32", "--out",
                        self.dir / name, "--json")

    def test_merged_weights_are_pefts(self):
        modules = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "lm_head"]
        one = self.adapter("one", modules, 4, 6)
        two = self.adapter("two", modules[:1], 2, 3, "BF16", use_rslora=True)
        said = self.quantize("out", "--lora", self.dir / "one", "--lora", f"{self.dir / 'two'}:0.5")
        self.assertNotEqual(said["source_digest"], self.quantize("plain")["source_digest"])
        rows, plain = (gguf_rows(self.dir / out / "gguf-f32/model.gguf") for out in ("out", "plain"))
        largest = 0
        for name, before in plain.items():
            if name not in one:
                self.assertEqual(rows[name], before, name)
                continue
            for r, line in enumerate(before):
                for c, w in enumerate(line):
                    exact = w + 6 / 4 * one[name][r][c]
                    if name in two:
                        exact += .5 * 3 / math.sqrt(2) * two[name][r][c]
                    # One rounding to F32, and the last bits of sums in double.
                    largest = max(largest, abs(rows[name][r][c] - exact) / max(abs(exact), 1e-3))
        self.assertLess(largest, 2 ** -24 * 1.001)

    def test_an_adapter_of_another_model_leaves_nothing(self):
        self.weights["model.layers.7.self_attn.q_proj.weight"] = self.weights["model.layers.0.self_attn.q_proj.weight"]
        self.adapter("bad", ["model.layers.7.self_attn.q_proj"], 2, 2)
        done = run("quantfleet", "quantize", self.base, "--lora", self.dir / "bad", "--target", "gguf:f32", "--out",
                   self.dir / "out", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.layers.7.self_attn.q_proj.weight", done.stderr)
        self.assertFalse((self.dir / "out").exists())


if __name__ == "__main__":
    unittest.main()
