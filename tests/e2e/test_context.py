"""What a device needs is what it uses: shapes of published models by dry run, and a rollout of Phi-3.5-mini's in small."""
import json
import re
import subprocess
import sys
import unittest

from harness import BIN, EndToEnd, HELD_OUT, ROOT, post, run, run_json, wait_for

sys.path.insert(0, str(ROOT / "tests/tools"))
import hollow_model  # noqa: E402

GIB = 1 << 30
CLASS = """
name = "small"
format = "gguf"
recipe = "q4_0"
priority = 200
{terms}
[match]
form = ["iot"]
"""


class Shapes(EndToEnd):
    """Phi's shapes, whose weights are a hole in the file."""

    def dry_run(self, shape, recipe, *options):
        folder = self.dir / shape
        if not folder.exists():
            hollow_model.write(shape, folder)
        return run_json("quantfleet", "quantize", folder, "--target", f"gguf:{recipe}", "--dry-run", "--json",
                        *options)["targets"][0]

    def test_terms_are_those_of_the_shape(self):
        per_value = {"f16": 2, "q8_0": 34 / 32, "f32": 4}
        for shape, config in hollow_model.SHAPES.items():
            dim = config["hidden_size"] // config["num_attention_heads"]
            values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * dim
            for kv_type, size in per_value.items():
                with self.subTest(shape=shape, kv_type=kv_type):
                    target = self.dry_run(shape, "q4_0", "--kv-type", kv_type, "--context", "2048")
                    needs = target["needs"]
                    self.assertEqual(needs["weight_bytes"], target["files"][-1]["size"])
                    self.assertEqual(needs["cache_bytes"], 2048 * values * size)
                    self.assertEqual(needs["bytes"], needs["weight_bytes"] + needs["cache_bytes"] + needs["buffer_bytes"])
                    self.assertLess(needs["buffer_bytes"], 0.1 * GIB)

    # It was counted with a cache of 131072 tokens: 50 GiB, and no device could have it.
    def test_phi_35_mini_fits_a_phone(self):
        target = self.dry_run("phi-3.5-mini", "q4_0", "--device-memory", 4 << 10)
        self.assertTrue(target["device"]["fits"])
        self.assertEqual(target["needs"]["context"], 4096)
        self.assertLess(target["needs"]["bytes"], 4 * GIB)
        self.assertEqual(self.dry_run("phi-3.5-mini", "q4_0", "--device-memory", 2 << 10)["device"],
                         {"memory_bytes": 2 * GIB, "fits": False, "longest_context": 0})
        longest = self.dry_run("phi-3.5-mini", "q4_0", "--device-memory", 8 << 10)["device"]["longest_context"]
        just = self.dry_run("phi-3.5-mini", "q4_0", "--device-memory", 8 << 10, "--context", longest)
        self.assertTrue(just["device"]["fits"])
        self.assertFalse(self.dry_run("phi-3.5-mini", "q4_0", "--device-memory", 8 << 10, "--context",
                                      longest + 256)["device"]["fits"])

    def test_contexts_that_cannot_be_are_said_at_once(self):
        self.dry_run("phi-4", "q4_0")
        for options, code, named in ((("--context", "16385"), 1, "16384"), (("--context", "0"), 2, "--context"),
                                     (("--kv-type", "q4_0"), 1, "f16, q8_0, f32")):
            done = run("quantfleet", "quantize", self.dir / "phi-4", "--target", "gguf:q4_0", "--dry-run", *options,
                       check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(named, done.stderr)

    def test_the_table_of_the_guide_is_what_dry_runs_say(self):
        printed = subprocess.run([sys.executable, ROOT / "tests/tools/memory_table.py"], capture_output=True, text=True,
                                 check=True, env={"QUANTFLEET_BIN": str(BIN), "PATH": "/usr/bin:/bin"}).stdout
        guide = (ROOT / "docs/guides/quantize.md").read_text()
        self.assertEqual([line for line in printed.splitlines() if line not in guide.splitlines()], [])


class Rollout(EndToEnd):
    """A model of Phi-3.5-mini's shape in small, with its max_position_embeddings of 131072."""

    def setUp(self):
        super().setUp()
        subprocess.run(["/usr/bin/python3", ROOT / "tests/tools/make_model.py", self.dir / "model", "--preset",
                        "phi35-mini"], check=True, stdout=subprocess.DEVNULL)
        config = json.loads((self.dir / "model/config.json").read_text())
        self.assertEqual(config["max_position_embeddings"], 131072)
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", self.dir / "model")

    def apply(self, terms="", check=True):
        path = self.dir / "small.toml"
        path.write_text(CLASS.format(terms=terms))
        return self.d.cli("class", "apply", path, check=check)

    def make(self, *classes):
        job = self.d.cli_json("job", "submit", "m", *(x for c in classes for x in ("--class", c)))
        done = self.wait_job(self.d, job["name"])
        self.assertEqual((done["state"], done["evaluation_error"]), ("SUCCEEDED", ""))
        return done["artifacts"]

    def device(self, name, **facts):
        agent = self.agent(name, {"form": "iot", "memory_total_bytes": 2 * GIB, **facts})
        agent.enroll(self.d, self.d.token())
        return agent.start()

    def healthy(self, agent, release):
        return self.wait_phase(self.d, agent.device_id, "m", "HEALTHY", release=release)

    def test_the_context_of_the_class_is_what_runs(self):
        self.apply("context = 512\nkv_type = \"q8_0\"")
        (artifact,) = self.make("small")
        shown = self.d.cli("artifact", "show", artifact).stdout
        self.assertRegex(shown, r"needs: +.* weights \+ .* cache \(4096 tokens, f16\) \+ .* buffers = ")
        self.assertRegex(shown, r"KV cache: +q8_0")
        agent = self.device("board", memory_total_bytes=96 << 20)  # with the whole context it would need 130 MiB
        dry = self.d.cli("rollout", "create", "m", "--dry-run").stdout
        self.assertRegex(dry, r"weights \+ .* cache \(512 tokens, q8_0\)")
        self.d.cli("rollout", "create", "m", "--watch")
        status = self.healthy(agent, 1)
        self.assertEqual((status["context"], status["kv_type"]), ("512", "q8_0"))
        # The endpoint has that context and no more.
        code, answer = post(f"http://{agent.endpoint()}/v1/completions", {"prompt": "a " * 700, "max_tokens": 1})
        self.assertEqual(code, 400, answer)
        self.assertEqual(answer["error"]["code"], "context_length_exceeded")
        self.assertIn("512", answer["error"]["message"])

        # Another context of the same artifact is another release, and back again.
        self.apply("context = 2048")
        self.d.cli("rollout", "create", "m", "--watch")
        status = self.healthy(agent, 2)
        self.assertEqual((status["context"], status["kv_type"], int(status["bytes_pulled"])), ("2048", "f16", 0))
        agent.stop()
        agent.start()
        wait_for("the same context after a restart", lambda: (self.healthy(agent, 2) or {}).get("context") == "2048")
        rollout = self.d.cli_json("rollout", "list")["rollouts"][0]["name"]
        self.d.cli("rollout", "rollback", rollout)
        status = self.healthy(agent, 3)
        self.assertEqual((status["context"], status["kv_type"]), ("512", "q8_0"))

    def test_a_device_short_of_memory_takes_a_shorter_context_and_says_so(self):
        self.apply("context = 131072\nmin_context = 1024\nkv_type = \"f32\"")
        self.make("small")
        # The daemon counts the whole memory, the device what is available.
        agent = self.device("board", memory_total_bytes=64 << 20, memory_available_bytes=16 << 20)
        rollout = self.d.cli_json("rollout", "create", "m")
        row = rollout["devices"][0]
        chosen = int(row["context"]["tokens"])
        self.assertLess(chosen, 131072)
        self.assertRegex(row["reason"], rf"\b{chosen}\b.*\b131072\b")
        status = self.healthy(agent, 1)
        self.assertGreaterEqual(int(status["context"]), 1024)
        self.assertLess(int(status["context"]), chosen)
        self.assertRegex(status["detail"], rf"\b{status['context']}\b.*\b{chosen}\b")

    def test_what_no_device_holds_is_refused_with_what_would_fit(self):
        self.apply("context = 131072")
        self.make("small")
        self.device("board", memory_total_bytes=64 << 20)
        refused = self.d.cli("rollout", "create", "m", check=False)
        self.assertNotEqual(refused.returncode, 0)
        found = re.search(r"\(131072 tokens, f16\).*the device has 64.0 MiB; the largest context that fits is (\d+) tokens",
                          refused.stderr)
        self.assertTrue(found, refused.stderr)
        self.apply(f"context = {found[1]}")
        self.d.cli("rollout", "create", "m", "--dry-run")
        self.apply("context = 200000")
        self.assertRegex(self.d.cli("rollout", "create", "m", check=False).stderr, r"\b200000\b.*\b131072\b")
        self.assertRegex(self.apply("context = 0", check=False).stderr, r"line \d+: context\b")


if __name__ == "__main__":
    unittest.main()
