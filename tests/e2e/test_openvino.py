"""OpenVINO folders: a checker walks the graph (openvino_files.py), a small evaluator executes it (openvino_ir) and finds
the likelihood that our engine finds on the same codes. OpenVINO itself is asked in test_runtimes.py."""
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

from harness import BIN, DEMO, HELD_OUT, ROOT, SLOW, THOROUGH, read_safetensors, refusal, run, run_json, write_safetensors
from hf_weights import gguf_rows, onnx_rows
from mlx_files import MlxFolder
from openvino_files import STEPS, IrModel

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# What stands for one another: an OpenVINO target, the GGUF of the same codes, the type of embedding and head.
SAME = (("fp16", "f16", "f16"), ("int8", "q8_0", "q8_0"), ("int4", "q4_0", "q8_0"))
LARGE = ("gemma3-vision",) if THOROUGH else ()
# phimoe's weights of experts jump where a score comes within reach of another, so that rounded weights are no measure, and a
# GGUF of gpt-oss keeps its experts in MXFP4: test_runtimes.py has their codes, without the rounding.
FLOATS_ALONE = ("phimoe-mini", "phi35-moe", "gpt-oss")
# F16 rounds each product of code and scale, when the graph is taken at its word; of a float weight nothing.
LIMITS = {"fp16": 1e-4, "int8": 0.002, "int4": 0.002}


def evaluate(folder, command, *args):
    done = subprocess.run([BIN / "openvino_ir", folder, command, *map(str, args)], capture_output=True, text=True,
                          timeout=300 * SLOW, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"openvino_ir on {folder}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


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

    def judge(self, name, source, out, target, ids, context=512):
        """Checks the folder and compares likelihoods, at once and step by step; returns what was made."""
        openvino, gguf, high = target
        said, folder, made = self.quantize(source, out, openvino, gguf, high)
        self.check_graph(folder, json.loads((folder / "config.json").read_text()))
        ours = self.ours(made, ids, context)
        file = self.tokens(ids)
        at_once, stepwise = evaluate(folder, "nll", file), evaluate(folder, "nll", file, 20)
        self.assertEqual((at_once["tokens"], stepwise["tokens"]), (len(ids), len(ids)))
        print(f"mean NLL {name} {openvino}: ours {ours:.6f}, the graph {at_once['mean_nll']:.6f}, step by step "
              f"{stepwise['mean_nll']:.6f}", file=sys.stderr)
        self.assertLess(abs(at_once["mean_nll"] / ours - 1), LIMITS[openvino])
        self.assertLess(abs(stepwise["mean_nll"] / ours - 1), LIMITS[openvino])
        return said, folder, made


class Judged(OpenVinoTest):
    def test_demo_model(self):
        for target in SAME:
            with self.subTest(target[0]):
                alone = run_json("quantfleet", "quantize", DEMO, "--target", f"gguf:{target[1]}", "--output-type", target[2],
                                 "--embedding-type", target[2], "--out", self.dir / "alone" / target[0], "--json")
                gguf = self.dir / "alone" / target[0] / f"gguf-{target[1]}/model.gguf"
                ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", HELD_OUT, "--json")["tokens"][:400]
                said, _, _ = self.judge("demo", DEMO, self.dir / target[0], target, ids)
                self.assertEqual(said["values_encoded"], alone["values_encoded"])  # once for both

    def test_every_architecture(self):
        for family in ("phi3-medium", "phi35-mini", "phi4-mini", "llama2", "llama32", "mistral", "qwen2", "qwen25-tied",
                       "qwen3", "qwen3-tied", "qwen3moe", *FLOATS_ALONE, "phi2", "granite", "granite-untied",
                       "smollm3", "gemma", "gemma-mha", "gemma2", "gemma3", *LARGE):
            source = self.dir / family
            made = families.write(family, source)
            count = 120 if family.startswith(("gemma2", "gemma3")) else 60  # beyond their windows
            ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(count)]
            for target in SAME[:1] if family in FLOATS_ALONE else SAME:
                with self.subTest(family, target=target[0]):
                    self.judge(family, source, self.dir / f"{family}-{target[0]}", target, ids)

    def test_longrope_on_both_sides_of_the_original_length(self):
        """The graph decides by the length so far, our engine by its context: each context is matched with a text."""
        source = self.dir / "phi35"
        made = families.write("phi35-mini", source, max_position_embeddings=256, original_max_position_embeddings=64)
        ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(120)]
        _, folder, gguf = self.quantize(source, self.dir / "out", "fp16", "f16", "f16")
        for count, context in ((60, 64), (120, 256)):
            judged = evaluate(folder, "nll", self.tokens(ids[:count]))["mean_nll"]
            self.assertLess(abs(judged / self.ours(gguf, ids[:count], context) - 1), 1e-4)
            if context == 64:  # the other factors would be seen
                self.assertGreater(abs(judged / self.ours(gguf, ids[:count], 256) - 1), 5e-4)
        # Under PagedAttention there is no mask: angles must not need it.
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

    def test_a_window_hides_what_lies_behind_it(self):
        """Of one layer, what 16 tokens say of those that follow does not depend on what stands before the 16."""
        source = self.dir / "window"
        made = families.write("phi3-medium", source, sizes={"layers": 1}, sliding_window=16)
        _, folder, _ = self.quantize(source, self.dir / "out", "fp16", "f16", "f16")
        self.check_graph(folder, json.loads((folder / "config.json").read_text()))
        ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(60)]

        def sum_of(tokens):
            said = evaluate(folder, "nll", self.tokens(tokens), 5)
            return said["mean_nll"] * (said["tokens"] - 1)

        def told_of_the_end(before, known):
            return sum_of(before + known + ids[50:51]) - sum_of(before + known)
        for count, same in ((16, True), (15, False)):
            known = ids[30:30 + count]
            difference = told_of_the_end(ids[:10], known) - told_of_the_end(ids[10:25], known)
            self.assertEqual(abs(difference) < 1e-5, same, difference)

    def test_rows_of_a_batch_change_their_places(self):
        """Two texts, one behind padding, with beam_idx turning the batch over at each step: each likelihood is as alone."""
        _, folder, gguf = self.quantize(DEMO, self.dir / "out", "fp16", "f16", "f16")
        ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", HELD_OUT, "--json")["tokens"]
        texts = [ids[:40], ids[:1] + ids[100:155]]
        files = [self.tokens(text, f"text{i}") for i, text in enumerate(texts)]
        together = evaluate(folder, "beams", *files)["mean_nll"]
        for file, nll in zip(files, together):
            self.assertAlmostEqual(evaluate(folder, "nll", file)["mean_nll"], nll, places=4)
        self.assertNotAlmostEqual(together[0], together[1], places=2)


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
