"""Quantized checkpoints as sources: each kind that publishers ship, from folder to GGUF, with the values it stands for."""
import json
import random
import shutil
import tempfile
import unittest
from pathlib import Path

import packed_weights as packed
from harness import read_safetensors, run, run_json, write_safetensors
from hf_weights import gguf_rows
from mlx_files import MlxFolder

QUOTED = "quantized already"


def fp8_config(**more):
    return {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic", **more}}


def compressed_config(layout, **weights):
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}
    return {"quantization_config": {"quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"],
                                    "config_groups": groups}}


def gptq_config(bits, group, **more):
    return {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": group, **more}}


AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}}


class QuantizedSources(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-quantized-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.rng = random.Random(7)

    def model(self, config, pack, everything=False):
        """A tiny Qwen 2 whose layers' matrices (and embedding and head) `pack` made; and the values of those."""
        folder = self.dir / "model"
        shutil.rmtree(folder, ignore_errors=True)
        run("tiny_model", folder, "qwen2", "hidden=64", "intermediate=96", "layers=1")
        header, data = read_safetensors(folder / "model.safetensors")
        out, raw, expected = {}, b"", {}
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            begin, end = tensor["data_offsets"]
            tensors = {name: (tensor["dtype"], tensor["shape"], data[begin:end])}
            if name.endswith("_proj.weight") or everything and len(tensor["shape"]) == 2:
                tensors, expected[name] = pack(self.rng, name, *tensor["shape"])
            for part, (dtype, shape, content) in tensors.items():
                out[part] = {"dtype": dtype, "shape": shape, "data_offsets": [len(raw), len(raw) + len(content)]}
                raw += content
        write_safetensors(folder / "model.safetensors", out, raw)
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        return folder, expected

    def check(self, config, pack, **more):
        folder, expected = self.model(config, pack, **more)
        out = self.dir / "out"
        said = run("quantfleet", "quantize", folder, "--target", "gguf:f32", "--target", "gguf:q8_0", "--out", out,
                   "--force")
        self.assertEqual(said.stderr.count(QUOTED), 1, said.stderr)
        rows = gguf_rows(out / "gguf-f32/model.gguf")
        self.assertGreaterEqual(len(expected), 7)
        for name, want in expected.items():
            self.assertEqual(rows[name], want, name)

    def test_fp8(self):
        for scales, dtype, suffix, config in (
                ("tensor", "F32", "_scale", fp8_config()),
                ("channel", "BF16", "_scale", compressed_config("float-quantized", num_bits=8, type="float",
                                                                strategy="channel")),
                ((48, 32), "F32", "_scale_inv", fp8_config(weight_block_size=[48, 32])),
                ((128, 128), "BF16", "_scale", compressed_config("float-quantized", num_bits=8, type="float",
                                                                 strategy="block", block_structure=[128, 128]))):
            with self.subTest(scales):
                def pack(rng, name, rows, cols):
                    tensors, values = packed.fp8(rng, name, rows, cols, scales, dtype, suffix)
                    tensors[name.removesuffix("weight") + "input_scale"] = ("F32", [1], bytes(4))
                    return tensors, values
                self.check(config, pack)

    def test_compressed_tensors(self):
        for bits, group, dtype, points, order in ((4, 32, "BF16", False, False), (4, 32, "F16", False, False),
                                                  (8, None, "BF16", False, False), (4, 32, "BF16", True, False),
                                                  (8, 32, "F32", True, True), (3, 32, "BF16", True, False),
                                                  (4, 32, "F16", False, True)):
            with self.subTest(bits=bits, group=group, dtype=dtype, points=points, order=order):
                config = compressed_config("pack-quantized", num_bits=bits, type="int", group_size=group,
                                           strategy="group" if group else "channel", symmetric=not points,
                                           actorder="group" if order else None)
                self.check(config, lambda *w: packed.compressed(*w, bits, group, dtype, points, order))

    def test_compressed_tensors_with_a_byte_for_each_code(self):
        for scales, points, dtype, order in (("channel", False, "BF16", False), ("tensor", False, "F32", False),
                                             (32, False, "F16", False), ("channel", True, "BF16", False),
                                             ("tensor", True, "BF16", False), (32, True, "BF16", False),
                                             (32, True, "F32", True)):
            with self.subTest(scales=scales, points=points, dtype=dtype, order=order):
                config = compressed_config("int-quantized", num_bits=8, type="int", symmetric=not points,
                                           group_size=scales if scales == 32 else None,
                                           strategy="group" if scales == 32 else scales)

                def pack(rng, name, rows, cols):
                    tensors, values = packed.int8(rng, name, rows, cols, scales, points, dtype, order)
                    tensors[name.removesuffix("weight") + "input_scale"] = ("BF16", [1], bytes(2))
                    tensors[name.removesuffix("weight") + "input_zero_point"] = ("I8", [1], bytes(1))
                    return tensors, values
                self.check(config, pack)

    def test_gptq(self):
        for bits, order, config in ((4, False, {}), (4, True, {"desc_act": True}), (8, False, {}), (3, False, {}),
                                    (2, True, {}), (4, True, {"checkpoint_format": "gptq_v2"})):
            with self.subTest(bits=bits, order=order, config=config):
                self.check(gptq_config(bits, 32, **config),
                           lambda *w: packed.gptq(*w, bits, 32, order, "checkpoint_format" not in config))

    def test_awq(self):
        self.check(AWQ, lambda *w: packed.awq(*w, 32))

    def test_mlx(self):
        for bits, dtype in ((2, "BF16"), (3, "F16"), (4, "F16"), (4, "BF16"), (5, "F32"), (6, "BF16"), (8, "F16")):
            with self.subTest(bits=bits, dtype=dtype):
                # The embedding is quantized too, some modules have other bits, and one has none.
                config = {"quantization": {"group_size": 32, "bits": bits, "mode": "affine",
                                           "model.embed_tokens": {"group_size": 64, "bits": 8}}}

                def pack(rng, name, rows, cols):
                    return packed.mlx(rng, name, rows, cols, *((8, 64) if "embed" in name else (bits, 32)), dtype)
                self.check(config, pack, everything=True)

    def test_mxfp4(self):
        def as_mlx(rng, name, rows, cols):
            codes, exponents, values = packed.mxfp4(rng, rows, cols)
            return {name: ("U32", [rows, cols // 8], codes),
                    name.removesuffix("weight") + "scales": ("U8", [rows, cols // 32], exponents)}, values

        def as_compressed(rng, name, rows, cols):
            codes, exponents, values = packed.mxfp4(rng, rows, cols)
            return {name + "_packed": ("U8", [rows, cols // 2], codes),
                    name + "_scale": ("U8", [rows, cols // 32], exponents)}, values

        def as_blocks(rng, name, rows, cols):
            codes, exponents, values = packed.mxfp4(rng, rows, cols)
            return {name + "_blocks": ("U8", [rows, cols // 32, 16], codes),
                    name + "_scales": ("U8", [rows, cols // 32], exponents)}, values
        self.check({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}, as_mlx)
        self.check(compressed_config("mxfp4-pack-quantized", num_bits=4, type="float", group_size=32), as_compressed)
        self.check({"quantization_config": {"quant_method": "mxfp4"}}, as_blocks)

    def test_codes_that_a_target_has_are_kept(self):
        """What MLX and GPTQ have found is what their own and other folders get, to the last code and scale."""
        folder, expected = self.model({"quantization": {"group_size": 32, "bits": 4}},
                                      lambda *w: packed.mlx(*w, 4, 32, "F16"), everything=True)
        said = run("quantfleet", "quantize", folder, "--target", "mlx:int4-asym-pure", "--out", self.dir / "mlx")
        self.assertNotIn(QUOTED, said.stderr)
        made = MlxFolder(self.dir / "mlx/mlx-int4-asym-pure")
        header, data = read_safetensors(folder / "model.safetensors")
        for name, rows in expected.items():
            for part in (".weight", ".scales", ".biases"):
                stored = name.removesuffix(".weight") + part
                begin, end = header[stored]["data_offsets"]
                self.assertEqual(made.tensors[stored][2], data[begin:end], stored)
            self.assertEqual([tuple(map(packed.f32, row)) for row in made.rows(name.removesuffix(".weight"))], rows, name)
        folder, expected = self.model(gptq_config(4, 32), lambda *w: packed.gptq(*w, 4, 32))
        run("quantfleet", "quantize", folder, "--target", "onnx:int4-asym", "--target", "gguf:f32", "--out",
            self.dir / "onnx")
        said = run_json("quantfleet", "quantize", folder, "--target", "onnx:int4-asym", "--dry-run", "--json")
        tensors = run_json("quantfleet", "inspect", folder, "--json")["tensors"]
        self.assertEqual({t["name"]: (t["dtype"], t["quantized"]) for t in tensors if "quantized" in t},
                         dict.fromkeys(expected, ("u4_g32", "gptq")))
        schemes = {t["name"]: t["scheme"] for t in said["targets"][0]["tensors"]}
        self.assertIn("u4_g32", schemes.values())


if __name__ == "__main__":
    unittest.main()
