"""Every published family, as a tiny model of its shape: what we make of it is loaded by llama.cpp itself, which finds the
tokens that an independent tokenizer finds and the likelihood that our engine finds."""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

from harness import ROOT, run, run_json

sys.path.insert(0, str(ROOT / "tests/tools"))
import byte_bpe  # noqa: E402
import families  # noqa: E402

JUDGES = ROOT / "tests/judges"
NODE = JUDGES / "node_modules/.bin/node"
# How far apart the likelihoods may be. llama.cpp rounds activations to eight bits before it multiplies them with q8_0;
# with f16 it rounds next to nothing, and what a missing attention factor changes (0.16 %) shows.
LIMITS = {"f16": 0.0005, "q8_0": 0.005}
# Both engines run with it, so that both choose the same LongRoPE factors.
CONTEXT = 512

TRICKY = ("  The fox's  naïve 数字 12345 \t\n\n ends…  🦊 HelloWorld iPhone14Pro McDonald's JSONParser don't I'LL WE'VE "
          "it'S\r\n\r\n  x = 3.14159; // 1998/2024 /usr/bin\n\txylophone zebra<tool_call>zebra xylophone ÄÖpfel "
          "Ελληνικά नमस्ते ---===--- <|end|> <|im_end|> </s>  ")
# What `quantfleet inspect` has to say beyond the sizes.
SAYS = {
    "phi3-mini-4k": {"rope_scaling": "none", "sliding_window": 2047, "tied_embeddings": False},
    "phi3-mini-128k": {"rope_scaling": "longrope", "context": 131072, "original_context": 4096},
    "phi3-medium": {"rope_scaling": "none", "kv_heads": 1},
    "phi35-mini": {"rope_scaling": "longrope", "context": 131072, "original_context": 4096},
    "phi4": {"rope_scaling": "none", "rope_theta": 250000.0, "context": 16384},
    "phi4-mini": {"rope_scaling": "longrope", "rope_dims": 24, "head_dim": 32, "tied_embeddings": True},
    "llama2": {"rope_scaling": "none", "kv_heads": 4},
    "llama3": {"rope_scaling": "none", "rope_theta": 500000.0, "kv_heads": 1},
    "llama32": {"rope_scaling": "llama3", "tied_embeddings": True},
    "mistral": {"rope_scaling": "none", "context": 4096, "kv_heads": 1},
    "qwen2": {"rope_scaling": "none", "kv_heads": 2, "tied_embeddings": False},
    "qwen25-tied": {"rope_scaling": "none", "kv_heads": 2, "tied_embeddings": True},
}


def llama_cpp(model, *args):
    done = subprocess.run([NODE, JUDGES / "llama_cpp.mjs", model, *map(str, args)], capture_output=True, text=True,
                          timeout=600, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"llama.cpp on {model}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def quantize(source, out, recipes):
    run("quantfleet", "quantize", source, *[x for r in recipes for x in ("--target", f"gguf:{r}")], "--out", out)
    return {r: out / f"gguf-{r}/model.gguf" for r in recipes}


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-models-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def likelihood(self, gguf, ids, context=CONTEXT):
        path = self.dir / "ids.json"
        path.write_text(",".join(map(str, ids)))
        return run_json("quantfleet-agent", "eval", gguf, "--tokens-file", path, "--context", context,
                        "--json")["mean_nll"]

    def judged(self, gguf, ids):
        path = self.dir / "judged.json"
        path.write_text(json.dumps(ids))
        return llama_cpp(gguf, "nll", "--tokens-file", path)["mean_nll"]


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class Families(ModelTest):
    def tokens(self, family, gguf):
        """Ids of the tricky text, on which llama.cpp and another tokenizer agree."""
        text = self.dir / "tricky.txt"
        text.write_bytes(TRICKY.encode())
        theirs = llama_cpp(gguf, "tokenize", "--text-file", text)
        if not family.pre:
            self.assertEqual(run_json("quantfleet-agent", "tokenize", gguf, "--text-file", text, "--no-bos", "--json")
                             ["tokens"], theirs)
            return theirs
        self.assertEqual(family.byte_bpe.encode(TRICKY), theirs)
        # The text tells the pre-tokenizers apart: agreeing means something.
        for pre, (regex, ignore_merges) in byte_bpe.PRE_TOKENIZERS.items():
            if (regex, ignore_merges) != byte_bpe.PRE_TOKENIZERS[family.pre]:
                other = byte_bpe.ByteBpe(pre, family.byte_bpe.merges, families.WHOLE_WORDS, family.byte_bpe.added)
                self.assertNotEqual(other.encode(TRICKY), theirs, f"{pre} gives the same tokens")
        return theirs

    def check(self, name, **options):
        family = families.write(name, self.dir / name, **options)
        ggufs = quantize(self.dir / name, self.dir / "out", LIMITS)
        said = run_json("quantfleet", "inspect", ggufs["q8_0"].parent, "--json")["model"]
        self.assertEqual(said["architecture"], family.architecture)
        self.assertEqual(said["tokenizer"]["kind"], "byte-bpe" if family.pre else "sentencepiece")
        self.assertEqual(said["tokenizer"].get("pre", ""), family.pre)
        self.assertEqual(said["tokenizer"]["tokens"], family.vocab)
        for key, value in SAYS[name].items():
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
        SAYS_HERE = {**SAYS["phi3-mini-128k"], "original_context": 256}
        with unittest.mock.patch.dict(SAYS, {"phi3-mini-128k": SAYS_HERE}):
            _, ggufs, ids = self.check("phi3-mini-128k", original_max_position_embeddings=256)
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

    def test_llama2(self):
        self.check("llama2", dtypes=("F32",))

    def test_llama3(self):
        self.check("llama3")

    def test_llama32(self):
        self.check("llama32", dtypes=("F32", "F16", "BF16"))

    def test_mistral(self):
        self.check("mistral", shards=2)

    def test_qwen2(self):
        self.check("qwen2")

    def test_qwen25_tied(self):
        self.check("qwen25-tied")


if __name__ == "__main__":
    unittest.main()
