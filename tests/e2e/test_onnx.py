"""ONNX Runtime itself judges our ONNX folders: it finds the likelihood that our engine finds on the same codes,
whether a text goes in at once or token by token, and the same greedy text."""
import json
import os
import shutil
import sys
import unittest
from pathlib import Path

from gguf_files import read_gguf
from harness import DEMO, HELD_OUT, ROOT, THOROUGH, refusal, run, run_json
from judge import HAS_ONNX, onnx_runtime
from onnx_judge import OnnxTest

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# What stands for one another: an ONNX target, the GGUF of the same codes, the head's type.
SAME = (("fp32", "f32", "f32"), ("int8-exact", "q8_0", "q8_0"), ("int8", "q8_0", "q8_0"),
        ("int4-exact", "q4_0", "q8_0"), ("int4", "q4_0", "q8_0"))
LARGE = ("gemma3-vision",) if THOROUGH else ()
# Their int4 has an attribute of QMoE that this ONNX Runtime does not know: test_runtimes.py has it.
MIXTURES = ("qwen3moe", "phimoe-mini", "phi35-moe")
# The same numbers go the same way: far below what one wrong scale would do. F16 activations are rounded at every step;
# for int8 and int4 ONNX Runtime rounds each group of 32 activations to 8 bits, which changes them by 0.5 % of their size
# (as Q8_0 does weights, docs/guides/quantize.md), and a likelihood by no more than that.
LIMITS = {"fp32": 1e-4, "int8-exact": 1e-4, "int4-exact": 1e-4, "int8": 0.005, "int4": 0.005, "fp16": 0.002}


@unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
class Judged(OnnxTest):
    def test_demo_model(self):
        for onnx, gguf, head in SAME + (("fp16", "f16", "f16"),):
            with self.subTest(onnx):
                said, folder, made = self.quantize(DEMO, self.dir / onnx, onnx, gguf, head)
                ids = run_json("quantfleet-agent", "tokenize", made, "--text-file", HELD_OUT, "--json")["tokens"][:400]
                self.check(f"demo {onnx}", folder, made, ids, LIMITS[onnx])
                if onnx in ("int8", "int4"):
                    alone = run_json("quantfleet", "quantize", DEMO, "--target", f"gguf:{gguf}", "--output-type", head,
                                     "--out", self.dir / "alone" / onnx, "--json")
                    self.assertEqual(said["values_encoded"], alone["values_encoded"])  # once for both

    def test_greedy_text(self):
        _, folder, gguf = self.quantize(DEMO, self.dir / "out", "fp32", "f32", "f32")
        for prompt in ("Once upon a time", "The little"):
            text = self.dir / "prompt.txt"
            text.write_text(prompt)
            ids = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", text, "--json")["tokens"]
            ours = run_json("quantfleet-agent", "run", gguf, "--prompt", prompt, "--greedy", "--max-tokens", 60, "--json")
            theirs = onnx_runtime(folder, "greedy", "--tokens-file", self.tokens(ids)[0], "--max-tokens", 60)
            self.assertEqual(ours["tokens"], len(theirs["ids"]))
            vocabulary = read_gguf(gguf)[0]["tokenizer.ggml.tokens"]
            text = "".join(vocabulary[i] for i in theirs["ids"]).replace("\u2581", " ")
            self.assertGreater(len(text), 50)
            self.assertEqual(ours["text"], text)

    def test_every_architecture(self):
        for family in ("phi3-medium", "phi4-mini", "llama2", "llama32", "mistral", "qwen2", "qwen25-tied", "qwen3",
                       "qwen3-tied", *MIXTURES, "phi15", "phi2", "granite", "granite-untied",
                       "smollm3", "gemma", "gemma-mha", "gemma2", "gemma3", *LARGE):
            source = self.dir / family
            # ONNX Runtime rotates multiples of 16 dimensions, as the real Phi-4-mini has them.
            partial = {"partial_rotary_factor": 0.5, "rope_scaling": families.long_rope(8, 40)}
            made = families.write(family, source, **(partial if family == "phi4-mini" else {}))
            ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(120)]
            for onnx, gguf, head in SAME:
                if family in MIXTURES and onnx == "int4":
                    continue
                with self.subTest(family, onnx=onnx):
                    _, folder, gguf_file = self.quantize(source, self.dir / f"{family}-{onnx}", onnx, gguf, head)
                    self.check(f"{family} {onnx}", folder, gguf_file, ids, LIMITS[onnx])

    def test_longrope_on_both_sides_of_the_original_length(self):
        """The graph decides by the length so far, our engine by its context: each context is matched with a text."""
        source = self.dir / "phi35"
        made = families.write("phi35-mini", source, max_position_embeddings=1024,
                              original_max_position_embeddings=256)
        ids = [1 + 37 * i * i % (made.vocab - 1) for i in range(400)]
        _, folder, gguf = self.quantize(source, self.dir / "out", "fp32", "f32", "f32")
        short, _ = self.tokens(ids[:200])
        below = onnx_runtime(folder, "nll", "--tokens-file", short)["mean_nll"]
        long, _ = self.tokens(ids)
        above = onnx_runtime(folder, "nll", "--tokens-file", long)["mean_nll"]
        for count, context, judged in ((200, 256, below), (400, 1024, above)):
            other = 1024 if context == 256 else None
            _, ours = self.tokens(ids[:count])
            said = run_json("quantfleet-agent", "eval", "--float-activations", "--kv-type", "f32", gguf,
                            "--tokens-file", ours, "--context", context, "--json")
            print(f"LongRoPE, {count} tokens: ours {said['mean_nll']:.6f}, ONNX Runtime {judged:.6f}", file=sys.stderr)
            self.assertLess(abs(judged / said["mean_nll"] - 1), 0.0005)
            if other:  # the other factors would be seen
                wrong = run_json("quantfleet-agent", "eval", "--float-activations", "--kv-type", "f32", gguf,
                                 "--tokens-file", ours, "--context", other, "--json")
                self.assertGreater(abs(judged / wrong["mean_nll"] - 1), 0.0005)


