"""The runtimes for which we make folders run them as our engine runs the same codes, whatever the family.

Of each family one target per runtime, every target by some family; with QUANTFLEET_MATRIX=1 every preset and every target, and
with QUANTFLEET_MATRIX=write its result becomes the section of docs/formats/models.md. The runtimes are downloaded with
QUANTFLEET_THOROUGH or QUANTFLEET_MATRIX set; without, these tests run where they are installed.
"""
import json
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import runtime_table
from harness import MATRIX, ROOT, THOROUGH, run
from judge import hold_against, install_runtimes, runtimes

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# A target, the GGUF of the same codes, and the most that may differ: a logit, and the mean KL in nats. Where weights and
# arithmetic are the same, only the order of additions differs. onnx:fp16 calculates in F16, onnx:int4 with activations of 8 bits.
SAME = {"onnx:fp32": ("f32", 1e-3, 1e-9), "onnx:fp16": ("f16", 0.5, 1e-3), "onnx:int4-exact": ("q4_0", 1e-3, 1e-9),
        "onnx:int4": ("q4_0", 6, 0.1), "openvino:fp16": ("f16", 1e-3, 1e-9), "openvino:int8": ("q8_0", 1e-3, 1e-9),
        "openvino:int4": ("q4_0", 1e-3, 1e-9), "mlx:fp16": ("f16", 1e-3, 1e-9), "mlx:bf16": ("bf16", 1e-3, 1e-9),
        "mlx:int4": ("q4_0", 1e-3, 1e-9)}
# What a runtime computes otherwise than the family's authors: its limits, how many tokens are compared, and what the table says.
TOKENS, NEW = 160, 24
OTHERWISE = {("gemma", "mlx"): (0.02, 1e-5, TOKENS, "mlx-lm computes Gemma's GELU by erf instead of tanh."),
             ("gemma2", "mlx"): (1e-3, 1e-9, 100, "mlx-lm ignores Gemma 2's windows: it is compared on 100 tokens, which are "
                                                  "within them."),
             ("gpt-oss", "mlx"): (0.5, 1e-3, TOKENS, "mlx-lm rounds the ends of YaRN's ramp to whole dimensions, which gpt-oss's "
                                                     "config.json says not to do."),
             ("gemma3", "mlx"): (0.02, 1e-5, TOKENS, "mlx-lm rounds sqrt(hidden), by which Gemma 3's embedding is multiplied, to "
                                                     "BF16.")}
# phimoe's weights of experts jump where a score comes within reach of another: what rounds activations moves some tokens far.
JUMPING = {("phimoe", "onnx:fp16"): (8, 0.03), ("phimoe", "onnx:int4"): (15, 0.4)}
# Publishers' folders that mlx-lm does not read: of no class of its own, or with a vocabulary that its class does not expect.
UNREAD = ("phi4-multimodal", "gemma3-vision")
# Fewer tokens for what takes long, more than a window even so.
FEWER = {"gemma3-vision": 96, "gemma3-27b": 64}
# MLX's CPU multiplies by codes slowly.
NOT_RUN = {"mlx:int4": ("gemma3-vision", "gemma3-27b", "gpt-oss")}
# Their scores are capped, which ScaledDotProductAttention cannot do.
WITHOUT_PAGED_ATTENTION = ("gemma2",)
# Families as they are, but for what a runtime does not take: ONNX Runtime rotates multiples of 16 dimensions, as the real
# Phi-4-mini has them.
CONFIG = {preset: {"partial_rotary_factor": 0.5, "rope_scaling": families.long_rope(8, 40)}
          for preset in ("phi4-mini", "phi4-mini-reasoning", "phi4-multimodal")}
CONTEXT, LONG = 512, 8192  # of the engine; LONG is beyond the original context of every LongRoPE here


def runtime_of(target):
    return target.split(":")[0]


