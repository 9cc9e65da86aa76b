"""Groups of other sizes than GGUF's and zero points: int4 and int8 with -g64, -g128, -asym, in the folders of ONNX Runtime,
OpenVINO and MLX. What two formats share has the same values in both, quantized once; what OpenVINO calculates is what our
engine finds on the weights that a reader decoded."""
import json
import sys
import unittest
from array import array

import test_openvino
from decoded_model import write_values
from harness import DEMO, HELD_OUT, ROOT, THOROUGH, read_safetensors, refusal, run, run_json
from hf_weights import onnx_rows
from judge import install_runtimes, runtimes
from mlx_files import MlxFolder
from openvino_files import IrModel, decoded

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

WIDE = {"hidden": 256, "intermediate": 384}  # rows that groups of 128 divide
# The tiny models have rows of 128 and 192: of groups of 64 an odd number, whose zero points of 4 bits do not end with a byte.
JUDGED = ("int4-g64-asym", "int8-g64-asym") + (("int4-asym", "int4-g64", "int8-g64", "int8-asym") if THOROUGH else ())


def loss(recipe):
    """What 4 bits may add to the demo model's mean NLL: it has columns of large weights, which large groups around the
    middle feel most."""
    return 0.5 if recipe.startswith(("int4-g64", "int4-g128")) and "asym" not in recipe else 0.1


class GroupsTest(test_openvino.OpenVinoTest):
    def quantize_to(self, out, source, *targets, options=()):
        said = run_json("quantfleet", "quantize", source, *(word for t in targets for word in ("--target", t)), *options,
                        "--out", out, "--json")
        return said, [out / t.replace(":", "-") for t in targets]

    def family(self, name, **kwargs):
        source = self.dir / name
        return source, families.write(name, source, **kwargs)

    def decoded_nll(self, out, source, ids, rows_of):
        """What our engine finds on these values of every weight, in F32."""
        header, _ = read_safetensors(source / "model.safetensors")
        write_values(source, out / "decoded", {name: array("f", [v for row in rows_of(name) for v in row]).tobytes()
                                               for name in header if name != "__metadata__"})
        self.quantize_to(out, out / "decoded", "gguf:f32")
        return self.ours(out / "gguf-f32/model.gguf", ids)


