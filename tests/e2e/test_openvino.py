"""OpenVINO folders: a checker walks the graph (openvino_files.py), and weights are those of every format. What the graphs
calculate is asked of OpenVINO itself in test_runtimes.py, test_groups.py and test_openvino_pipelines.py."""
import json
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

from harness import DEMO, ROOT, read_safetensors, refusal, run, run_json, write_safetensors
from hf_weights import gguf_rows, onnx_rows
from mlx_files import MlxFolder
from openvino_files import STEPS, IrModel

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# What stands for one another: an OpenVINO target, the GGUF of the same codes, the type of embedding and head.
SAME = (("fp16", "f16", "f16"), ("int8", "q8_0", "q8_0"), ("int4", "q4_0", "q8_0"))


class OpenVinoTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-openvino-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def quantize(self, source, out, openvino, gguf, high):
        said = run_json("quantfleet", "quantize", source, "--target", f"openvino:{openvino}", "--target", f"gguf:{gguf}",
                        "--output-type", high, "--embedding-type", high, "--out", out, "--json")
        return said, out / f"openvino-{openvino}", out / f"gguf-{gguf}/model.gguf"

    def tokens(self, ids, name="ids"):
        path = self.dir / f"{name}.txt"
        path.write_text(",".join(map(str, ids)))
        return path

    def ours(self, gguf, ids, context=512):
        said = run_json("quantfleet-agent", "eval", "--float-activations", "--kv-type", "f32", gguf,
                        "--tokens-file", self.tokens(ids), "--context", context, "--json")
        self.assertEqual(said["tokens"], len(ids))
        return said["mean_nll"]

    def check_graph(self, folder, config):
        """The checker on several sizes; inputs, outputs and state are what callers expect."""
        model = IrModel(folder)
        self.assertEqual(set(model.parameters()), {"input_ids", "attention_mask", "position_ids", "beam_idx"})
        self.assertEqual(set(model.results()), {"logits"})
        self.assertEqual(set(model.variables), {f"past_key_values.{i}.{what}present.{i}.{what}" for what in ("key", "value")
                                                for i in range(config["num_hidden_layers"])})
        for batch, now, past in STEPS:
            logits, = model.step(batch, now, past)["logits"]
            self.assertEqual(logits.shape, [batch, now, config["vocab_size"]])
        return model


class Graphs(OpenVinoTest):
    def test_every_architecture(self):
        for family in ("phi3-medium", "phi35-mini", "phi4-mini", "llama2", "llama32", "mistral", "qwen2", "qwen25-tied",
                       "qwen3", "qwen3-tied", "qwen3moe", "phimoe-mini", "phi35-moe", "gpt-oss", "phi2", "granite",
                       "granite-untied", "smollm3", "gemma", "gemma-mha", "gemma2", "gemma3"):
            with self.subTest(family):
                source, out = self.dir / family, self.dir / f"{family}-out"
                families.write(family, source)
                targets = ("fp16", "int8", "int4")
                run("quantfleet", "quantize", source, *(word for t in targets for word in ("--target", f"openvino:{t}")), "--out",
                    out)
                for target in targets:
                    folder = out / f"openvino-{target}"
                    self.check_graph(folder, json.loads((folder / "config.json").read_text()))

    def test_longropes_angles_do_not_need_the_mask(self):
        """Under PagedAttention there is none."""
        source = self.dir / "phi35"
        families.write("phi35-mini", source)
        _, folder, _ = self.quantize(source, self.dir / "out", "fp16", "f16", "f16")
        model = IrModel(folder)
        reads, waiting = set(), [layer.id for layer in model.order if layer.op in ("Cos", "Sin")]
        while waiting:
            layer = model.layers[waiting.pop()]
            reads.add(layer.name)
            waiting += [source for source, _ in layer.sources.values()]
        self.assertIn("position_ids", reads)
        self.assertNotIn("attention_mask", reads)

    def test_a_window_has_the_form_by_which_paged_attention_knows_it(self):
        """From each attention to the window's size, as OpenVINO's transformation walks (docs/formats/openvino.md)."""
        for family, windows in (("phi3-medium", [16, 16]), ("gemma3", [16] * 5 + [None, 16])):
            source = self.dir / family
            families.write(family, source, sliding_window=16)
            run("quantfleet", "quantize", source, "--target", "openvino:fp16", "--out", self.dir / f"{family}-out")
            model = IrModel(self.dir / f"{family}-out/openvino-fp16")
            found = []
            for layer in model.order:
                if layer.op != "ScaledDotProductAttention":
                    continue
                path = []
                for port in (3, 0, 0, 0, 0, 1, 0, 1, 1, 1):
                    layer = model.layers[layer.sources[port][0]] if port in layer.sources else layer
                    path.append(layer.op)
                form = ["Slice", "Select", "Broadcast"] + ["BitwiseAnd"] * 4 + ["Greater", "Add", "Const"]
                found.append(-struct.unpack("<q", model.constant(layer)[2])[0] if path == form else None)
            self.assertEqual(sorted(found, key=str), sorted(windows, key=str))

    def test_from_a_gguf(self):
        """Rows of q and k stand as in the Hugging Face folder, whatever the source."""
        source = self.dir / "llama2"
        families.write("llama2", source)
        _, folder, gguf = self.quantize(source, self.dir / "out", "fp16", "f16", "f16")
        _, again, _ = self.quantize(gguf, self.dir / "again", "fp16", "f16", "f16")
        for name in ("openvino_model.bin", "openvino_model.xml"):
            self.assertEqual((folder / name).read_bytes(), (again / name).read_bytes(), name)


