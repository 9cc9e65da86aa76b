"""The aarch64 build (preset aarch64) under qemu-user, on three CPUs: unit tests, the codecs' bytes and the agent's text beside
the native build's, and what instructions are where. Says nothing of speed: an emulator has none to speak of.

Needs build/aarch64 (QUANTFLEET_AARCH64), build/release (QUANTFLEET_BIN) and what deploy/aarch64-sysroot.sh made.
"""
import array
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

BUILD = Path(os.environ.get("QUANTFLEET_AARCH64", harness.ROOT / "build/aarch64"))
SYSROOT = Path(os.environ.get("QUANTFLEET_SYSROOT", harness.ROOT / "build/aarch64-sysroot"))
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")

RECIPES = ("f16", "q8_0", "q4_0", "q4_k_m", "q6_k")
# What each CPU's set of products is called. The second has dot products and no products of matrices, the third neither.
SETS = {"max": "NEON i8mm", "neoverse-n1": "NEON dotprod", "cortex-a72": "NEON"}
# The emulated A72 has AES, the one of a Raspberry Pi 4 has not: this makes its programs see it so.
NO_CRYPTO = {"QEMU_SET_ENV": f"LD_PRELOAD={BUILD}/lib/libno_crypto.so"}

# Where each unit test runs, longest first. What the CPU's instructions choose between is in the tests of the engine: whole on the
# CPU that has all of them, and its models once more on the one that has the fewest. Left out is what costs long here and
# depends on no instruction: it runs natively.
UNIT_TESTS = [
    ("max", "decode_test", "Transformer.*-Transformer.ShortCachesOfLayersWithAWindowAreEnough"),
    ("max", "decode_test", "-Transformer.*:*SequencesThatSharePasses*:*BatchesAndThreads*/1:*BatchesAndThreads*/2"),
    ("max", "kernels_test", "*"),
    ("max", "measure_test", "*"),
    ("max", "tokenizer_test", "-BpeTokenizer.LongRunsAreSplitInBoundedTime"),
    ("cortex-a72", "tensor_test", "-ExpectedError.IsWhatNormalWeightsLose"),
    ("cortex-a72", "rounding_test", "FeedbackTest.*"),
    ("cortex-a72", "decode_test", "EngineTest.*:Transformer.EveryArchitectureAndTypeMatchesTheDefinition"),
    ("cortex-a72", "stage_test", "-*PowerCut*:FolderResumeTest.*:MixTest.*:Executor.ManySlabsOfHeadsOfOddSizeEqualTheNaiveWay"),
    ("cortex-a72", "format_test", "-HfTokenizer.HostileJson:HfTokenizer.LargeJson"),
    ("cortex-a72", "trust_test", "-ForeignTest.KeysOfEveryKindProveThemselves"),
] + [("cortex-a72", name, "*")
     for name in ("recipe_test", "family_test", "model_test", "artifact_test", "base_test", "agent_platform_test")]


def emulate(cpu, program, *args):
    command = [QEMU, "-cpu", cpu, "-L", str(SYSROOT), str(BUILD / "bin" / program), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500 * harness.SLOW,
                          env={**os.environ, **(NO_CRYPTO if cpu == "cortex-a72" else {})}, stdin=subprocess.DEVNULL)