class Shared(GroupsTest):
    def test_groups_around_the_middle_are_the_same_in_three_formats(self):
        for name, recipe, head, sizes in (("qwen2", "int4-g64", "i8_g64", {}), ("qwen25-tied", "int8-g64", "i8_g64", {}),
                                          ("llama2", "int4-g128", "i8_g128", WIDE)):
            with self.subTest(name, recipe=recipe):
                source, _ = self.family(name, dtypes=("BF16", "F32"), sizes=sizes)
                targets = [f"{format}:{recipe}" for format in ("onnx", "openvino", "mlx")]
                types = ("--output-type", head, "--embedding-type", head)
                said, folders = self.quantize_to(self.dir / f"{name}-out", source, *targets, options=types)
                alone, _ = self.quantize_to(self.dir / f"{name}-alone", source, targets[0], options=types)
                onnx, model, mlx = onnx_rows(folders[0]), IrModel(folders[1]), MlxFolder(folders[2])
                narrow = 0  # norms and biases, which MLX wants in F16
                for module in {name.rsplit(".", 1)[0] for name in mlx.tensors}:
                    weight = module + ".weight"
                    narrow += sum(mlx.tensors[n][1][0] for n in (weight, module + ".bias")
                                  if n in mlx.tensors and len(mlx.tensors[n][1]) == 1)
                    if module + ".scales" not in mlx.tensors:
                        continue
                    rows = model.rows(weight)
                    self.assertEqual(mlx.rows(module), rows, weight)
                    if weight in onnx:
                        self.assertEqual(onnx[weight], rows, weight)
                qkv = [sum((model.rows(f"model.layers.{i}.self_attn.{w}_proj.weight") for w in "qkv"), []) for i in range(2)]
                self.assertEqual(qkv, [onnx[f"model.layers.{i}.self_attn.qkv_proj.weight"] for i in range(2)])
                self.assertEqual(said["values_encoded"], alone["values_encoded"] + narrow)

    def test_zero_points_are_the_same_in_two_formats(self):
        for name, recipe, head, sizes in (("qwen2", "int4-asym", "u8_g32", {}), ("qwen2", "int8-g64-asym", "u8_g64", {}),
                                          ("llama2", "int4-g64-asym", "u8_g64", WIDE)):
            with self.subTest(name, recipe=recipe):
                source, _ = self.family(name, sizes=sizes)
                targets = [f"{format}:{recipe}" for format in ("onnx", "openvino")]
                types = ("--embedding-type", head)
                said, folders = self.quantize_to(self.dir / f"{recipe}-out", source, *targets, options=types)
                alone, _ = self.quantize_to(self.dir / f"{recipe}-alone", source, targets[0], options=types)
                onnx, model = onnx_rows(folders[0]), IrModel(folders[1])
                same = [n for n in onnx if n in model.by_name and n.endswith(".weight")]
                self.assertGreater(len(same), 10)
                for weight in same:
                    self.assertEqual(onnx[weight], model.rows(weight), weight)
                self.assertEqual(said["values_encoded"], alone["values_encoded"])

    def test_codes_with_zero_points_are_the_nearest(self):
        """No weight of an OpenVINO folder is further from the source's than half a step."""
        _, (folder,) = self.quantize_to(self.dir, DEMO, "openvino:int4-g128-asym")
        model = IrModel(folder)
        header, data = read_safetensors(DEMO / "model.safetensors")
        for weight, kind in (("model.layers.1.mlp.down_proj.weight", "u4"), ("lm_head.weight", "u8")):
            self.assertEqual(model.by_name[weight].data["element_type"], kind)
            begin, end = header[weight]["data_offsets"]
            source = decoded("f32", b"".join(b"\0\0" + data[i:i + 2] for i in range(begin, end, 2)))
            scales = decoded("f16", model.constant(model.by_name[weight + "/scale"])[2])
            values = [v for row in model.rows(weight) for v in row]
            # The code was found with the scale before it was rounded to 11 bits.
            off = max(abs(v - x) / (scales[i // 128] * (0.5 + 0.0005 * (15 if kind == "u4" else 255)))
                      for i, (v, x) in enumerate(zip(values, source)))
            self.assertLess(off, 1, weight)
            self.assertGreater(off, 0.8, weight)

    def test_nothing_depends_on_threads_memory_or_a_kill(self):
        command = ["quantfleet", "quantize", DEMO, "--json"]
        for target in ("onnx:int4-g128-asym", "openvino:int4-g128-asym", "mlx:int4-g128-asym"):
            command += ["--target", target]

        def digests(name, *options):
            return [t["manifest_digest"] for t in run_json(*command, "--out", self.dir / name, *options)["targets"]]
        whole = digests("a", "--threads", 1)
        self.assertEqual(digests("b", "--threads", 3, "--memory", 16), whole)
        killed = run(*command, "--out", self.dir / "c", "--resume", check=False,
                     env={"QUANTFLEET_FAIL_POINT": "slab-after-store:40"})
        self.assertEqual(killed.returncode, -9)
        self.assertEqual(digests("c", "--resume"), whole)


class Decoded(GroupsTest):
    def test_mlx_weights_in_our_engine(self):
        """What a reader decodes of an MLX folder still makes a model: its likelihood is near the source's."""
        self.quantize_to(self.dir, DEMO, "gguf:f32")
        gguf = self.dir / "gguf-f32/model.gguf"
        ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", HELD_OUT, "--json")["tokens"][:120]
        whole = self.ours(gguf, ids)
        for recipe in ("int4-g64-asym-pure",) + (("int4", "int8", "int4-g64-asym", "int4-g128-asym", "int8-g64-asym",
                                                  "int4-g64", "int4-g128") if THOROUGH else ()):
            with self.subTest(recipe):
                out = self.dir / recipe
                _, (folder,) = self.quantize_to(out, DEMO, f"mlx:{recipe}")
                mlx = MlxFolder(folder)
                nll = self.decoded_nll(out, DEMO, ids, lambda name: mlx.rows(name[:-len(".weight")]))
                print(f"mean NLL demo mlx:{recipe}: source {whole:.6f}, decoded {nll:.6f}", file=sys.stderr)
                self.assertLess(abs(nll / whole - 1), loss(recipe))


class InOpenVino(GroupsTest):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)

    def judge_groups(self, name, source, ids, recipe):
        """OpenVINO against our engine on what the reader decodes of the same folder; returns the engine's likelihood."""
        out = self.dir / f"{name}-{recipe}"
        _, (folder,) = self.quantize_to(out, source, f"openvino:{recipe}")
        model = self.check_graph(folder, json.loads((folder / "config.json").read_text()))
        ours = self.decoded_nll(out, source, ids, model.rows)
        (out / "ids.json").write_text(json.dumps(ids))
        run("logits", out / "gguf-f32/model.gguf", out / "ids.json", 512, out / "logits")
        said = runtimes["openvino"](folder, "compare", out / "ids.json", out / "logits")
        print(f"{name} openvino:{recipe}: ours {ours:.4f}, OpenVINO's logits " +
              ", ".join(f"{way} {d['max']:.1e} / {d['kl']:.1e}" for way, d in said.items()), file=sys.stderr)
        for way in ("whole", "parts", "single"):
            self.assertLess(said[way]["max"], 1e-3, way)
            self.assertLess(said[way]["kl"], 1e-9, way)
        return ours

    def test_demo_model(self):
        source = run_json("quantfleet", "quantize", DEMO, "--target", "gguf:f32", "--out", self.dir, "--json")
        gguf = self.dir / source["targets"][0]["name"] / "model.gguf"
        ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", HELD_OUT, "--json")["tokens"][:120]
        whole = self.ours(gguf, ids)
        for recipe in ("int4-g128-asym",) + (("int4-g64-asym", "int4-g64-asym-pure", "int4-g128", "int8-g128")
                                             if THOROUGH else ()):
            with self.subTest(recipe):
                judged = self.judge_groups("demo", DEMO, ids, recipe)
                self.assertLess(abs(judged / whole - 1), loss(recipe))

    def test_every_architecture(self):
        more = ("phi35-mini", "llama32", "mistral", "qwen25-tied") if THOROUGH else ()
        for name in ("phi3-medium", "llama2", "qwen2") + more:
            source, made = self.family(name)
            ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(60)]
            for recipe in JUDGED:
                with self.subTest(name, recipe=recipe):
                    self.judge_groups(name, source, ids, recipe)