class Weights(OpenVinoTest):
    def test_weights_are_those_of_every_format(self):
        """One run for four formats quantizes once, and each weight has exactly the same values in all of them."""
        for family in (None, "llama32", "qwen2", "qwen25-tied", "qwen3", "phi2", "granite"):
            source = DEMO
            if family:
                source = self.dir / family
                families.write(family, source, dtypes=("BF16", "F32"))
            for openvino, gguf, high in SAME[1:]:
                with self.subTest(family or "demo", openvino=openvino):
                    out = self.dir / f"{family}-{openvino}"
                    types = ("--output-type", high, "--embedding-type", high, "--json")
                    targets = ("--target", f"gguf:{gguf}", "--target", f"onnx:{openvino}", "--target",
                               f"openvino:{openvino}")
                    said = run_json("quantfleet", "quantize", source, *targets, "--target", f"mlx:{openvino}", *types,
                                    "--out", out)
                    alone = run_json("quantfleet", "quantize", source, "--target", f"gguf:{gguf}", *types, "--out",
                                     out / "alone")
                    model, mlx = IrModel(out / f"openvino-{openvino}"), MlxFolder(out / f"mlx-{openvino}")
                    rows, onnx = gguf_rows(out / f"gguf-{gguf}/model.gguf"), onnx_rows(out / f"onnx-{openvino}")
                    narrow = sum(len(r) for n, rs in rows.items() if n.endswith("bias") or "norm" in n for r in rs)
                    self.assertEqual(said["values_encoded"], alone["values_encoded"] + narrow)  # MLX's are F16
                    for name, want in rows.items():
                        self.assertEqual(model.rows(name), want, name)
                        if name.endswith(".weight") and len(want) > 1:
                            self.assertEqual(mlx.rows(name[:-len(".weight")]), want, name)
                        if name in onnx:
                            self.assertEqual(onnx[name], want, name)
                        if name.endswith(".gate_up_proj.weight"):  # which ONNX has apart
                            parts = [name.replace("gate_up", part) for part in ("gate", "up")]
                            self.assertEqual(sum((onnx[part] for part in parts), []), want, name)
                    fused = [onnx[f"model.layers.{i}.self_attn.qkv_proj.weight"] for i in range(len(model.variables) // 2)]
                    if family:
                        self.assertEqual(fused, [sum((rows[f"model.layers.{i}.self_attn.{w}_proj.weight"] for w in "qkv"), [])
                                                 for i in range(len(fused))])
                    self.assertGreater(len(set(onnx) & set(rows)), 10)

    def test_head_and_embedding_have_eight_bits(self):
        run("quantfleet", "quantize", DEMO, "--target", "openvino:int4", "--out", self.dir)
        model = IrModel(self.dir / "openvino-int4")
        kinds = {name: model.by_name[name].data["element_type"]
                 for name in ("model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.down_proj.weight",
                              "model.norm.weight")}
        self.assertEqual(list(kinds.values()), ["i8", "i8", "i4", "f32"])
        run("quantfleet", "quantize", DEMO, "--target", "openvino:int4", "--tensor-type", "role:token_embedding=q4_0",
            "--out", self.dir / "four")
        model = IrModel(self.dir / "four/openvino-int4")
        self.assertEqual(model.by_name["model.embed_tokens.weight"].data["element_type"], "i4")


class Folder(OpenVinoTest):
    def test_files_and_inspect(self):
        run("quantfleet", "quantize", DEMO, "--target", "openvino:int4", "--out", self.dir)
        folder = self.dir / "openvino-int4"
        for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
            self.assertTrue((folder / name).exists(), name)
        config = json.loads((folder / "config.json").read_text())
        self.assertEqual((config["model_type"], config["vocab_size"]), ("phi3", 2048))
        said = run_json("quantfleet", "inspect", folder, "--json")
        self.assertTrue(said["verified"])
        stored = {t["name"]: t for t in said["tensors"]}
        self.assertEqual((stored["lm_head.weight"]["dtype"], stored["lm_head.weight"]["shape"]), ("i8", [2048, 8, 32]))
        self.assertEqual(stored["model.layers.0.mlp.down_proj.weight"]["bytes"], 256 * 768 // 2)
        self.assertEqual(stored["lm_head.weight/scale"]["shape"], [2048, 8, 1])
        for name in ("openvino_model.bin", "openvino_model.xml"):
            whole = (folder / name).read_bytes()
            (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            self.assertIn(name, run("quantfleet", "inspect", folder, check=False).stderr)
            (folder / name).write_bytes(whole)

    def test_how_plugins_are_to_run_it(self):
        """As optimum-intel says it: a cache at half precision only beside weights that are not quantized."""
        run("quantfleet", "quantize", DEMO, "--target", "openvino:int4", "--target", "openvino:fp16", "--out", self.dir)
        for target, cache in (("fp16", {"KV_CACHE_PRECISION": "f16"}), ("int4", {})):
            root = ElementTree.parse(self.dir / f"openvino-{target}/openvino_model.xml").getroot()
            said = {option.tag: option.get("value") for option in root.find("rt_info/runtime_options")}
            self.assertEqual(said, {"ACTIVATIONS_SCALE_FACTOR": "8.0"} | cache)

    def test_tokens_described_as_objects_become_their_text(self):
        """OpenVINO GenAI reads tokenizer_config.json so; one that has no objects stays as it is."""
        for family, same in (("llama2", False), ("qwen2", True)):
            source, name = self.dir / family, "tokenizer_config.json"
            families.write(family, source)
            run("quantfleet", "quantize", source, "--target", "openvino:fp16", "--out", self.dir / f"{family}-out")
            made = (self.dir / f"{family}-out/openvino-fp16" / name).read_text()
            self.assertEqual(made == (source / name).read_text(), same)
            before, after = json.loads((source / name).read_text()), json.loads(made)
            self.assertEqual(after, {key: value["content"] if key.endswith("_token") and isinstance(value, dict) else value
                                     for key, value in before.items()})

    def test_generation_config_is_made_where_the_source_has_none(self):
        families.write("qwen2", self.dir / "qwen")
        run("quantfleet", "quantize", self.dir / "qwen", "--target", "openvino:int8", "--out", self.dir)
        said = json.loads((self.dir / "openvino-int8/generation_config.json").read_text())
        self.assertEqual(set(said) - {"pad_token_id"}, {"bos_token_id", "eos_token_id"} & set(said))
        self.assertIn("eos_token_id", said)

    def test_nothing_depends_on_threads_memory_or_other_targets(self):
        def digest(name, *options):
            said = run_json("quantfleet", "quantize", DEMO, *options, "--target", "openvino:int4", "--out", self.dir / name,
                            "--json")
            return said["targets"][-1]["manifest_digest"]
        first = digest("a", "--threads", 1)
        self.assertEqual(digest("b", "--threads", 3, "--memory", 16), first)
        self.assertEqual(digest("c", "--target", "gguf:q8_0", "--target", "mlx:int4"), first)

    def test_killed_runs_go_on_to_the_same_digest(self):
        command = ("quantfleet", "quantize", DEMO, "--target", "openvino:int4", "--json")
        want = run_json(*command, "--out", self.dir / "whole")["targets"][0]["manifest_digest"]
        for point in ("slab-after-record:5", "slab-after-store:30"):
            killed = run(*command, "--out", self.dir / "killed", "--resume", check=False,
                         env={"QUANTFLEET_FAIL_POINT": point})
            self.assertEqual(killed.returncode, -9)
        said = run_json(*command, "--out", self.dir / "killed", "--resume")
        self.assertGreater(said["slabs_resumed"], 5)
        self.assertEqual(said["targets"][0]["manifest_digest"], want)

    def refused(self, source, *options):
        return refusal(self, self.dir / "out", source, "openvino:int4", *options)

    def test_what_openvino_cannot_hold_is_refused_before_writing(self):
        for kind in ("q6_k", "q4_1", "bf16"):
            said = self.refused(DEMO, "--tensor-type", f"role:attn_v={kind}")
            self.assertIn("model.layers.0.self_attn.qkv_proj.weight", said)
            self.assertIn("q8_0", said)
        odd = self.dir / "odd"
        families.write("llama2", odd, sizes={"intermediate": 200})
        # What no groups divide stays at half precision.
        said = run("quantfleet", "quantize", odd, "--target", "openvino:int4", "--out", self.dir / "kept").stderr
        self.assertIn("mlp.down_proj.weight gets f16", said)
        IrModel(self.dir / "kept/openvino-int4")
        for name in ("tokenizer.model", "tokenizer_config.json"):
            (odd / name).unlink()
        self.assertIn("no tokenizer", self.refused(odd))

    def test_a_weight_that_f16_cannot_hold_stops_the_run(self):
        """Code and scale are multiplied in F16, which would make it infinite in silence. Where scales are F32, nothing is
        lost."""
        large = self.dir / "large"
        shutil.copytree(DEMO, large)
        header, data = read_safetensors(large / "model.safetensors")
        name = "model.layers.1.mlp.down_proj.weight"
        at = header[name]["data_offsets"][0]
        write_safetensors(large / "model.safetensors", header, data[:at] + b"\x89\x47" + data[at + 2:])  # 70144 in BF16
        held = ("gguf:q8_0", "onnx:int8", "onnx:int8-qdq", "onnx:int8-asym")
        run("quantfleet", "quantize", large, *(word for t in held for word in ("--target", t)), "--out", self.dir / "held")
        for target, wide in (("openvino:int8", "f32"), ("openvino:int4", "f32"), ("mlx:int8", "bf16")):
            command = ("quantfleet", "quantize", large, "--target", target, "--out", self.dir / "out")
            done = run(*command, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(name, done.stderr)
            self.assertIn("too large", done.stderr)
            self.assertIn(f"role:ffn_down={wide}", done.stderr)
            run(*command, "--tensor-type", f"role:ffn_down={wide}")
        done = run("quantfleet", "quantize", large, "--target", "onnx:fp16", "--tensor-type", "role:ffn_down=q8_0", "--out",
                   self.dir / "half", check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, f"'{name}'.*q8_0")
        self.assertIn("use onnx:fp32", done.stderr)


if __name__ == "__main__":
    unittest.main()
