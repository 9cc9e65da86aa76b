"""Every published family, as a tiny model of its shape: what we make of it is loaded by llama.cpp itself, which
finds the tokens that an independent tokenizer finds and the likelihood that our engine finds."""
import json
import math
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import (BIN, ROOT, SHARED, THOROUGH, EndToEnd, Process, Watch, memory_said, read_safetensors, run, run_json,
                     write_safetensors)
from judge import JUDGES, NODE, llama_cpp, llama_nll

sys.path.insert(0, str(ROOT / "tests/tools"))
import byte_bpe  # noqa: E402
import families  # noqa: E402
import sentencepiece_bpe  # noqa: E402
from gguf_io import BF16, F16, F32, Q4_0, Q8_0, Gguf  # noqa: E402

# How far apart the likelihoods may be. llama.cpp rounds activations to eight bits before it multiplies them
# with q8_0; with f16 it rounds next to nothing, and what a missing attention factor changes (0.16 %) shows.
LIMITS = {"f16": 0.0005, "q8_0": 0.005}
# Both engines run with it, so that both choose the same LongRoPE factors.
CONTEXT = 512

TRICKY = ("  The fox's  naïve 数字 12345 \t\n\n ends…  🦊 HelloWorld iPhone14Pro McDonald's JSONParser don't "
          "I'LL WE'VE it'S\r\n\r\n  x = 3.14159; // 1998/2024 /usr/bin\n\txylophone zebra<tool_call>zebra "
          "xylophone ÄÖpfel Ελληνικά नमस्ते ---===--- <|end|> <|im_end|> </s>  ")
# What `quantfleet inspect` has to say beyond the sizes.
SAYS = {
    "phi3-mini-4k": {"rope_scaling": "none", "sliding_window": 2047, "tied_embeddings": False},
    "phi3-mini-128k": {"rope_scaling": "longrope", "context": 131072, "original_context": 4096},
    "phi3-medium": {"rope_scaling": "none", "kv_heads": 1},
    "phi35-mini": {"rope_scaling": "longrope", "context": 131072, "original_context": 4096},
    "phi4": {"rope_scaling": "none", "rope_theta": 250000.0, "context": 16384},
    "phi4-reasoning": {"rope_scaling": "none", "rope_theta": 500000.0, "context": 32768},
    "phi4-mini": {"rope_scaling": "longrope", "rope_dims": 24, "head_dim": 32, "tied_embeddings": True},
    "phi4-mini-reasoning": {"rope_scaling": "longrope", "rope_dims": 24, "tied_embeddings": True},
    "phi4-multimodal": {"rope_scaling": "longrope", "rope_dims": 24, "tied_embeddings": True},
    "llama2": {"rope_scaling": "none", "kv_heads": 4},
    "llama3": {"rope_scaling": "none", "rope_theta": 500000.0, "kv_heads": 1},
    "llama32": {"rope_scaling": "llama3", "tied_embeddings": True},
    "mistral": {"rope_scaling": "none", "context": 4096, "kv_heads": 1},
    "qwen2": {"rope_scaling": "none", "kv_heads": 2, "tied_embeddings": False},
    "qwen25-tied": {"rope_scaling": "none", "kv_heads": 2, "tied_embeddings": True},
    "qwen3": {"rope_scaling": "none", "head_dim": 64, "context": 40960, "tied_embeddings": False},
    "qwen3-tied": {"rope_scaling": "none", "head_dim": 32, "kv_heads": 1, "tied_embeddings": True},
    "qwen3moe": {"rope_scaling": "none", "head_dim": 64, "experts": 6, "experts_used": 2, "expert_width": 96},
    "phi15": {"rope_scaling": "none", "head_dim": 32, "rope_dims": 16, "tied_embeddings": False},
    "phi2": {"rope_scaling": "none", "head_dim": 80, "rope_dims": 32, "tied_embeddings": False},
    "granite": {"rope_scaling": "none", "kv_heads": 2, "context": 131072, "tied_embeddings": True},
    "granite-untied": {"rope_scaling": "none", "kv_heads": 4, "tied_embeddings": False},
    "gemma": {"rope_scaling": "none", "head_dim": 48, "context": 8192, "tied_embeddings": True},
    "gemma-mha": {"rope_scaling": "none", "head_dim": 64, "kv_heads": 4, "tied_embeddings": True},
    "gemma2": {"rope_scaling": "none", "head_dim": 48, "sliding_window": 100, "full_attention_every": 2},
    "gemma3": {"rope_scaling": "none", "head_dim": 64, "sliding_window": 100, "full_attention_every": 6,
               "sliding_rope_theta": 10000.0, "rope_theta": 1000000.0},
    "gemma3-vision": {"rope_scaling": "linear", "head_dim": 256, "heads": 8, "full_attention_every": 3, "context": 131072},
    "gemma3-27b": {"rope_scaling": "linear", "layers": 62, "full_attention_every": 6},
    "smollm3": {"rope_scaling": "none", "layers": 5, "kv_heads": 1, "tied_embeddings": True},
}


