"""MLX folders hold the same numbers as the GGUF made beside them: read by a reader that knows the layout alone."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import DEMO, ROOT, SLOW, THOROUGH, read_safetensors, refusal, run, run_json
from hf_weights import gguf_rows
from judge import RUNTIMES, install_runtimes
from mlx_files import MlxFolder, quantized

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# What stands for one another: a GGUF recipe, an MLX target, the head's type.
SAME = (("q4_0", "int4", "q8_0"), ("q8_0", "int8", "q8_0"), ("f16", "fp16", "f16"), ("bf16", "bf16", "bf16"))


def narrowed(rows, kind):
    """F32 norms and biases as the folder's float type has them."""
    if kind == "F16":
        return [struct.unpack(f"<{len(r)}e", struct.pack(f"<{len(r)}e", *r)) for r in rows]
    words = [[struct.unpack("<I", struct.pack("<f", v))[0] for v in r] for r in rows]
    return [tuple(struct.unpack("<f", struct.pack("<I", (w + 0x7FFF + (w >> 16 & 1)) >> 16 << 16))[0] for w in r)
            for r in words]


class Mlx(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-mlx-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def compare(self, source, out, gguf, mlx, head):
        """Makes both in one pass and compares every weight; returns the folder and what the run said."""
        said = run_json("quantfleet", "quantize", source, "--target", f"gguf:{gguf}", "--target", f"mlx:{mlx}",
                        "--output-type", head, "--out", out, "--json")
        folder = MlxFolder(out / f"mlx-{mlx}")
        left = set(folder.tensors)
        for name, rows in gguf_rows(out / f"gguf-{gguf}/model.gguf").items():
            path, what = name.rsplit(".", 1)
            dtype, shape, raw = folder.tensors[name]
            if what == "bias":
                self.assertEqual((dtype, shape), ("F16" if mlx != "bf16" else "BF16", [len(rows[0])]))
                left.discard(name)
                if dtype == "F16":
                    self.assertEqual(struct.unpack(f"<{shape[0]}e", raw), narrowed(rows, dtype)[0], name)
                continue
            if len(shape) == 1 or path.endswith(("mlp.gate", "moe.gate")):
                rows = narrowed(rows, dtype)  # a router is F32 in a GGUF
            if "switch_mlp" in path:
                self.assertEqual(len(shape), 3, name)
            self.assertEqual(folder.rows(path), rows, name)
            left -= {path + part for part in (".weight", ".scales", ".biases")}
        self.assertEqual(left, set())
        return folder, said

    def test_demo_model(self):
        folder, said = self.compare(DEMO, self.dir / "both", "q4_0", "int4", "q8_0")
        config = folder.config
        self.assertEqual((config["model_type"], config["torch_dtype"]), ("phi3", "float16"))
        self.assertEqual(config["quantization"], {"group_size": 32, "bits": 4, "mode": "affine",
                                                  "lm_head": {"group_size": 32, "bits": 8}})
        for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "generation_config.json"):
            self.assertTrue((folder.folder / name).exists(), name)
        # Quantized once for both: as many values as for the GGUF alone.
        alone = run_json("quantfleet", "quantize", DEMO, "--target", "gguf:q4_0", "--output-type", "q8_0", "--out",
                         self.dir / "alone", "--json")
        norms = 9 * 256  # F16 in MLX, F32 in GGUF
        self.assertEqual(said["values_encoded"], alone["values_encoded"] + norms)

    def test_norms_of_gemma_are_kept_as_published(self):
        """w, which MLX computes with as w + 1; w + 1 in the GGUF. And the same from that GGUF."""
        for name, count in (("gemma", 5), ("gemma2", 3 * 4 + 1), ("gemma3", 7 * 6 + 1)):
            with self.subTest(name):
                self.check_norms(name, count)

    def check_norms(self, name, count):
        source = self.dir / name
        families.write(name, source)
        out, more = self.dir / f"{name}-made", self.dir / f"{name}-again"
        run("quantfleet", "quantize", source, "--target", "gguf:f32", "--target", "mlx:bf16", "--out", out)
        gguf = out / "gguf-f32/model.gguf"
        run("quantfleet", "quantize", gguf, "--target", "mlx:bf16", "--out", more)
        header, data = read_safetensors(source / "model.safetensors")
        rows, folders = gguf_rows(gguf), [MlxFolder(folder / "mlx-bf16") for folder in (out, more)]
        norms = [name for name in header if name.endswith("norm.weight")]
        self.assertEqual(len(norms), count)
        for name in norms:
            begin, end = header[name]["data_offsets"]
            self.assertEqual(folders[0].tensors[name][2], data[begin:end], name)
            published = folders[0].rows(name.removesuffix(".weight"))[0]
            self.assertEqual([struct.unpack("<f", struct.pack("<f", w + 1))[0] for w in published], list(rows[name][0]))
            for w, v in zip(published, folders[1].rows(name.removesuffix(".weight"))[0]):
                self.assertAlmostEqual(w, v, delta=1e-6)
        self.assertEqual(folders[0].config["hidden_act"], "gelu_pytorch_tanh")
        theirs = json.loads((source / "config.json").read_text())
        for key in ("head_dim", "query_pre_attn_scalar", "sliding_window", "sliding_window_pattern", "rope_local_base_freq",
                    "attn_logit_softcapping", "final_logit_softcapping", "rope_theta", "model_type"):
            if theirs.get(key) is not None:
                self.assertEqual(folders[0].config[key], theirs[key], key)

    def test_every_architecture(self):
        for family in ("phi35-mini", "phi4-mini", "llama2", "llama32", "qwen2", "qwen25-tied", "qwen3", "qwen3-tied", "qwen3moe",
                       "phi35-moe", "phi2", "granite", "smollm3"):
            source = self.dir / family
            families.write(family, source, dtypes=("BF16", "F32"))
            for gguf, mlx, head in SAME:
                with self.subTest(family, mlx=mlx):
                    folder, _ = self.compare(source, self.dir / f"{family}-{mlx}", gguf, mlx, head)
                    theirs = json.loads((source / "config.json").read_text())
                    for key in ("model_type", "hidden_size", "num_hidden_layers", "intermediate_size", "rope_theta",
                                "num_attention_heads", "num_key_value_heads", "vocab_size", "tie_word_embeddings",
                                "max_position_embeddings"):
                        self.assertEqual(folder.config[key], theirs[key], key)
                    scaling, original = folder.config["rope_scaling"], theirs["rope_scaling"] \
                        if "rope_scaling" in theirs else None
                    self.assertEqual(scaling is None, original is None)
                    for key in set(original or ()) - {"type", "rope_type"}:
                        if isinstance(original[key], float):  # as F32, which is what it is computed with
                            self.assertEqual(struct.pack("f", scaling[key]), struct.pack("f", original[key]), key)
                        else:
                            self.assertEqual(scaling[key], original[key], key)

    def test_groups_with_biases_are_those_of_mlx(self):
        """-asym is mlx.core.quantize's own scheme: each scale, bias and code of a module is what that finds."""
        for target, size, bits, head in (("int4-g64-asym-pure", 64, 4, 4), ("int4-g128-asym", 128, 4, 8),
                                         ("int8-asym", 32, 8, 8)):
            with self.subTest(target):
                run("quantfleet", "quantize", DEMO, "--target", f"mlx:{target}", "--out", self.dir)
                folder = MlxFolder(self.dir / f"mlx-{target}")
                other = {} if head == bits else {"lm_head": {"group_size": size, "bits": head}}
                self.assertEqual(folder.config["quantization"], {"group_size": size, "bits": bits, "mode": "affine", **other})
                for path in ("model.layers.1.mlp.down_proj", "model.layers.0.self_attn.o_proj"):
                    self.assertEqual(folder.groups(path), quantized(self.source(DEMO, path), size, bits), path)
                self.assertEqual(folder.quantization("lm_head"), (size, head))
                want = self.source(DEMO, "lm_head")[:256 * 40]
                self.assertEqual(folder.groups("lm_head")[:len(want) // size], quantized(want, size, head))

    def test_groups_with_biases_of_other_architectures(self):
        """Every group of every module, as above."""
        for family in ("llama32", "qwen2"):
            families.write(family, self.dir / family)
            run("quantfleet", "quantize", self.dir / family, "--target", "mlx:int4-g64-asym", "--out", self.dir / "out",
                "--force")
            folder, count = MlxFolder(self.dir / "out/mlx-int4-g64-asym"), 0
            for path in (name.removesuffix(".scales") for name in folder.tensors if name.endswith(".scales")):
                size, bits = folder.quantization(path)
                groups = quantized(self.source(self.dir / family, path), size, bits)
                self.assertEqual(folder.groups(path), groups, path)
                count += len(groups)
            self.assertGreater(count, 4000)
            print(f"{family} mlx:int4-g64-asym: {count} groups are MLX's", file=sys.stderr)

    def source(self, folder, path):
        """A weight of a folder in BF16, row after row."""
        header, data = read_safetensors(folder / "model.safetensors")
        entry = header[path + ".weight"]
        self.assertEqual(entry["dtype"], "BF16")
        begin, end = entry["data_offsets"]
        return struct.unpack(f"<{(end - begin) // 2}f", b"".join(b"\0\0" + data[i:i + 2] for i in range(begin, end, 2)))

    def test_rows_that_groups_do_not_divide_get_smaller_ones(self):
        """Rows of 192 have no groups of 128: those of 64 are taken, and said, unless another type is named."""
        families.write("qwen2", self.dir / "qwen")
        for name, options, want in (("plain", (), {"group_size": 64, "bits": 4}),
                                    ("i8", ("--tensor-type", "role:ffn_down=i8_g64"), {"group_size": 64, "bits": 8}),
                                    ("f16", ("--tensor-type", "role:ffn_down=f16"), None)):
            said = run("quantfleet", "quantize", self.dir / "qwen", "--target", "mlx:int4-g128", *options, "--out",
                       self.dir / name).stderr
            self.assertEqual("a4_g64" in said or "i4_g64" in said, name == "plain", said)
            folder = MlxFolder(self.dir / name / "mlx-int4-g128")
            config = folder.config["quantization"]
            self.assertEqual((config["group_size"], config["bits"]), (128, 4))
            self.assertEqual(config.get("model.layers.1.mlp.down_proj"), want)
            self.assertEqual(len(folder.rows("model.layers.1.mlp.down_proj")[0]), 192)

    def test_inspect_verifies_the_folder(self):
        run("quantfleet", "quantize", DEMO, "--target", "mlx:int4", "--out", self.dir / "out")
        said = run_json("quantfleet", "inspect", self.dir / "out/mlx-int4", "--json")
        self.assertTrue(said["verified"])
        stored = {t["name"]: t for t in said["tensors"]}
        self.assertEqual(stored["lm_head.weight"]["dtype"], "U32")
        self.assertEqual(stored["lm_head.weight"]["shape"], [2048, 64])
        shard = self.dir / "out/mlx-int4/model.safetensors"
        raw = bytearray(shard.read_bytes())
        raw[-1] ^= 1
        shard.write_bytes(raw)
        self.assertIn("model.safetensors", run("quantfleet", "inspect", shard.parent, check=False).stderr)

    def test_what_mlx_cannot_hold_is_refused_before_writing(self):
        def refused(source, *options):
            return refusal(self, self.dir / "out", source, "mlx:int4", *options)
        said = refused(DEMO, "--tensor-type", "role:ffn_down=q6_k")
        self.assertIn("model.layers.0.mlp.down_proj.weight", said)
        self.assertIn("q8_0", said)
        odd = self.dir / "odd"
        families.write("llama2", odd, sizes={"intermediate": 200})
        # What no groups divide stays at half precision.
        said = run("quantfleet", "quantize", odd, "--target", "mlx:int4", "--out", self.dir / "kept").stderr
        self.assertIn("mlp.down_proj.weight gets f16", said)
        self.assertEqual(MlxFolder(self.dir / "kept/mlx-int4").tensors["model.layers.0.mlp.down_proj.weight"][0], "F16")


class AsMlxLm(unittest.TestCase):
    """mlx-lm's own converter makes the same folder of the same model, and its programs take ours."""

    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-mlx-lm-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def mlx_lm(self, *words):
        done = subprocess.run([RUNTIMES / "installed/venv/bin/python", "-m", "mlx_lm", *map(str, words)], capture_output=True,
                              text=True, timeout=200 * SLOW, stdin=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def both(self, name, recipe, *how):
        """The folder of the recipe, and what mlx-lm makes of the same source, whose weights are F16: it quantizes what it has
        rounded to the folder's float type."""
        source = self.dir / name
        families.write(name, source, dtypes=("F16",), torch_dtype="float16")
        run("quantfleet", "quantize", source, "--target", f"mlx:{recipe}", "--out", self.dir / f"{name}-ours")
        theirs = self.dir / f"{name}-{recipe}-theirs"
        self.mlx_lm("convert", "--hf-path", source, "--mlx-path", theirs, *how)
        return self.dir / f"{name}-ours/mlx-{recipe}", theirs

    def test_folders_are_those_of_its_converter(self):
        for name in ("llama2", "qwen2", "phi3-mini-4k", "gemma2") if THOROUGH else ("qwen2",):
            with self.subTest(name):
                made, theirs = (MlxFolder(folder) for folder in self.both(name, "int4-g64-asym-pure", "-q"))
                self.assertEqual(made.tensors, theirs.tensors)
                self.assertEqual(made.weight_map, theirs.weight_map)
                self.assertEqual(made.metadata, theirs.metadata)
                # Ours are the tokenizer's own ids, and the rotary scaling under both its names.
                ours = ("rope_scaling", "bos_token_id", "eos_token_id", "pad_token_id")
                self.assertEqual({k: v for k, v in theirs.config.items() if k not in ours},
                                 {k: made.config[k] for k in theirs.config if k not in ours})
                self.assertEqual({"tokenizer.json", "tokenizer_config.json"} - {p.name for p in made.folder.iterdir()}, set())

    @unittest.skipUnless(THOROUGH, "takes minutes")
    def test_its_programs_take_our_folders(self):
        source, out = self.dir / "qwen2", self.dir / "out"
        families.write("qwen2", source)
        for recipe in ("fp16", "int4", "int4-g64-asym"):
            run("quantfleet", "quantize", source, "--target", f"mlx:{recipe}", "--out", out)
            folder = out / f"mlx-{recipe}"
            said = self.mlx_lm("generate", "--model", folder, "--prompt", "the", "--max-tokens", 8, "--ignore-chat-template")
            self.assertIn("Generation: ", said)
            self.assertEqual(run("quantfleet", "inspect", folder).returncode, 0)
            if recipe == "fp16":
                continue
            plain = self.dir / f"{recipe}-plain"
            self.mlx_lm("convert", "--hf-path", folder, "--mlx-path", plain, "--dequantize", "--dtype", "float32")
            made, theirs = MlxFolder(folder), read_safetensors(plain / "model.safetensors")
            path = "model.layers.1.mlp.down_proj"
            begin, end = theirs[0][path + ".weight"]["data_offsets"]
            values = struct.unpack(f"<{(end - begin) // 4}f", theirs[1][begin:end])
            for ours, value in zip((v for row in made.rows(path) for v in row), values, strict=True):
                self.assertAlmostEqual(ours, value, delta=1e-3 * abs(ours) + 1e-6)


if __name__ == "__main__":
    unittest.main()
