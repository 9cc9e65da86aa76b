"""Recipes judged by llama.cpp's own quantizer: of one name, the same type and bytes in every tensor."""
import math
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gguf_files import NUMBERS, read_gguf, write_importance
from harness import BIN, EndToEnd, MATRIX, SANITIZED, THOROUGH, run, run_json
from judge import LLAMA_CPP

# The numbers of llama.cpp's enum llama_ftype.
RECIPES = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12,
           "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "iq3_s": 26,
           "iq3_m": 27, "iq4_xs": 30, "mxfp4_moe": 38}
# Rows that 256 divides and rows that only 32 does, heads tied and not, fused and not, too few layers for an
# eighth, and as many as make llama.cpp think of a 70B model.
MODELS = {
    "phi3": ("phi3", dict(hidden=256, intermediate=512, layers=10)),
    "phi3-odd": ("phi3", dict(hidden=96, intermediate=224, layers=8)),
    "llama": ("llama", dict(hidden=256, intermediate=512, layers=16)),
    "llama-tied": ("llama", dict(hidden=256, intermediate=352, layers=9, tied=1)),
    "llama-few": ("llama", dict(hidden=256, intermediate=256, layers=2)),
    "llama-80": ("llama", dict(hidden=256, intermediate=256, layers=80)),
    "llama-80-mha": ("llama", dict(hidden=256, intermediate=256, layers=80, kv_heads=4)),
    "qwen2": ("qwen2", dict(hidden=256, intermediate=512, layers=8)),
    "qwen2-tied": ("qwen2", dict(hidden=224, intermediate=256, layers=8, tied=1)),
    "qwen3": ("qwen3", dict(hidden=256, intermediate=512, layers=9, head_dim=128)),
    # With eight experts llama.cpp chooses other types; neither's experts have layers of their own to count.
    "qwen3moe": ("qwen3moe", dict(hidden=256, layers=9, head_dim=128, experts=5, expert_width=256)),
    "qwen3moe-8": ("qwen3moe", dict(hidden=256, layers=9, head_dim=128, experts=8, expert_width=96)),
    "granite": ("granite", dict(hidden=256, intermediate=512, layers=8, tied=1)),
    "phi2": ("phi2", dict(hidden=256, intermediate=512, layers=9)),
    "gemma2": ("gemma2", dict(hidden=256, intermediate=512, layers=9)),
    # Rows as wide as those of 270M: 256 does not divide them.
    "gemma3": ("gemma3", dict(hidden=160, intermediate=512, layers=9, tied=1)),
    "qwen2-80": ("qwen2", dict(hidden=256, intermediate=256, layers=80)),
}


# The rules for a 70B model are one line of each of these; the judge takes ten seconds for each.
LARGE_RECIPES = ["q2_k", "q3_k_m", "q3_k_s", "q4_k_s", "q4_k_m", "q5_k_m", "iq4_xs"] if THOROUGH else ["q4_k_m"]
WEIGHED = ["phi3", "phi3-odd", "qwen3moe", "llama-tied", "qwen2"] if MATRIX else ["phi3", "phi3-odd", "qwen3moe"]


def recipes_of(name):
    """All for the first shapes; of the others each has half of them, and the next one the other half."""
    recipes = LARGE_RECIPES if "80" in name else list(RECIPES)
    at = list(MODELS).index(name)
    return recipes if MATRIX or at < 4 or len(recipes) == 1 else recipes[at % 2::2]


def make_model(folder, name, **more):
    architecture, options = MODELS[name]
    run("tiny_model", folder, architecture, *[f"{k}={v}" for k, v in {**options, **more}.items()])
    return folder


def importance_entries(source, rng, skip=()):
    """Sums of squares for every matrix of our F32 file, as unlike as calibration's: from 0 to very many."""
    entries = {}
    for name, (_, dims, _) in read_gguf(source)[1].items():
        if len(dims) > 1 and not any(re.search(s, name) for s in skip):
            # Of a tensor of experts each has its own, and one of them was never chosen.
            counts = [rng.choice((1, 7, 512, 4096)) for _ in range(dims[2] if len(dims) == 3 else 1)]
            if len(counts) > 1:
                counts[1] = 0
            entries[name] = ([0.0 if rng.random() < 0.02 else (count or 1) * math.exp(rng.gauss(-3, 2))
                              for count in counts for _ in range(dims[0])], counts)
    return entries