class Folder(OnnxTest):
    def test_files_and_inspect(self):
        run("quantfleet", "quantize", DEMO, "--target", "onnx:int4", "--out", self.dir)
        folder = self.dir / "onnx-int4"
        config = json.loads((folder / "genai_config.json").read_text())["model"]
        self.assertEqual((config["type"], config["context_length"], config["vocab_size"]), ("phi3", 512, 2048))
        self.assertEqual(config["decoder"]["num_key_value_heads"], 2)
        self.assertEqual(config["eos_token_id"], 2)
        for name in ("model.onnx", "tokenizer.json", "tokenizer_config.json"):
            self.assertTrue((folder / name).exists(), name)
        said = run_json("quantfleet", "inspect", folder, "--json")
        self.assertTrue(said["verified"])
        stored = {t["name"]: t for t in said["tensors"]}
        self.assertEqual((stored["lm_head.weight.codes"]["dtype"], stored["lm_head.weight.codes"]["shape"]),
                         ("UINT8", [2048, 8, 32]))
        self.assertEqual(stored["model.embed_tokens.weight.codes"]["shape"], [2048, 128])
        self.assertEqual(stored["lm_head.weight.scales"]["bytes"], 4 * 2048 * 8)
        self.assertEqual(stored["model.layers.0.mlp.down_proj.weight.codes"]["shape"], [256, 24, 16])
        for t in stored.values():  # a graph without weights in it
            self.assertGreater(t["bytes"], 0)
        self.assertLess((folder / "model.onnx").stat().st_size, 64 << 10)

    def test_inspect_names_the_file_that_is_not_as_it_was_made(self):
        run("quantfleet", "quantize", DEMO, "--target", "onnx:int4", "--out", self.dir)
        folder = self.dir / "onnx-int4"

        def of_another_version(path):
            path.write_text(path.read_text().replace('"model":{', '"model":{"new":1,', 1))
        for name, spoil in (("tokenizer.json", Path.unlink), ("genai_config.json", of_another_version),
                            ("model.onnx.data", lambda path: os.truncate(path, path.stat().st_size - 5000))):
            with self.subTest(name):
                bad = self.dir / "bad"
                shutil.copytree(folder, bad)
                spoil(bad / name)
                said = run("quantfleet", "inspect", bad, check=False)
                self.assertEqual(said.returncode, 1)
                self.assertIn(name, said.stderr)
                shutil.rmtree(bad)

    def test_made_tokenizer_json_tokenizes_alike(self):
        """The demo model has a SentencePiece model alone: what is made of it, run as its own words say."""
        run("quantfleet", "quantize", DEMO, "--target", "onnx:fp16", "--target", "gguf:f16", "--out", self.dir)
        made = json.loads((self.dir / "onnx-fp16/tokenizer.json").read_text())
        prepend, replace = made["normalizer"]["normalizers"]
        self.assertEqual((prepend["type"], replace["pattern"]), ("Prepend", {"String": " "}))
        text = (HELD_OUT.read_text() + " na\u00efve \u6570\u5b57 \U0001f98a 12345")
        normal = prepend["prepend"] + text.replace(" ", replace["content"])
        vocab, ranks = made["model"]["vocab"], {tuple(m): i for i, m in enumerate(made["model"]["merges"])}
        ids = [vocab[made["post_processor"]["single"][0]["SpecialToken"]["id"]]]
        for word in normal.replace("\u2581", " \u2581").split(" "):  # no merge goes across a space here
            parts = list(word)
            while True:
                best = min(range(len(parts) - 1), key=lambda i: ranks.get((parts[i], parts[i + 1]), 1 << 30), default=None)
                if best is None or (parts[best], parts[best + 1]) not in ranks:
                    break
                parts[best:best + 2] = [parts[best] + parts[best + 1]]
            for part in parts:
                ids += [vocab[part]] if part in vocab else [vocab[f"<0x{b:02X}>"] for b in part.encode()]
        path = self.dir / "text.txt"
        path.write_text(text)
        gguf = self.dir / "gguf-f16/model.gguf"
        self.assertEqual(run_json("quantfleet-agent", "tokenize", gguf, "--text-file", path, "--json")["tokens"], ids)

    def test_nothing_depends_on_threads_memory_or_other_targets(self):
        both = ("--target", "onnx:int4", "--target", "mlx:int8")

        def digests(name, *options):
            said = run_json("quantfleet", "quantize", DEMO, *options, "--out", self.dir / name, "--json")
            return {t["name"]: t["manifest_digest"] for t in said["targets"]}
        first = digests("a", *both, "--threads", 1)
        self.assertEqual(digests("b", *both, "--threads", 3, "--memory", 16), first)
        more = digests("c", "--target", "gguf:q8_0", *both, "--target", "onnx:fp32")
        self.assertEqual({name: more[name] for name in first}, first)

    def test_killed_runs_go_on_to_the_same_digests(self):
        command = ("quantfleet", "quantize", DEMO, "--target", "onnx:int4", "--target", "mlx:int8", "--json")
        want = [t["manifest_digest"] for t in run_json(*command, "--out", self.dir / "whole")["targets"]]
        for point in ("slab-after-record:5", "slab-after-store:40"):
            killed = run(*command, "--out", self.dir / "killed", "--resume", check=False,
                         env={"QUANTFLEET_FAIL_POINT": point})
            self.assertEqual(killed.returncode, -9)
        said = run_json(*command, "--out", self.dir / "killed", "--resume")
        self.assertGreater(said["slabs_resumed"], 5)
        self.assertEqual([t["manifest_digest"] for t in said["targets"]], want)

    def refused(self, source, *options, target="onnx:int4"):
        return refusal(self, self.dir / "out", source, target, *options)

    def test_what_onnx_cannot_hold_is_refused_before_writing(self):
        said = self.refused(DEMO, "--tensor-type", "role:attn_v=q6_k")
        self.assertIn("model.layers.0.self_attn.qkv_proj.weight", said)
        self.assertIn("q8_0", said)

        def odd(**sizes):
            families.write("llama2", self.dir / "odd", sizes=sizes)
            return self.dir / "odd"
        self.assertIn("multiples of 16", self.refused(odd(hidden=96, heads=8, kv_heads=8, intermediate=192)))
        self.assertIn("no tokenizer", self.refused(odd_without_tokenizer(self.dir / "odd"), target="onnx:fp32"))


def odd_without_tokenizer(folder):
    """The folder with heads that ONNX Runtime takes, and without the tokenizer's files."""
    families.write("llama2", folder)
    for name in ("tokenizer.model", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder


if __name__ == "__main__":
    unittest.main()
