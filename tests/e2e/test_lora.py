"""Adapters merged into their base in the same pass: W + scale * B * A, judged in double precision."""
import json
import math
import random
import unittest

import lora_files
from harness import ROOT, EndToEnd, run, run_json
from hf_weights import gguf_rows


class Lora(EndToEnd):
    def setUp(self):
        super().setUp()
        self.rng = random.Random(3)
        self.base = self.dir / "base"
        self.weights = lora_files.write_base(self.base, "llama")

    def adapter(self, name, modules, rank, alpha, dtype="F32", **config):
        """Writes one; returns what it adds to each weight, without its scale."""
        return lora_files.products(lora_files.write_adapter(self.dir / name, self.rng, self.weights, modules, rank, alpha,
                                                            dtype, **config))

    def quantize(self, name, *options):
        return run_json("quantfleet", "quantize", self.base, *options, "--target", "gguf:f32", "--out",
                        self.dir / name, "--json")

    def test_merged_weights_are_pefts(self):
        modules = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "lm_head"]
        one = self.adapter("one", modules, 4, 6)
        two = self.adapter("two", modules[:1], 2, 3, "BF16", use_rslora=True)
        said = self.quantize("out", "--lora", self.dir / "one", "--lora", f"{self.dir / 'two'}:0.5")
        self.assertNotEqual(said["source_digest"], self.quantize("plain")["source_digest"])
        rows, plain = (gguf_rows(self.dir / out / "gguf-f32/model.gguf") for out in ("out", "plain"))
        largest = 0
        for name, before in plain.items():
            if name not in one:
                self.assertEqual(rows[name], before, name)
                continue
            for r, line in enumerate(before):
                for c, w in enumerate(line):
                    exact = w + 6 / 4 * one[name][r][c]
                    if name in two:
                        exact += .5 * 3 / math.sqrt(2) * two[name][r][c]
                    # One rounding to F32, and the last bits of sums in double.
                    largest = max(largest, abs(rows[name][r][c] - exact) / max(abs(exact), 1e-3))
        self.assertLess(largest, 2 ** -24 * 1.001)

    def test_peft_itself(self):
        """What merge_and_unload() of peft made, recorded by tests/judges/peft/merge.py: equal within one rounding to F32."""
        recorded = json.loads((ROOT / "tests/judges/peft/merged.json").read_text())["cases"]
        self.assertEqual(sorted(recorded), sorted(lora_files.CASES))
        for number, (name, weights) in enumerate(recorded.items()):
            with self.subTest(name):
                folder = self.dir / str(number)
                folder.mkdir()
                changed, adapters = lora_files.write_case(folder, name)
                self.assertEqual(changed, sorted(weights))
                run("quantfleet", "quantize", folder / "base",
                    *(word for i in range(1, adapters + 1) for word in ("--lora", folder / str(i))), "--target", "gguf:f32",
                    "--out", folder / "out")
                rows = gguf_rows(folder / "out/gguf-f32/model.gguf")
                for weight, values in weights.items():
                    places = lora_files.sample(len(rows[weight]), len(rows[weight][0]))
                    for (row, col), want in zip(places, values, strict=True):
                        got = rows[weight][row][col]
                        # The float that is nearest, but for the last bits of peft's sums and of ours.
                        self.assertLessEqual(abs(got - want), 2 ** -24 * 1.001 * max(abs(want), 2 ** -126), (weight, row, col))

    def test_an_adapter_of_another_model_leaves_nothing(self):
        self.weights["model.layers.7.self_attn.q_proj.weight"] = self.weights["model.layers.0.self_attn.q_proj.weight"]
        self.adapter("bad", ["model.layers.7.self_attn.q_proj"], 2, 2)
        done = run("quantfleet", "quantize", self.base, "--lora", self.dir / "bad", "--target", "gguf:f32", "--out",
                   self.dir / "out", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.layers.7.self_attn.q_proj.weight", done.stderr)
        self.assertFalse((self.dir / "out").exists())


    def test_a_pushed_adapter_is_merged_by_the_daemon(self):
        """Only the adapter is sent; artifacts are those of `quantize --lora`, and share the base's chunks."""
        self.adapter("tone", ["model.layers.0.self_attn.q_proj"], 4, 6)
        self.weights["model.layers.7.self_attn.q_proj.weight"] = self.weights["model.layers.0.self_attn.q_proj.weight"]
        self.adapter("other", ["model.layers.7.self_attn.q_proj"], 2, 2)
        daemon = self.daemon().start()
        daemon.cli("model", "push", "base", self.base)
        job = self.wait_job(daemon, daemon.cli_json("job", "submit", "base", "--class", "edge-fp16")["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)

        push = ("model", "push", "tuned", self.base, "--lora", f"{self.dir / 'tone'}:0.5")
        plan = daemon.cli_json(*push, "--dry-run")
        missing = {f["path"]: int(f["size"]) - int(f["received"]) for f in plan["files"] if f["size"] != f["received"]}
        self.assertEqual(sorted(missing), ["adapters/1/adapter_config.json", "adapters/1/adapter_model.safetensors",
                                           "quantfleet-adapters.json"])
        self.assertIn("would send", daemon.cli(*push, "--dry-run").stdout)
        self.assertEqual([m["name"] for m in daemon.cli_json("model", "list")["models"]], ["base"])
        model = daemon.cli_json(*push)
        self.assertEqual(model["adapters"], [{"name": "tone", "scale": .5, "base_model": "", "weights": "1"}])
        self.assertIn("tone:0.5", daemon.cli("model", "list").stdout)
        self.assertEqual(daemon.cli_json("model", "show", "tuned")["versions"][0]["adapters"], model["adapters"])

        def stored():
            return sum(f.stat().st_size for f in (daemon.data / "blobs").rglob("*") if f.is_file())
        before = stored()
        job = self.wait_job(daemon, daemon.cli_json("job", "submit", "tuned", "--class", "edge-fp16")["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)
        made = run_json("quantfleet", "quantize", self.base, "--lora", f"{self.dir / 'tone'}:0.5", "--target", "gguf:f16",
                        "--out", self.dir / "local", "--json")["targets"][0]
        self.assertEqual(job["artifacts"], [f"artifacts/{made['manifest_digest']}"])
        # One matrix of 64 x 64 in F16 differs.
        self.assertGreater(stored(), before)
        self.assertLessEqual(stored() - before, 64 * 64 * 2 + 64)

        refused = daemon.cli("model", "push", "tuned", self.base, "--lora", self.dir / "other", check=False)
        self.assertEqual(refused.returncode, 1)
        for word in ("other/adapter_model.safetensors", "model.layers.7.self_attn.q_proj.weight", "base"):
            self.assertIn(word, refused.stderr)
        self.assertEqual(len(daemon.cli_json("model", "show", "tuned")["versions"]), 1)


if __name__ == "__main__":
    unittest.main()
