"""llama.cpp itself judges our files: it loads them, finds the same tokens, the same likelihood, the same text; and its
quantizer makes the same bytes as our encoders on rows that are new in every run."""
import ctypes
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import BIN, DEMO, HELD_OUT, ROOT, SHARED, run, run_json
from judge import JUDGES, NODE, llama_cpp, llama_nll

RECIPES = ["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q5_0", "q4_1", "q4_0", "iq4_nl", "iq4_xs",
           "q3_k_m", "q2_k"]
TYPES = ["f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "q3_k", "q2_k", "iq4_nl", "iq4_xs",
         "iq3_s", "mxfp4"]
WEIGHABLE = TYPES[3:-1]
# ggml's name, elements and bytes of a block, and where its halves stand.
READ_TYPES = {
    "q4_0": ("q4_0", 32, 18, (0,)), "q4_1": ("q4_1", 32, 20, (0, 2)), "q5_0": ("q5_0", 32, 22, (0,)),
    "q5_1": ("q5_1", 32, 24, (0, 2)), "q8_0": ("q8_0", 32, 34, (0,)), "q2_k": ("q2_K", 256, 84, (80, 82)),
    "q3_k": ("q3_K", 256, 110, (108,)), "q4_k": ("q4_K", 256, 144, (0, 2)), "q5_k": ("q5_K", 256, 176, (0, 2)),
    "q6_k": ("q6_K", 256, 210, (208,)), "iq4_nl": ("iq4_nl", 32, 18, (0,)), "iq4_xs": ("iq4_xs", 256, 136, (0,)),
    "mxfp4": ("mxfp4", 32, 17, ()), "nvfp4": ("nvfp4", 64, 36, ()), "tq1_0": ("tq1_0", 256, 54, (52,)),
    "tq2_0": ("tq2_0", 256, 66, (64,)), "q1_0": ("q1_0", 128, 18, (0,)),
    "q2_0": ("q2_0", 64, 18, (0,)), "iq1_s": ("iq1_s", 256, 50, (0,)), "iq1_m": ("iq1_m", 256, 56, ()),
    "iq2_xxs": ("iq2_xxs", 256, 66, (0,)), "iq2_xs": ("iq2_xs", 256, 74, (0,)), "iq2_s": ("iq2_s", 256, 82, (0,)),
    "iq3_xxs": ("iq3_xxs", 256, 98, (0,)), "iq3_s": ("iq3_s", 256, 110, (0,)),
}


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class LlamaCpp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-judge-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("quantfleet", "quantize", DEMO, *[x for r in RECIPES for x in ("--target", f"gguf:{r}")], "--out", cls.dir)

    def model(self, recipe):
        return self.dir / f"gguf-{recipe}/model.gguf"

    def test_same_tokens(self):
        tricky = self.dir / "tricky.txt"
        tricky.write_text("  The fox's  naïve 数字 12345 \t\n\n ends…  🦊 ")
        for text in (HELD_OUT, tricky):
            ours = run_json("quantfleet-agent", "tokenize", self.model("f32"), "--text-file", text, "--no-bos", "--json")
            self.assertEqual(ours["tokens"], llama_cpp(self.model("f32"), "tokenize", "--text-file", text))

    def test_same_likelihood(self):
        for recipe in RECIPES:
            with self.subTest(recipe):
                ours = run_json("quantfleet-agent", "eval", self.model(recipe), "--text-file", HELD_OUT, "--max-tokens", 512,
                                "--json")
                theirs = llama_nll(self.model(recipe), "--text-file", HELD_OUT, "--max-tokens", 512)
                self.assertEqual(ours["tokens"], theirs["tokens"])
                difference = abs(ours["mean_nll"] / theirs["mean_nll"] - 1)
                print(f"mean NLL {recipe}: ours {ours['mean_nll']:.6f}, llama.cpp {theirs['mean_nll']:.6f}, "
                      f"{100 * difference:.3f} % apart", file=sys.stderr)
                self.assertLess(difference, 0.005)

    def test_same_greedy_text(self):
        for prompt in ("Once upon a time", "The little"):
            ours = run_json("quantfleet-agent", "run", self.model("f32"), "--prompt", prompt, "--greedy", "--max-tokens", 60,
                            "--json")
            theirs = llama_cpp(self.model("f32"), "greedy", "--prompt", prompt, "--max-tokens", 60)
            self.assertEqual(ours["text"], theirs["text"])

    @unittest.skipUnless(SHARED, "QUANTFLEET_SHARED is not set: stories260k is not here")
    def test_stories260k_says_what_llama2c_says(self):
        out = self.dir / "stories"
        run("quantfleet", "quantize", SHARED / "models/stories260k", *[x for r in RECIPES for x in ("--target", f"gguf:{r}")],
            "--out", out)
        golden = (SHARED / "models/stories260k/golden-greedy.txt").read_text().strip()
        prompt = "Once upon a time"
        ours = run_json("quantfleet-agent", "run", out / "gguf-f32/model.gguf", "--greedy", "--prompt", prompt,
                        "--max-tokens", 255, "--json")
        said = (prompt + ours["text"]).strip()
        self.assertTrue(golden.startswith(said) or said.startswith(golden), f"{said!r}\n{golden!r}")
        self.assertGreater(len(said), 200)
        for recipe in RECIPES:
            text = self.dir / "g.txt"
            text.write_text(golden[:400])
            a = run_json("quantfleet-agent", "eval", out / f"gguf-{recipe}/model.gguf", "--kv-type", "f32", "--text-file", text,
                         "--json")
            b = llama_nll(out / f"gguf-{recipe}/model.gguf", "--text-file", text)
            self.assertLess(abs(a["mean_nll"] / b["mean_nll"] - 1), 0.005, recipe)


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class GgmlBytes(unittest.TestCase):
    def rows(self, rng, count, cols):
        """Rows of unlike kinds: normal, heavy-tailed, tiny, subnormal, constant, with ties and zeros."""
        values = []
        for _ in range(count):
            kind, scale = rng.randrange(6), 10.0 ** rng.uniform(-6, 3)
            for _ in range(cols):
                x = rng.gauss(0, 1) * scale
                if kind == 1 and rng.random() < 0.02:
                    x *= 50
                elif kind == 2:
                    x = rng.choice((0.0, scale, -scale, scale / 2))
                elif kind == 3:
                    x = rng.uniform(-1, 1) * 1e-39
                elif kind == 4:
                    x = scale
                values.append(max(-60000.0, min(60000.0, x)))
        return struct.pack(f"<{len(values)}f", *values)

    def test_encoders_make_ggmls_bytes(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"ggml_quantize_chunk against our encoders: QUANTFLEET_SEED={seed}", file=sys.stderr)
        rng = random.Random(seed)
        library = next(JUDGES.glob("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so*"))
        with tempfile.TemporaryDirectory() as folder:
            source, weights, ours, theirs = (Path(folder) / n for n in ("in.f32", "weights.f32", "ours.bin", "theirs.bin"))
            for cols in (256, 512 + 32, 1024):
                source.write_bytes(self.rows(rng, 120, cols))
                weights.write_bytes(struct.pack(f"<{cols}f", *(0 if rng.random() < 0.02 else rng.expovariate(1)
                                                               for _ in range(cols))))
                for kind in TYPES:
                    if cols % 256 and (kind.endswith("_k") or kind in ("iq4_xs", "iq3_s")):
                        continue
                    for weighed in (False, True) if kind in WEIGHABLE else (False,):
                        with self.subTest(kind=kind, cols=cols, weighed=weighed):
                            run("codec_tool", "encode", kind, cols, source, ours, *(["--importance", weights] if weighed else []))
                            subprocess.run([BIN / "ggml_quantize", library, kind, str(cols), source, theirs,
                                            *([weights] if weighed else [])], check=True)
                            self.assertEqual(ours.read_bytes(), theirs.read_bytes())

    def test_decoders_make_ggmls_values(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"ggml's dequantize_row against our decoders: QUANTFLEET_SEED={seed}", file=sys.stderr)
        rng = random.Random(seed)
        library = next(JUDGES.glob("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so*"))
        ggml, count = ctypes.CDLL(str(library)), 256 * 512
        with tempfile.TemporaryDirectory() as folder:
            blocks, ours = Path(folder) / "blocks.bin", Path(folder) / "ours.f32"
            for kind, (symbol, elements, size, halves) in READ_TYPES.items():
                with self.subTest(kind=kind):
                    data = bytearray(rng.randbytes(count // elements * size))
                    for block in range(0, len(data), size):
                        if kind == "iq1_m":
                            data[block + 55] &= 0xbf  # its half is spread over nibbles: finite without its highest exponents
                        for half in halves:
                            struct.pack_into("<e", data, block + half, rng.gauss(0, 1) * 10 ** rng.uniform(-6, 3))
                    blocks.write_bytes(data)
                    run("codec_tool", "decode", kind, 1024, blocks, ours)
                    theirs = (ctypes.c_float * count)()
                    getattr(ggml, f"dequantize_row_{symbol}")(bytes(data), theirs, ctypes.c_int64(count))
                    self.assertEqual(ours.read_bytes(), bytes(theirs))

    def test_codebooks_are_ggmls(self):
        library = next(JUDGES.glob("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so*"))
        made = subprocess.run([sys.executable, JUDGES / "codebooks.py", library], capture_output=True, text=True,
                              check=True).stdout
        self.assertEqual(made.count("constexpr"), 6)
        self.assertIn(made, (ROOT / "pipeline/tensor/codebooks.cc").read_text())


if __name__ == "__main__":
    unittest.main()