class Refused(GroupsTest):
    def refused_said(self, target, source, *options):
        return refusal(self, self.dir / "out", source, target, *options)

    def test_openvino_takes_smaller_groups_where_larger_ones_do_not_divide_or_pack(self):
        # Rows of 192: three groups of 64, whose 4-bit zero points do not end with a byte, and no whole number of groups of 128.
        source, _ = self.family("qwen2")
        # Rows of 96 have three groups of 32; an odd number of such rows would end within a byte, but not in groups of 16.
        # Rows of 48 have three groups of 16, so that only 8 bits are left.
        small, _ = self.family("llama2", sizes={"hidden": 96, "intermediate": 97})
        narrow = self.dir / "narrow"
        families.write("llama2", narrow, sizes={"hidden": 48, "intermediate": 97})
        ninety_six, _ = self.family("mistral", sizes={"intermediate": 96})
        types = {}
        for name, made, target, options in (
                ("npu", ninety_six, "int4-npu", ()), ("points", source, "int4-g64-asym", ()), ("middle", source, "int4-g128", ()),
                ("named", source, "int4", ("--tensor-type", "role:ffn_down=u4_g128")),
                ("kept", source, "int4-g64-asym", ("--tensor-type", "role:ffn_down=u8_g64")),
                ("small", small, "int4-g64-asym", ()), ("bits", narrow, "int4-g64-asym", ())):
            _, (folder,) = self.quantize_to(self.dir / name, made, f"openvino:{target}", options=options)
            model = IrModel(folder)
            seen = model.by_name[f"model.layers.0.mlp.{'up' if made in (small, narrow) else 'down'}_proj.weight"].data
            types[name] = seen["element_type"], int(seen["shape"].split(",")[-1])
            self.assertEqual(model.by_name["model.layers.0.self_attn.q_proj.weight"].data["element_type"],
                             "u4" if "asym" in target else "i4")
        self.assertEqual(types, {"npu": ("i8", 32), "points": ("u4", 64), "middle": ("i4", 64), "named": ("u4", 64),
                                 "kept": ("u8", 64), "small": ("u4", 16), "bits": ("u8", 16)})

    def test_zero_points_of_an_odd_number_of_groups_are_the_nearest_again_when_read(self):
        """Packed without regard to rows, whatever the order of the rows and the way they are cut into pieces."""
        source, _ = self.family("llama2", sizes={"intermediate": 192})
        run("quantfleet", "quantize", source, "--target", "gguf:f16", "--out", self.dir / "gguf")  # turns rows of q and k
        folders = []
        for name, made in (("hf", source), ("turned", self.dir / "gguf/gguf-f16/model.gguf")):
            _, (folder, onnx) = self.quantize_to(self.dir / name, made, "openvino:int4-g64-asym", "onnx:int4-g64-asym")
            folders.append((folder / "openvino_model.bin").read_bytes())
            model, rows = IrModel(folder), onnx_rows(onnx)
            weight = "model.layers.0.mlp.down_proj.weight"
            self.assertEqual(model.by_name[weight].data["shape"], "128, 3, 64")
            self.assertEqual(model.rows(weight), rows[weight])
        self.assertEqual(folders[0], folders[1])

    def test_openvino_refuses_types_that_it_does_not_hold(self):
        source, _ = self.family("qwen2")
        self.assertIn("a4_g64", self.refused_said("openvino:int4", source, "--tensor-type", "role:attn_q=a4_g64"))

    def test_options_have_one_order_and_gguf_has_none(self):
        for target in ("openvino:int4-asym-g64", "mlx:int4-g32", "openvino:int4-g64-g64", "mlx:fp16-g64", "gguf:int4-g64"):
            done = run("quantfleet", "quantize", DEMO, "--target", target, "--out", self.dir / "out", check=False)
            self.assertEqual(done.returncode, 2, target)
            self.assertIn("-g128 or -g256", done.stderr)

    def test_inspect_lists_zero_points(self):
        _, (folder,) = self.quantize_to(self.dir, DEMO, "openvino:int4-g64-asym")
        (folder / "openvino_own.xml").write_text("<net/>")  # as somebody adds it afterwards
        said = run_json("quantfleet", "inspect", folder, "--json")
        self.assertTrue(said["verified"])
        stored = {t["name"]: (t["dtype"], t["shape"]) for t in said["tensors"]}
        self.assertEqual([stored["model.layers.0.mlp.down_proj.weight" + part] for part in ("", "/scale", "/zero_point")],
                         [("u4", [256, 12, 64]), ("f16", [256, 12, 1]), ("u4", [256, 12, 1])])
        self.assertEqual(stored["lm_head.weight/zero_point"], ("u8", [2048, 4, 1]))
        self.assertNotIn("i32", {dtype for dtype, _ in stored.values()})  # the tokenizer's tables, which are no tensors


if __name__ == "__main__":
    unittest.main()