class Aarch64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="quantfleet-aarch64-"))
        targets = [option for name in RECIPES for option in ("--target", f"gguf:{name}")]
        harness.run("quantfleet", "quantize", harness.DEMO, *targets, "--out", cls.folder / "demo")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def succeed(self, done):
        self.assertEqual(done.returncode, 0, f"{' '.join(done.args)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def test_unit_tests(self):
        def run(cpu, name, chosen):
            return emulate(cpu, name, f"--gtest_filter={chosen}", "--gtest_brief=1")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(run, *zip(*UNIT_TESTS)))
        for (cpu, name, _), done in zip(UNIT_TESTS, results):
            with self.subTest(cpu=cpu, test=name):
                self.assertRegex(self.succeed(done), r"\[  PASSED  \] [1-9]")

    def test_chosen_sets(self):
        for cpu, name in SETS.items():
            with self.subTest(cpu=cpu):
                options = ("--prompt-tokens", 8, "--tokens", 2, "--rounds", 1, "--threads", 1, "--json")
                done = emulate(cpu, "quantfleet-agent", "bench", self.model("q4_0"), *options)
                self.assertEqual(json.loads(self.succeed(done))["instruction_set"], name)

    def test_codecs_make_the_same_bytes(self):
        data = harness.ROOT / "tests/data/ggml-blocks"
        for name in ("f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs",
                     "mxfp4"):
            native, ours = self.folder / f"{name}.native", self.folder / f"{name}.aarch64"
            harness.run("codec_tool", "encode", name, 256, data / "input.f32", native)
            done = emulate("cortex-a72", "codec_tool", "encode", name, 256, data / "input.f32", ours)
            self.succeed(done)
            self.assertEqual(done.stderr, "", "the loader missed no_crypto, or Highway missed AES")
            self.assertEqual(ours.read_bytes(), native.read_bytes(), name)

    def test_rounding_with_feedback_makes_the_same_bytes(self):
        columns, source = 256, harness.ROOT / "tests/data/ggml-blocks/input.f32"
        values = array.array("f", source.read_bytes())
        rows = [values[at:at + columns] for at in range(0, len(values), columns)]
        moments = self.folder / "moments.f32"
        moments.write_bytes(array.array("f", (sum(row[i] * row[j] for row in rows)
                                              for i in range(columns) for j in range(i + 1))).tobytes())
        for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "q3_k", "q2_k", "iq4_nl", "iq4_xs",
                     "u4_g128"):
            native, ours = self.folder / f"{name}.native", self.folder / f"{name}.aarch64"
            harness.run("codec_tool", "encode", name, columns, source, native, "--moments", moments)
            self.succeed(emulate("cortex-a72", "codec_tool", "encode", name, columns, source, ours, "--moments", moments))
            self.assertEqual(ours.read_bytes(), native.read_bytes(), name)

    def model(self, name):
        return self.folder / "demo" / f"gguf-{name}" / "model.gguf"

    def test_the_agent_says_what_it_says_natively(self):
        def say(name):
            # In F32: what is rounded to 16 bits afterwards lies a bit apart where sums were added in another order, and that
            # turns a choice that was as good as even.
            options = ("run", self.model(name), "--prompt", "Once upon a time", "--greedy", "--max-tokens", 40, "--json",
                       "--kv-type", "f32")
            return harness.run_json("quantfleet-agent", *options), [emulate(cpu, "quantfleet-agent", *options) for cpu in SETS]

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            said = list(pool.map(say, RECIPES))
        for name, (native, emulated) in zip(RECIPES, said):
            for cpu, done in zip(SETS, emulated):
                with self.subTest(model=name, cpu=cpu):
                    self.assertEqual(json.loads(self.succeed(done))["text"], native["text"])

    def test_caches_of_fewer_bits_are_read_as_natively(self):
        for kv_type in ("f16", "q8_0"):
            options = ("eval", self.model("q4_0"), "--text-file", harness.HELD_OUT, "--max-tokens", 200, "--json",
                       "--kv-type", kv_type)
            native = harness.run_json("quantfleet-agent", *options)
            for cpu in ("max", "cortex-a72"):
                with self.subTest(kv_type=kv_type, cpu=cpu):
                    said = json.loads(self.succeed(emulate(cpu, "quantfleet-agent", *options)))
                    self.assertEqual(said["tokens"], native["tokens"])
                    self.assertLess(abs(said["mean_nll"] / native["mean_nll"] - 1), 0.003)

    # What armv8-a does not have stands only in the files that are called after the CPU was asked, and there it stands.
    def test_instructions_beyond_the_baseline_are_behind_the_choice(self):
        beyond = re.compile(r"\t(aes\w+|sha\d\w+|pmull2?|[su]dot|usdot|[su]mmla|usmmla|bfmmla|bfdot|\w+\tz\d)\b")
        archives = sorted(BUILD.glob("*/libqf_*.a"))
        self.assertIn(BUILD / "engine/libqf_kernels.a", archives)
        self.assertIn(BUILD / "pipeline/libqf_tensor.a", archives)
        inside, member = {}, ""
        listing = subprocess.Popen(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", *archives],
                                   stdout=subprocess.PIPE, text=True)
        with listing.stdout:
            for line in listing.stdout:
                if "file format" in line:
                    member = line.split(":")[0]
                elif match := beyond.search(line):
                    inside.setdefault(member, set()).add(match[1])
        self.assertEqual(listing.wait(), 0)
        self.assertEqual(inside, {"matrix_ops_dotprod.cc.o": {"sdot"}, "matrix_ops_i8mm.cc.o": {"sdot", "smmla"}})