def quantize(source, out, recipes):
    targets = [x for r in recipes for x in ("--target", f"gguf:{r}")]
    run("quantfleet", "quantize", source, *targets, "--out", out)
    return {r: out / f"gguf-{r}/model.gguf" for r in recipes}


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-models-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def likelihood(self, gguf, ids, context=CONTEXT, *options):
        path = self.dir / "ids.json"
        path.write_text(",".join(map(str, ids)))
        return run_json("quantfleet-agent", "eval", gguf, "--tokens-file", path, "--context", context,
                        *options, "--json")["mean_nll"]

    def judged(self, gguf, ids, *options):
        path = self.dir / "judged.json"
        path.write_text(json.dumps(ids))
        return llama_nll(gguf, "--tokens-file", path, *options)["mean_nll"]


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class Families(ModelTest):
    def tokens(self, family, gguf):
        """Ids of the tricky text, on which llama.cpp, the engine and (byte-level BPE) a third tokenizer agree."""
        text = self.dir / "tricky.txt"
        text.write_bytes(TRICKY.encode())
        theirs = llama_cpp(gguf, "tokenize", "--text-file", text)
        ours = run_json("quantfleet-agent", "tokenize", gguf, "--text-file", text, "--no-bos", "--json")
        self.assertEqual(ours["tokens"], theirs)
        if not family.pre:
            return theirs
        self.assertEqual(family.byte_bpe.encode(TRICKY), theirs)
        # The text tells the pre-tokenizers apart: agreeing means something.
        for pre, (regex, ignore_merges) in byte_bpe.PRE_TOKENIZERS.items():
            if (regex, ignore_merges) != byte_bpe.PRE_TOKENIZERS[family.pre]:
                other = byte_bpe.ByteBpe(pre, family.byte_bpe.merges, families.WHOLE_WORDS,
                                         family.byte_bpe.added)
                self.assertNotEqual(other.encode(TRICKY), theirs, f"{pre} gives the same tokens")
        return theirs

    def check(self, name, says=None, **options):
        family = families.write(name, self.dir / name, **options)
        ggufs = quantize(self.dir / name, self.dir / "out", LIMITS)
        said = run_json("quantfleet", "inspect", ggufs["q8_0"].parent, "--json")["model"]
        self.assertEqual(said["architecture"], family.architecture)
        self.assertEqual(said["tokenizer"]["kind"], "byte-bpe" if family.pre else "sentencepiece")
        self.assertEqual(said["tokenizer"].get("pre", ""), family.pre)
        self.assertEqual(said["tokenizer"]["tokens"], family.vocab)
        for key, value in {**SAYS[name], **(says or {})}.items():
            self.assertEqual(said["hyperparameters"][key], value, key)
        ids = (self.tokens(family, ggufs["f16"]) * 4)[:500]
        for recipe, gguf in ggufs.items():
            ours, theirs = self.likelihood(gguf, ids), self.judged(gguf, ids)
            difference = abs(ours / theirs - 1)
            print(f"{name} {recipe}: mean NLL of {len(ids)} tokens: ours {ours:.6f}, llama.cpp {theirs:.6f}, "
                  f"{100 * difference:.4f} % apart", file=sys.stderr)
            self.assertLess(difference, LIMITS[recipe])
        return family, ggufs, ids

    def test_phi3_mini_4k(self):
        self.check("phi3-mini-4k")

    def test_phi3_mini_128k_short_factors(self):
        self.check("phi3-mini-128k")

    def test_phi3_mini_128k_long_factors(self):
        # The judge's context of 512 exceeds an original one of 256, so both engines take the long factors.
        _, ggufs, ids = self.check("phi3-mini-128k", seed=2, original_max_position_embeddings=256,
                                   says={"original_context": 256})
        # And it matters: the short factors say something else about the same tokens.
        short = self.likelihood(ggufs["f16"], ids[:256], context=256)
        self.assertGreater(abs(self.likelihood(ggufs["f16"], ids[:256]) / short - 1), 0.01)

    def test_phi3_medium(self):
        self.check("phi3-medium", dtypes=("F16",))

    def test_phi35_mini(self):
        self.check("phi35-mini", shards=3)

    def test_phi4(self):
        self.check("phi4", shards=2)

    def test_phi4_mini(self):
        self.check("phi4-mini")

    def test_phi4_reasoning(self):
        self.check("phi4-reasoning")

    def test_phi4_mini_reasoning(self):
        self.check("phi4-mini-reasoning", seed=4)

    def test_phi4_multimodal(self):
        self.check("phi4-multimodal", shards=2)

    def test_llama2(self):
        self.check("llama2", dtypes=("F32",))

    def test_llama3(self):
        self.check("llama3")

    def test_llama32(self):
        self.check("llama32", dtypes=("F32", "F16", "BF16"))

    def test_llama2_stretched(self):
        self.check("llama2", rope_scaling={"type": "linear", "factor": 4.0}, says={"rope_scaling": "linear"})

    def test_mistral(self):
        self.check("mistral", shards=2)

    def test_qwen2(self):
        self.check("qwen2")

    def test_qwen25_tied(self):
        self.check("qwen25-tied")

    def test_qwen3(self):
        self.check("qwen3")

    def test_qwen3_tied(self):
        self.check("qwen3-tied", shards=2)

    def test_qwen3moe(self):
        self.check("qwen3moe", shards=2)

    def test_phi15(self):
        self.check("phi15", dtypes=("F16",))

    def test_phi2(self):
        self.check("phi2", shards=2)

    def test_granite(self):
        self.check("granite")

    def test_granite_untied(self):
        self.check("granite-untied", dtypes=("F32",))

    def test_gemma(self):
        self.check("gemma")

    def test_gemma_mha(self):
        self.check("gemma-mha", dtypes=("F32",))

    def continues(self, gguf):
        """Token by token too, behind what short caches have given up: greedily as llama.cpp does."""
        prompt, count = "A cat and a dog sat on a mat. " * 8, 150
        theirs = llama_cpp(gguf, "greedy", "--prompt", prompt, "--max-tokens", count)
        ours = run_json("quantfleet-agent", "run", gguf, "--prompt", prompt, "--greedy", "--max-tokens", count, "--context",
                        CONTEXT, "--float-activations", "--json")
        print(f"{len(prompt)} bytes, then {len(ours['text'])} that llama.cpp finds too", file=sys.stderr)
        self.assertEqual(ours["text"], theirs["text"])
        self.assertGreater(len(ours["text"]), 100)

    def test_gemma2(self):
        _, ggufs, _ = self.check("gemma2")
        self.continues(ggufs["f16"])

    def test_gemma3(self):
        _, ggufs, _ = self.check("gemma3")
        self.continues(ggufs["f16"])

    def test_gemma3_as_the_text_part_of_a_model_with_images(self):
        self.check("gemma3-vision", shards=2)

    def test_gemma3_27b(self):
        self.check("gemma3-27b")

    def test_smollm3(self):
        self.check("smollm3")


