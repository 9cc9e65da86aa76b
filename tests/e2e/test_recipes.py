"""Recipes judged by llama.cpp's own quantizer: of one name, the same type and the same bytes in every tensor."""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gguf_files import NUMBERS, read_gguf
from harness import BIN, ROOT, run

JUDGE = ROOT / "tests/judges/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
# The numbers of llama.cpp's enum llama_ftype.
RECIPES = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16,
           "q5_k_m": 17, "q6_k": 18}
# Rows that 256 divides and rows that only 32 does, heads tied and not, fused and not, too few layers for an eighth,
# and as many as make llama.cpp think of a 70B model.
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
    "qwen2-80": ("qwen2", dict(hidden=256, intermediate=256, layers=80)),
}


def make_model(folder, name, **more):
    architecture, options = MODELS[name]
    run("tiny_model", folder, architecture, *[f"{k}={v}" for k, v in {**options, **more}.items()])
    return folder


def llama_quantize(source, out, recipe, *options):
    done = subprocess.run([BIN / "llama_quantize", JUDGE, source, out, str(RECIPES[recipe]), *map(str, options)],
                          capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise AssertionError(f"llama.cpp's quantizer: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return read_gguf(out)


@unittest.skipUnless(JUDGE.exists(), "the judges are not installed (tests/judges/install.sh)")
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
        run("quantfleet", "quantize", source, *[x for r in recipes for x in ("--target", f"gguf:{r}")], "--out",
            self.dir / out, *options)
        return {r: read_gguf(self.dir / out / f"gguf-{r}/model.gguf") for r in recipes}

    def test_every_recipe_of_every_shape(self):
        for name in MODELS:
            source = make_model(self.dir / name, name)
            recipes = ["q4_k_s", "q4_k_m", "q5_k_m"] if "80" in name else list(RECIPES)
            ours = self.quantize(source, ["f32", *recipes], out=f"{name}-ours")
            kinds = {}
            for recipe in recipes:
                with self.subTest(model=name, recipe=recipe):
                    theirs = llama_quantize(self.dir / f"{name}-ours/gguf-f32/model.gguf", self.dir / "theirs.gguf",
                                            recipe)
                    self.assert_same(ours[recipe], theirs)
                    kinds[recipe] = sorted({t for t, _, _ in ours[recipe][1].values()} - {"f32"})
            print(f"{name}: as llama-quantize in {kinds}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