def diagonal():
    """(preset, its targets): the first preset of each family, one target per runtime, in turn."""
    first = {}
    for preset, make in families.FAMILIES.items():
        first.setdefault(make().architecture, preset)
    for at, preset in enumerate(first.values()):
        mine = [[t for t in SAME if runtime_of(t) == name] for name in runtimes]
        yield preset, [targets[at % len(targets)] for targets in mine]


class Judged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH or bool(MATRIX))
        cls.versions = {name: judge("", "versions") for name, judge in runtimes.items()}

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-runtimes-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write_ids(self, name, ids):
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps(ids))
        return path

    def ours(self, gguf, ids, context, name="ours"):
        run("logits", gguf, ids, context, self.dir / name)
        return self.dir / name

    def made(self, preset, targets):
        """The folder of each target, the GGUF that stands for it, the source, and what families.write says."""
        source, folders = self.dir / preset / "source", {}
        family = families.write(preset, source, **CONFIG.get(preset, {}))
        for codes in ("", "q8_0", "q4_0"):
            mine = [t for t in targets if (SAME[t][0] if "int" in t else "") == codes]
            same = {t: f"gguf:{SAME[t][0]}" for t in mine} | ({} if codes else {"source": "gguf:f32"})
            wanted = [*mine, *sorted(set(same.values()))]
            of = ("--output-type", "q8_0", "--embedding-type", "q8_0") if codes else ()
            if codes and family.architecture == "gpt-oss":  # whose GGUF would keep the experts as they are
                of += tuple(word for part in ("gate", "up", "down")
                            for word in ("--tensor-type", f"role:ffn_{part}_expert={codes}"))
            out = self.dir / preset / (codes or "floats")
            if wanted:
                run("quantfleet", "quantize", source, *(word for t in wanted for word in ("--target", t)), *of, "--out", out)
            for t, gguf in same.items():
                folders[t] = (source if t == "source" else out / t.replace(":", "-"), out / gguf.replace(":", "-") / "model.gguf")
        return folders, family

    def compare(self, preset, target, folder, gguf, family, ids):
        """What the runtime says, held against the limits."""
        runtime, limits = ("mlx", (1e-3, 1e-9)) if target == "source" else (runtime_of(target), SAME[target][1:])
        limits = JUMPING.get((family.architecture, target), limits)
        if (family.architecture, runtime) in OTHERWISE:
            *own, count, _ = OTHERWISE[family.architecture, runtime]
            limits, ids = [max(pair) for pair in zip(limits, own)], ids[:count]
        # mlx-lm takes LongRoPE's long factors at every length, the others by the length of the text.
        long = runtime == "mlx" and "rope_scaling" in family.config and "long_factor" in (family.config["rope_scaling"] or {})
        path = self.write_ids("ids", ids)
        said = runtimes[runtime](folder, "compare", path, self.ours(gguf, path, LONG if long else CONTEXT))
        hold_against(self, f"{preset} {target}", said, limits)
        return said

    def likeliest(self, gguf, ids, new, context=CONTEXT):
        """How many of the new ids were the likeliest ones for our engine, or as good as that."""
        whole = self.write_ids("whole", ids + new)
        raw = self.ours(gguf, whole, context).read_bytes()
        vocab = len(raw) // 4 // len(ids + new)
        rows = [struct.unpack_from(f"<{vocab}f", raw, 4 * vocab * at) for at in range(len(ids) - 1, len(ids + new) - 1)]
        return sum(row[token] > max(row) - 1e-3 for row, token in zip(rows, new))

    def generated(self, preset, folder, gguf, ids):
        """{attention: (tokens that are right, tokens), or None} of OpenVINO GenAI's pipeline."""
        prompt = ids[:len(ids) * 3 // 4]
        said = runtimes["openvino"](folder, "generate", self.write_ids("prompt", prompt), NEW)["ids"]
        right = {way: new and (self.likeliest(gguf, prompt, new), len(new)) for way, new in said.items()}
        print(f"{preset} LLMPipeline: {right}", file=sys.stderr)
        return right

    def judge(self, preset, targets, generates):
        """{target: what its runtime said}; of "generates" too, if wanted."""
        targets = [t for t in targets if preset not in NOT_RUN.get(t, ())]
        folders, family = self.made(preset, targets)
        ids = [1 + 37 * i * i % (family.vocab - 1) for i in range(FEWER.get(preset, TOKENS))]
        said = {}
        if preset in UNREAD:
            folders.pop("source")
        for target, (folder, gguf) in folders.items():
            with self.subTest(preset, target=target):
                said[target] = self.compare(preset, target, folder, gguf, family, ids)
        if generates and "openvino:fp16" in folders:
            with self.subTest(preset, target="LLMPipeline"):
                said["generates"] = self.generated(preset, *folders["openvino:fp16"], ids)
                self.assertEqual(said["generates"]["PA"] is None, family.architecture in WITHOUT_PAGED_ATTENTION)
                for way, counted in said["generates"].items():
                    self.assertEqual(len(set(counted or ())), int(counted is not None), (way, counted))
        shutil.rmtree(self.dir / preset)
        return said

    @unittest.skipIf(MATRIX, "the matrix has it all")
    def test_each_family_in_each_runtime(self):
        seen = set()
        for preset, targets in diagonal():
            seen |= set(targets)
            self.judge(preset, targets, False)
        self.assertEqual(seen, set(SAME))

    @unittest.skipUnless(MATRIX, "QUANTFLEET_MATRIX is not set: a part of it is tested")
    def test_the_matrix(self):
        said = {preset: self.judge(preset, SAME, True) for preset in families.FAMILIES}
        if MATRIX == "write":
            runtime_table.rewrite("test_runtimes.py", self.section(said))

    def test_paged_attention_knows_windows_and_long_factors(self):
        """It goes without the mask, by which the graph says how far a query sees and how long the text is."""
        def tokens(name, preset, **config):
            source, out = self.dir / name / "source", self.dir / name / "out"
            family = families.write(preset, source, **config)
            run("quantfleet", "quantize", source, "--target", "openvino:fp16", "--target", "gguf:f16", "--out", out)
            ids = [1 + 37 * i * i % (family.vocab - 1) for i in range(TOKENS)]
            said = runtimes["openvino"](out / "openvino-fp16", "generate", self.write_ids(name, ids), NEW)["ids"]
            self.assertEqual(said["PA"], said["SDPA"])
            return ids, said["PA"], out / "gguf-f16/model.gguf"
        _, seen, _ = tokens("all", "phi3-medium", sliding_window=None)
        _, windowed, _ = tokens("window", "phi3-medium", sliding_window=16)  # which the engine does not heed
        self.assertNotEqual(windowed, seen)
        ids, long, gguf = tokens("long", "phi35-mini", max_position_embeddings=256, original_max_position_embeddings=64)
        self.assertEqual(self.likeliest(gguf, ids, long, 256), len(long))

    def test_a_window_hides_what_lies_behind_it(self):
        """Of one layer, what follows 16 tokens does not depend on what stands before them."""
        source, out = self.dir / "source", self.dir / "out"
        family = families.write("phi3-medium", source, sizes={"layers": 1}, sliding_window=16)
        run("quantfleet", "quantize", source, "--target", "openvino:fp16", "--out", out)
        ids = [1 + 37 * i * i % (family.vocab - 1) for i in range(60)]

        def tokens(before, known):
            prompt = self.write_ids("prompt", before + known)
            return runtimes["openvino"](out / "openvino-fp16", "generate", prompt, NEW)["ids"]
        for count, same in ((16, True), (8, False)):
            known = ids[30:30 + count]
            first, second = tokens(ids[:10], known), tokens(ids[10:25], known)
            self.assertEqual(first == second, same, (first, second))

    def test_longrope_on_both_sides_of_the_original_length(self):
        """The graph decides by the length so far, our engine by its context: each context is matched with a text."""
        source, out = self.dir / "source", self.dir / "out"
        family = families.write("phi35-mini", source, max_position_embeddings=256, original_max_position_embeddings=64)
        run("quantfleet", "quantize", source, "--target", "openvino:fp16", "--target", "gguf:f16", "--out", out)
        ids = [1 + 37 * i * i % (family.vocab - 1) for i in range(120)]
        for count, context, same in ((60, 64, True), (60, 256, False), (120, 256, True)):
            path = self.write_ids("ids", ids[:count])
            ours = self.ours(out / "gguf-f16/model.gguf", path, context)
            said = runtimes["openvino"](out / "openvino-fp16", "compare", path, ours)["whole"]
            self.assertEqual(said["max"] < 1e-3, same, said)

    def test_openvino_computes_the_chosen_experts_alone(self):
        """Whatever their types: it recognizes the graph's products with all experts."""
        for preset, products, target, *of in (("qwen3moe", 3, "openvino:fp16"), ("qwen3moe", 3, "openvino:int8-asym"),
                                              ("qwen3moe", 3, "openvino:int4", "--tensor-type", "role:ffn_down_expert=q8_0"),
                                              ("gpt-oss", 2, "openvino:fp16"), ("gpt-oss", 2, "openvino:int4")):
            with self.subTest(preset, target=target, of=of):
                family = families.write(preset, self.dir / preset)
                out = self.dir / f"{preset} {target} {of[1:]}".replace(":", "-")
                run("quantfleet", "quantize", self.dir / preset, "--target", target, *of, "--out", out)
                layers = runtimes["openvino"](out / target.replace(":", "-"), "layers")
                self.assertEqual(layers.get("GatherMatmul"), products * family.layers, layers)

    def section(self, said):
        def cell(told):
            worst = [max(told[way][what] for way in ("whole", "parts", "single")) for what in ("max", "kl")]
            return f"{runtime_table.power(worst[0])}, {runtime_table.power(worst[1])}"

        def missing(preset, target):
            if target == "source" and preset in UNREAD:
                return "not read"
            if preset in NOT_RUN.get(target, ()):
                return "not run"
            return "failed"
        parts = []
        for name in runtimes:
            columns = [t for t in SAME if runtime_of(t) == name] + (["source"] if name == "mlx" else [])
            rows = {preset: [cell(told[t]) if t in told else missing(preset, t) for t in columns]
                    for preset, told in said.items()}
            if name == "openvino":
                for preset, told in said.items():
                    for way in ("SDPA", "PA"):
                        right = told["generates"][way] if "generates" in told else missing(preset, name)
                        text = right if isinstance(right, str) else "{} of {}".format(*right) if right else "falls back"
                        rows[preset].append(text)
            package = " on ".join(f"{what} {version}" for what, version in self.versions[name].items())
            more = ["LLMPipeline, SDPA", "LLMPipeline, PA"] if name == "openvino" else []
            parts.append(f"**{package}**\n\n" + runtime_table.table("preset", columns + more, rows))
        own = [t for t in SAME if runtime_of(t) != "onnx"]

        def by_default(preset, told, target):
            if target not in told:
                return missing(preset, target)
            return runtime_table.power(told[target]["own"]["kl"]) if "own" in told[target] else "cannot"
        rows = {preset: [by_default(preset, told, target) for target in own] for preset, told in said.items()}
        parts.append("**KL as the runtimes run the folders by default**\n\n" + runtime_table.table("preset", own, rows))
        parts.append("".join(f"{row[-1]}\n" for row in OTHERWISE.values()))
        return "\n".join(parts)


class Page(unittest.TestCase):
    def test_the_table_names_every_family(self):
        _, within, _ = runtime_table.sections("test_runtimes.py")
        for preset in families.FAMILIES:
            self.assertGreaterEqual(within.count(f"| {preset} |"), len(runtimes), f"{runtime_table.PAGE}: {preset}")


if __name__ == "__main__":
    unittest.main()
