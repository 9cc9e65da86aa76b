"""Mixtures of experts of which llama.cpp computes something else than their authors published: the published code, in double
precision, is the judge."""
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import published_mixtures
from harness import ROOT, run, run_json

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

# Relative, of the mean NLL. No types whose activations are rounded to eight bits: the sparse mixer's weights jump where a
# score comes within reach of another, and what a jump does to 40 tokens is no measure. gpt-oss's experts are compared as F32,
# and as they are published, in MXFP4, within a limit of their own.
LIMITS = {"f32": 0.00002, "f16": 0.0005}
MXFP4_LIMIT = 0.003
EXPERTS_AS_F32 = [x for part in ("gate", "up", "down") for x in ("--tensor-type", f"role:ffn_{part}_expert=f32")]


class PublishedCode(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-experts-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def mean_nll(self, out, recipe):
        return run_json("quantfleet-agent", "eval", self.dir / out / f"gguf-{recipe}/model.gguf", "--tokens-file",
                        self.dir / "ids", "--context", 512, "--kv-type", "f32", "--json")["mean_nll"]

    def check(self, name, published, *options):
        source = self.dir / name
        family = families.write(name, source)
        ids = [(7 * i * i + 3 * i) % family.vocab for i in range(40)]
        logits = published(source, ids)
        want = published_mixtures.mean_nll(logits, ids)
        targets = [x for recipe in LIMITS for x in ("--target", f"gguf:{recipe}")]
        run("quantfleet", "quantize", source, *targets, *options, "--out", self.dir / "out")
        (self.dir / "ids").write_text(",".join(map(str, ids)))
        for recipe, limit in LIMITS.items():
            ours = self.mean_nll("out", recipe)
            print(f"{name} {recipe}: mean NLL of {len(ids)} tokens: ours {ours:.6f}, the published code {want:.6f}, "
                  f"{100 * abs(ours / want - 1):.4f} % apart", file=sys.stderr)
            self.assertLess(abs(ours / want - 1), limit, recipe)
        return source, ids, want

    def test_phimoe_without_long_rope(self):
        source, ids, want = self.check("phimoe-mini", published_mixtures.phimoe)
        # The limit tells the published code from what other runtimes compute: norms that keep the mean.
        layer_norm = published_mixtures.layer_norm
        self.addCleanup(setattr, published_mixtures, "layer_norm", layer_norm)
        published_mixtures.layer_norm = lambda x, weight, bias, epsilon: [
            v + b for v, b in zip(published_mixtures.rms_norm(x, weight, epsilon), bias)]
        other = published_mixtures.mean_nll(published_mixtures.phimoe(source, ids), ids)
        self.assertGreater(abs(other / want - 1), 10 * LIMITS["f32"])

    def test_phimoe_with_long_rope(self):
        source, ids, want = self.check("phi35-moe", published_mixtures.phimoe)
        # And weights that are made to sum to 1.
        mixer = published_mixtures.sparse_mixer
        self.addCleanup(setattr, published_mixtures, "sparse_mixer", mixer)

        def summing_to_one(scores, jitter):
            chosen = [expert for expert, _ in mixer(scores, jitter)]
            return list(zip(chosen, published_mixtures.softmax([scores[e] for e in chosen])))
        published_mixtures.sparse_mixer = summing_to_one
        other = published_mixtures.mean_nll(published_mixtures.phimoe(source, ids), ids)
        self.assertGreater(abs(other / want - 1), 10 * LIMITS["f32"])

    def test_gpt_oss(self):
        source, ids, want = self.check("gpt-oss", published_mixtures.gpt_oss, *EXPERTS_AS_F32)
        run("quantfleet", "quantize", source, "--target", "gguf:f32", "--out", self.dir / "published")
        ours = self.mean_nll("published", "f32")
        print(f"gpt-oss f32, experts MXFP4: mean NLL {ours:.6f}, {100 * abs(ours / want - 1):.4f} % apart", file=sys.stderr)
        self.assertLess(abs(ours / want - 1), MXFP4_LIMIT)
        # Sinks, the window, and a ramp that is not rounded: each moves the likelihood by more than the limit.
        attend, yarn = published_mixtures.attend, published_mixtures.yarn
        self.addCleanup(setattr, published_mixtures, "attend", attend)
        self.addCleanup(setattr, published_mixtures, "yarn", yarn)
        for name, other in (("attend", lambda *args: attend(*args[:-1])),
                            ("attend", lambda *args: attend(*args[:-2], 0, args[-1])),
                            ("yarn", lambda config, dim: (yarn(config, dim)[0], 1))):
            setattr(published_mixtures, name, other)
            changed = published_mixtures.mean_nll(published_mixtures.gpt_oss(source, ids), ids)
            self.assertGreater(abs(changed / want - 1), 10 * LIMITS["f32"])
            published_mixtures.attend, published_mixtures.yarn = attend, yarn


if __name__ == "__main__":
    unittest.main()