class GgufSources(ModelTest):
    def test_every_family_survives_the_way_through_a_gguf(self):
        """A file made from our F32 GGUF is the file made from the folder, header and all."""
        for name in families.FAMILIES:
            with self.subTest(name):
                families.write(name, self.dir / name)
                direct = quantize(self.dir / name, self.dir / f"{name}-1", ["f32", "q8_0"])
                again = quantize(direct["f32"], self.dir / f"{name}-2", ["q8_0"])
                self.assertEqual(again["q8_0"].read_bytes(), direct["q8_0"].read_bytes())

    def encoded(self, kind, tensor):
        """A tensor's floats as llama.cpp's own quantizer encodes them, or ours where it is not here."""
        source, out = self.dir / "in.f32", self.dir / "out.bin"
        source.write_bytes(tensor.floats())
        cols = str(tensor.shape[0])
        library = next(JUDGES.glob("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so*"),
                       None)
        if library:
            subprocess.run([BIN / "ggml_quantize", library, kind, cols, source, out], check=True)
        else:
            run("codec_tool", "encode", kind, cols, source, out)
        return out.read_bytes()

    def check(self, gguf):
        """q8_0 and q4_0 of a GGUF are its tensors decoded, then encoded."""
        source = Gguf(gguf).tensors
        for recipe, path in quantize(gguf, self.dir / f"{gguf.stem}-out", ["q8_0", "q4_0"]).items():
            made = Gguf(path).tensors
            self.assertEqual(list(made), list(source))
            kinds = {t.kind for t in made.values()}
            self.assertEqual(kinds, {F32, Q8_0} if recipe == "q8_0" else {F32, Q8_0, Q4_0})
            for name, tensor in made.items():
                old = source[name]
                want = old.floats() if tensor.kind == F32 else \
                    old.data if tensor.kind == old.kind else \
                    self.encoded("q4_0" if tensor.kind == Q4_0 else "q8_0", old)
                self.assertEqual(tensor.data, want, f"{recipe} {name}")
        return source

    def test_q8_0_to_q4_0_is_decode_then_encode(self):
        for name in ("phi4-mini", "llama32"):
            with self.subTest(name):
                families.write(name, self.dir / name)
                q8 = quantize(self.dir / name, self.dir / f"{name}-made", ["q8_0"])["q8_0"]
                stored = run_json("quantfleet", "inspect", q8, "--json")["tensors"]
                self.assertEqual({t["dtype"] for t in stored}, {"f32", "q8_0"},
                                 "inspect shows what is stored")
                gguf = q8.rename(self.dir / f"{name}.gguf")
                self.check(gguf)

    def test_types_may_be_mixed(self):
        families.write("qwen2", self.dir / "qwen2", dtypes=("F32",))
        made = quantize(self.dir / "qwen2", self.dir / "made", ["f32", "bf16", "q8_0", "f16"])
        files = [Gguf(p) for p in made.values()]
        mixed, turn = dict(files[0].tensors), 0
        for name, tensor in mixed.items():
            if len(tensor.shape) == 2:
                mixed[name], turn = files[turn % 4].tensors[name], turn + 1
        self.assertEqual({t.kind for t in mixed.values()}, {F32, F16, BF16, Q8_0})
        files[0].write(self.dir / "mixed.gguf", mixed)
        self.check(self.dir / "mixed.gguf")

    def test_q4_0_is_decoded_then_encoded(self):
        families.write("llama2", self.dir / "llama2")
        self.check(quantize(self.dir / "llama2", self.dir / "made", ["q4_0"])["q4_0"].rename(self.dir / "q4.gguf"))

    def test_types_that_no_weight_has_are_refused_by_name(self):
        families.write("llama2", self.dir / "llama2")
        q4 = quantize(self.dir / "llama2", self.dir / "made", ["q4_0"])["q4_0"]
        raw, name = bytearray(q4.read_bytes()), b"token_embd.weight"
        struct.pack_into("<I", raw, raw.index(name) + len(name) + 4 + 2 * 8, 15)  # behind two dimensions
        q4.write_bytes(raw)
        done = run("quantfleet", "quantize", q4, "--target", "gguf:q8_0", "--out", self.dir / "out",
                   check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("token_embd.weight", done.stderr)
        self.assertIn("Q8_K", done.stderr)


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class LongContexts(ModelTest):
    """Behind a LongRoPE model's original context: the likelihood that llama.cpp finds, and no more memory than was said."""

    def check(self, tokens, skip):
        family = families.write("phi3-mini-128k", self.dir / "hf", seed=3)
        gguf = quantize(self.dir / "hf", self.dir / "out", ["f16"])["f16"]
        rng = random.Random(1)
        ids = [1] + [rng.randrange(3, family.vocab) for _ in range(tokens - 1)]
        theirs = self.judged(gguf, ids, "--context", tokens, "--skip", skip)
        # What stands in front matters, and so do the factors: the original context takes the short ones.
        alone = self.likelihood(gguf, ids[skip:], tokens - skip)
        self.assertGreater(abs(alone / theirs - 1), 0.003)
        for kv_type, limit in (("f16", 0.001), ("f32", 0.001), ("q8_0", 0.01)):
            ours = self.likelihood(gguf, ids, tokens, "--skip", skip, "--kv-type", kv_type)
            print(f"tokens {skip} to {tokens}, {kv_type}: mean NLL ours {ours:.6f}, llama.cpp {theirs:.6f}, "
                  f"{100 * abs(ours / theirs - 1):.4f} % apart", file=sys.stderr)
            self.assertLess(abs(ours / theirs - 1), limit, kv_type)
        return gguf

    def test_behind_the_original_context(self):
        self.check(4700, 4200)

    @unittest.skipUnless(THOROUGH, "QUANTFLEET_THOROUGH is not set")
    def test_32k_tokens(self):
        gguf = self.check(32768, 32000)
        path = self.dir / "ids.json"
        for kv_type in ("f16", "q8_0"):
            said = memory_said(gguf, kv_type, 32768)
            process = Process(self.dir / "eval.log", "quantfleet-agent", "eval", gguf, "--tokens-file", path, "--skip", 32760,
                              "--context", 32768, "--kv-type", kv_type)
            self.addCleanup(process.stop)
            with Watch(process.popen.pid) as watch:
                self.assertEqual(process.wait(600), 0, process.log())
            print(f"32768 tokens, {kv_type}: said {said / 1e6:.1f} MB, held {watch.most / 1e6:.1f} MB", file=sys.stderr)
            self.assertLess(abs(watch.most / said - 1), 0.05)


@unittest.skipUnless(SHARED, "QUANTFLEET_SHARED is not set: the real vocabularies are not here")
@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class RealVocabularies(ModelTest):
    """Vocabularies of the real size go through our tokenizer files and come out of llama.cpp with the ids that
    its own tests expect."""

    def folder(self, family, vocab):
        folder = self.dir / "hf"
        folder.mkdir()
        f = families.FAMILIES[family]()
        f.hidden, f.intermediate, f.heads, f.kv_heads, f.head_dim, f.layers = 32, 32, 1, 1, 0, 1
        f.vocab = len(vocab["tokenizer.ggml.tokens"])
        f.ids = {text: i for i, text in enumerate(vocab["tokenizer.ggml.tokens"])}
        families.write_config(f, folder, rope_scaling=None)
        families.write_safetensors(folder / "model.safetensors", [
            (name, shape, "BF16", bytes(2 * math.prod(shape))) for name, shape, _ in families.tensors(f)])
        return folder

    def check(self, folder, name):
        texts = (SHARED / f"vocab/{name}.inp").read_text().split("\n__ggml_vocab_test__\n")
        want = [[int(i) for i in line.split()] for line in
                (SHARED / f"vocab/{name}.out").read_text().split("\n")[:len(texts)]]
        gguf = quantize(folder, self.dir / "out", ["q8_0"])["q8_0"]
        (self.dir / "texts.json").write_text(json.dumps(texts))
        got = llama_cpp(gguf, "tokenize", "--texts-file", self.dir / "texts.json")
        self.assertGreater(len(texts), 40)
        for text, ids, expected in zip(texts, got, want, strict=True):
            self.assertEqual(ids, expected, repr(text))

    def test_llama3(self):
        vocab = Gguf(SHARED / "vocab/ggml-vocab-llama-bpe.gguf").keys
        folder = self.folder("llama3", vocab)
        bpe = byte_bpe.ByteBpe("llama-bpe", [tuple(m.split(" ")) for m in vocab["tokenizer.ggml.merges"]])
        kinds = vocab["tokenizer.ggml.token_type"]
        bpe.vocab = {t: i for i, t in enumerate(vocab["tokenizer.ggml.tokens"]) if kinds[i] == 1}
        bpe.added = {i: (t, True) for i, t in enumerate(vocab["tokenizer.ggml.tokens"]) if kinds[i] != 1}
        (folder / "tokenizer.json").write_text(json.dumps(bpe.tokenizer_json("<|begin_of_text|>")))
        (folder / "tokenizer_config.json").write_text(json.dumps(families.LLAMA3_TOKENIZER))
        self.check(folder, "ggml-vocab-llama-bpe.gguf")

    def test_phi3(self):
        vocab = Gguf(SHARED / "vocab/ggml-vocab-phi-3.gguf").keys
        folder = self.folder("phi3-mini-4k", vocab)
        every = list(zip(*(vocab[f"tokenizer.ggml.{k}"] for k in ("tokens", "scores", "token_type"))))
        (folder / "tokenizer.model").write_bytes(sentencepiece_bpe.model_proto(every[:32000]))
        added = {i: t for i, (t, _, kind) in enumerate(every) if kind in (3, 4)}
        decoder = {i: {"content": t, "special": every[i][2] == 3} for i, t in added.items()}
        (folder / "tokenizer_config.json").write_text(json.dumps(
            {**families.PHI3_TOKENIZER, "added_tokens_decoder": decoder}))
        self.check(folder, "ggml-vocab-phi-3.gguf")


class BadFamilies(EndToEnd):
    """What contradicts itself or attacks is refused with file and field named, and leaves nothing behind."""

    def refused(self, source, *words):
        out = self.dir / "out"
        done = run("quantfleet", "quantize", source, "--target", "gguf:f16", "--out", out, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(list(out.rglob("*")) if out.exists() else [], [])
        self.assertLess(len(done.stderr), 4000)

    def model(self, name, **options):
        families.write(name, self.dir / name, **options)
        return self.dir / name

    def edited_tokenizer(self, name, edit):
        folder = self.model(name)
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        edit(tokenizer)
        path.write_text(json.dumps(tokenizer))
        return folder

    def test_regular_expressions_that_cannot_be_read_or_do_not_end(self):
        def use(regex):
            return lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=regex)
        self.refused(self.edited_tokenizer("phi4", use("(a")), "tokenizer.json", "(a")
        self.refused(self.edited_tokenizer("phi4", use("(a*" * 200000 + ")*" * 200000)), "tokenizer.json", "1000000 bytes")
        # This one is carried out, as far as a text allows.
        out = self.dir / "out"
        run("quantfleet", "quantize", self.edited_tokenizer("phi4", use(r"\p{N}{1,4}|(a+)+$")), "--target", "gguf:f16",
            "--out", out)
        model = out / "gguf-f16/model.gguf"
        self.assertTrue(run("quantfleet-agent", "tokenize", model, "--text", "1234 and so on").stdout)
        done = run("quantfleet-agent", "tokenize", model, "--text", "a" * 64 + "b", check=False, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("after byte", done.stderr)

    def test_deep_and_huge_json(self):
        folder = self.model("llama3")
        (folder / "tokenizer.json").write_text('{"model":' * 200000)
        self.refused(folder, "tokenizer.json", "not valid JSON")
        (folder / "tokenizer.json").write_text('{"added_tokens":[' + "0," * (16 << 20) + "0]}")
        self.refused(folder, "tokenizer.json", "MiB")
        (folder / "tokenizer.json").write_text('{"added_tokens":[' + " " * (65 << 20) + "]}")
        self.refused(folder, "tokenizer.json")

    def test_more_tokens_than_rows(self):
        def crowd(tokenizer):
            tokenizer["model"]["vocab"].update({f"extra{i}": 1000 + i for i in range(50000)})
        self.refused(self.edited_tokenizer("qwen2", crowd), "tokenizer.json", "50999", "vocab_size is")

    def test_a_text_with_two_ids(self):
        def twice(tokenizer):
            tokenizer["added_tokens"][-1]["content"] = tokenizer["added_tokens"][-2]["content"]
        self.refused(self.edited_tokenizer("phi4-mini", twice), "the same text '<|tool|>'")

    def test_configs_that_contradict_the_tensors(self):
        for name, change, *words in (
                ("phi3-medium", {"num_key_value_heads": 2}, "self_attn.qkv_proj.weight",
                 "num_key_value_heads"),
                ("phi4-mini", {"intermediate_size": 96}, "mlp.down_proj.weight", "intermediate_size"),
                ("llama2", {"num_key_value_heads": 2}, "self_attn.k_proj.weight", "num_key_value_heads"),
                ("llama32", {"head_dim": 16}, "self_attn.o_proj.weight", "head_dim"),
                ("qwen2", {"hidden_size": 64}, "model.embed_tokens.weight", "hidden_size"),
                ("mistral", {"vocab_size": 4096}, "model.embed_tokens.weight", "vocab_size"),
                ("qwen25-tied", {"tie_word_embeddings": False}, "lm_head.weight", "is missing"),
                ("phi3-mini-4k", {"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight",
                 "is missing")):
            with self.subTest(name):
                folder = self.model(name)
                config = json.loads((folder / "config.json").read_text())
                (folder / "config.json").write_text(json.dumps({**config, **change}))
                self.refused(folder, name, *words)

    def test_rope_factors_of_the_wrong_length(self):
        good = families.long_rope(16, 60)
        for change, *words in (
                ({"long_factor": good["long_factor"][:-1]}, "rope_scaling.long_factor has 15 values", "16"),
                ({"short_factor": good["short_factor"] * 2}, "rope_scaling.short_factor has 32 values", "16"),
                ({"short_factor": []}, "rope_scaling.short_factor has 0 values"),
                ({"long_factor": [0.0] * 16}, "rope_scaling.long_factor is 0"),
                ({"long_factor": ["x"] * 16}, "'long_factor'")):
            with self.subTest(change):
                self.refused(self.model("phi3-mini-128k", rope_scaling={**good, **change}), "config.json",
                             *words)

    def test_duplicate_tensors(self):
        folder = self.model("llama2", shards=2)
        # Across shards: the second one holds a tensor of the first as well.
        first, second = (folder / f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
        one, _ = read_safetensors(first)
        header, data = read_safetensors(second)
        name = next(n for n in one if n.endswith("norm.weight"))
        header[name] = {"dtype": "BF16", "shape": [128], "data_offsets": [len(data), len(data) + 256]}
        write_safetensors(second, header, data + bytes(256))
        self.refused(folder, second.name, name, first.name)
        # Within a file.
        folder = self.model("qwen2")
        raw = (folder / "model.safetensors").read_bytes()
        length = int.from_bytes(raw[:8], "little")
        text = raw[8:8 + length].replace(b"layers.1.input_layernorm", b"layers.0.input_layernorm")
        (folder / "model.safetensors").write_bytes(raw[:8] + text + raw[8 + length:])
        self.refused(folder, "model.safetensors", "model.layers.0.input_layernorm.weight", "occurs more than once")

    def test_pickles(self):
        folder = self.model("mistral")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        self.refused(folder, "pytorch_model.bin", "convert it to safetensors", "save_pretrained", str(folder))
        self.refused(folder / "pytorch_model.bin", "convert it to safetensors")


if __name__ == "__main__":
    unittest.main()