def llama_quantize(source, out, recipe, *options):
    command = [BIN / "llama_quantize", LLAMA_CPP, source, out, str(RECIPES[recipe]), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise AssertionError(f"llama.cpp's quantizer: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return read_gguf(out)


@unittest.skipUnless(LLAMA_CPP.exists(), "the judges are not installed (tests/judges/install.sh)")
class SameAsLlamaQuantize(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-recipes-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def assert_same(self, ours, theirs, bytes_too=True):
        keys, tensors = ours
        their_keys, their_tensors = theirs
        self.assertEqual(keys["general.file_type"], their_keys["general.file_type"])
        self.assertEqual({n: (t, d) for n, (t, d, _) in tensors.items()},
                         {n: (t, d) for n, (t, d, _) in their_tensors.items()})
        if bytes_too:
            unlike = [n for n in tensors if tensors[n][2] != their_tensors[n][2]]
            self.assertEqual(unlike, [], "tensors whose bytes differ")

    def quantize(self, source, recipes, *options, out="ours"):
        targets = [x for r in recipes for x in ("--target", f"gguf:{r}")]
        run("quantfleet", "quantize", source, *targets, "--out", self.dir / out, *options)
        return {r: read_gguf(self.dir / out / f"gguf-{r}/model.gguf") for r in recipes}

    def test_every_recipe_of_every_shape(self):
        # A sanitizer looks for other faults than a wrong type: some shapes are enough for it.
        for name in list(MODELS)[:2] if SANITIZED else MODELS:
            source = make_model(self.dir / name, name)
            recipes = recipes_of(name)
            ours = self.quantize(source, ["f32", *recipes], out=f"{name}-ours")
            kinds = set()
            for recipe in recipes:
                with self.subTest(model=name, recipe=recipe):
                    f32 = self.dir / f"{name}-ours/gguf-f32/model.gguf"
                    theirs = llama_quantize(f32, self.dir / "theirs.gguf", recipe)
                    self.assert_same(ours[recipe], theirs)
                    kinds |= {t for t, _, _ in ours[recipe][1].values()}
            print(f"{name}: {len(recipes)} recipes as llama-quantize makes them, {sorted(kinds)}", file=sys.stderr)

    def test_importance(self):
        rng = random.Random(5)
        for name in WEIGHED:
            source = make_model(self.dir / name, name)
            f32 = self.dir / name / "f32/gguf-f32/model.gguf"
            run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", self.dir / name / "f32")
            imatrix = self.dir / "i.gguf"
            # The head and one layer's v have none; one count is 0, which makes all columns alike.
            entries = importance_entries(f32, rng, skip=("^output", "blk.1.attn_v"))
            entries["blk.0.attn_output.weight"] = (entries["blk.0.attn_output.weight"][0], [0])
            write_importance(imatrix, entries)
            recipes = [r for r in RECIPES if r != "f16"]
            ours = self.quantize(source, recipes, "--imatrix", imatrix, out=f"{name}-ours")
            plain = self.quantize(source, recipes, out=f"{name}-plain")
            for recipe in recipes:
                with self.subTest(model=name, recipe=recipe):
                    theirs = llama_quantize(f32, self.dir / "theirs.gguf", recipe, "--imatrix", imatrix)
                    self.assert_same(ours[recipe], theirs)
                    if recipe not in ("q8_0", "mxfp4_moe") and not (recipe == "q6_k" and name == "phi3-odd"):
                        self.assertNotEqual(ours[recipe], plain[recipe])

    def test_changes(self):
        source = make_model(self.dir / "m", "llama")
        f32 = self.dir / "f32/gguf-f32/model.gguf"
        run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", self.dir / "f32")
        cases = [
            ["--pure"],
            ["--tensor-type", "attn_k=iq4_nl", "--tensor-type", "ffn_up=iq4_xs", "--tensor-type", "ffn_gate=mxfp4"],
            ["--output-type", "q5_1"],
            ["--embedding-type", "q8_0"],
            ["--tensor-type", "attn_output=q8_0", "--tensor-type", r"blk\.[3-5]\..*ffn_up=q5_0"],
            ["--tensor-type", "^blk.1[0-9].ffn_gate=q4_1", "--tensor-type", "ffn_gate=q6_k", "--pure"],
        ]
        for number, options in enumerate(cases):
            with self.subTest(options=options):
                ours = self.quantize(source, ["q4_k_m"], *options, out=f"c{number}")["q4_k_m"]
                judged = []
                for word in options:
                    match, equals, kind = word.rpartition("=")
                    judged.append(f"{match}={NUMBERS[kind]}" if equals else str(NUMBERS.get(word, word)))
                self.assert_same(ours, llama_quantize(f32, self.dir / "theirs.gguf", "q4_k_m", *judged))


class RecipeFilesAndImportance(EndToEnd):
    def test_a_recipe_file_makes_an_artifact_of_its_own_name(self):
        source = make_model(self.dir / "m", "phi3")
        recipe = self.dir / "r.toml"
        recipe.write_text('name = "phone"\nbase = "q4_k_m"\noutput = "q8_0"\n'
                          '[[override]]\nrole = "attn_output"\ntype = "q5_0"\n')
        command = ["quantfleet", "quantize", source, "--target", f"gguf:{recipe}", "--target", "gguf:q4_k_m"]
        plan = run_json(*command, "--dry-run", "--json")
        made = run_json(*command, "--out", self.dir / "out", "--json")
        phone = self.dir / "out/gguf-phone"
        tensors = read_gguf(phone / "model.gguf")[1]
        self.assertEqual({t["name"]: t["scheme"] for t in plan["targets"][0]["tensors"]},
                         {n: t for n, (t, _, _) in tensors.items()})
        self.assertEqual([t["files"] for t in plan["targets"]], [t["files"] for t in made["targets"]])
        self.assertEqual((phone / "model.gguf").stat().st_size,
                         next(f["size"] for f in plan["targets"][0]["files"] if f["path"] == "model.gguf"))
        self.assertEqual(tensors["output.weight"][0], "q8_0")
        self.assertEqual(tensors["blk.3.attn_output.weight"][0], "q5_0")
        shown = run_json("quantfleet", "inspect", phone, "--json")
        self.assertEqual(shown["recipe"], "phone")
        self.assertEqual(shown["changes"], ["base=q4_k_m", "output=q8_0", "role:attn_output=q5_0"])
        again = run_json(*command, "--out", self.dir / "again", "--threads", 1, "--json")
        self.assertEqual([t["manifest_digest"] for t in made["targets"]],
                         [t["manifest_digest"] for t in again["targets"]])
        self.assertLess(0.01, plan["targets"][0]["expected_error"])
        self.assertLess(plan["targets"][0]["expected_error"], plan["targets"][1]["expected_error"])

    def test_the_daemon_makes_what_a_class_names(self):
        source = make_model(self.dir / "m", "phi3")
        daemon = self.daemon().start()
        toml = self.dir / "class.toml"
        toml.write_text('name = "board"\nformat = "gguf"\nrecipe = "q9_k"\n')
        done = daemon.cli("class", "apply", toml, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'gguf:q9_k'", done.stderr)
        toml.write_text('name = "board"\nformat = "gguf"\nrecipe = "q5_k_m"\n')
        daemon.cli("class", "apply", toml)
        daemon.cli("model", "import", "m", source)
        daemon.cli("job", "submit", "m", "--class", "board,iot-int4", "--watch")
        made = {a["recipe"] for a in daemon.cli_json("artifact", "list")["artifacts"]}
        self.assertEqual(made, {"q5_k_m", "iq4_nl"})
        local = run_json("quantfleet", "quantize", source, "--target", "gguf:q5_k_m", "--out", self.dir / "out",
                         "--json")
        daemon.cli("artifact", "show", local["targets"][0]["manifest_digest"])

    def refused(self, words, *args, code=1):
        done = run("quantfleet", "quantize", *args, "--out", self.dir / "none", check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse((self.dir / "none").exists())

    def test_importance_names_the_artifact_and_what_is_wrong_is_refused(self):
        source = make_model(self.dir / "m", "llama-few")
        run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", self.dir / "f32")
        entries = importance_entries(self.dir / "f32/gguf-f32/model.gguf", random.Random(1))
        good = self.dir / "good.gguf"
        write_importance(good, entries)
        # Q8_0 knows no importance: the same chunks, yet another artifact.
        command = ["quantfleet", "quantize", source, "--target", "gguf:q8_0", "--json"]
        plain = run_json(*command, "--out", self.dir / "plain")["targets"][0]
        weighed = [run_json(*command, "--imatrix", good, "--out", self.dir / f"w{i}")["targets"][0]
                   for i in range(2)]
        self.assertEqual(weighed[0]["manifest_digest"], weighed[1]["manifest_digest"])
        self.assertNotEqual(plain["manifest_digest"], weighed[0]["manifest_digest"])
        shown = run_json("quantfleet", "inspect", self.dir / "w0/gguf-q8_0", "--json")
        self.assertIn("importance_digest", shown)

        down, bad = "blk.1.ffn_down.weight", self.dir / "bad.gguf"
        sums, counts = entries[down]

        def bent(*words, entry=None, **more):
            write_importance(bad, {**entries, **({down: entry} if entry else {})}, **more)
            self.refused(["bad.gguf", *words], source, "--target", "gguf:q4_k_m", "--imatrix", bad)

        bent(down, "255 values", "256 columns", entry=(sums[:-1], counts))
        bent(down, "2 counts", entry=(sums, [1, 1]))
        bent(down, "nan at column 3", entry=(sums[:3] + [math.nan] + sums[4:], counts))
        bent(down, "inf at column 0", entry=([math.inf] + sums[1:], counts))
        bent(down, "-1 at column 255", entry=(sums[:-1] + [-1.0], counts))
        bent(down, "not a valid count", entry=(sums, [-2]))
        bent(down, "not a valid count", entry=(sums, [math.nan]))
        bent("'imatrix'", kind="model")
        write_importance(bad, {"other.weight": (sums, counts)})
        self.refused(["bad.gguf", "another model"], source, "--target", "gguf:q4_0", "--imatrix", bad)
        raw = good.read_bytes()
        bad.write_bytes(raw.replace((down + ".counts").encode(), (down + ".county").encode()))
        self.refused(["bad.gguf", f"no matching '{down}.counts'"], source, "--target", "gguf:q4_0", "--imatrix", bad)
        bad.write_bytes(raw[:len(raw) // 2])
        self.refused(["bad.gguf"], source, "--target", "gguf:q4_0", "--imatrix", bad)
        bad.write_bytes(struct.pack("<i", 2) + bytes(100))
        self.refused(["bad.gguf", "llama-imatrix"], source, "--target", "gguf:q4_0", "--imatrix", bad)
        self.refused(["model.gguf", "is not an importance file"], source, "--target", "gguf:q4_0", "--imatrix",
                     self.dir / "f32/gguf-f32/model.gguf")

    def test_words_and_files_that_are_wrong(self):
        source = make_model(self.dir / "m", "llama-few")
        self.refused(["--tensor-type", "'(a'"], source, "--target", "gguf:q4_0", "--tensor-type", "(a=q8_0",
                     code=2)
        self.refused(["--output-type", "q9"], source, "--target", "gguf:q4_0", "--output-type", "q9", code=2)
        self.refused(["q4_k_x", "gguf:q4_k_m"], source, "--target", "gguf:q4_k_x", code=2)
        recipe = self.dir / "r.toml"
        recipe.write_text('name = "phone"\nbase = "q4_k_m"\noutptu = "q8_0"\n')
        self.refused([f"{recipe}: line 3: outptu"], source, "--target", f"gguf:{recipe}")
        self.refused(["none.toml"], source, "--target", f"gguf:{self.dir}/none.toml")


if __name__ == "__main__":
    unittest.main()
