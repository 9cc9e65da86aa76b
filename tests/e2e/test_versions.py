"""Versions of a model through real processes: what is sent again, what a rollout takes, what it refuses."""
import json
import shutil
import unittest

from harness import DEMO, EDGE, IOT, EndToEnd, run, unhealthy_model


class Versions(EndToEnd):
    def seal(self, *classes):
        words = [word for name in classes for word in ("--class", name)]
        job = self.d.cli_json("job", "submit", "m", *words, "--calibration", "none")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")

    def refused(self, part, *command):
        done = self.d.cli(*command, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(part, done.stderr)

    def test_a_rollout_is_of_one_version_and_leaves_no_class_behind(self):
        self.d = self.daemon().start()
        first = self.d.cli_json("model", "push", "m", DEMO)
        self.assertEqual(first["version"], "1")
        self.assertTrue(first["created_by"])
        self.seal("iot-int4", "edge-fp16")
        for name, facts in (("a", IOT), ("b", EDGE)):
            agent = self.agent(name, facts)
            agent.enroll(self.d, self.d.token())
        self.assertEqual(self.d.cli_json("rollout", "create", "m")["version"], "1")

        # The same files are the same version; others are the next one.
        self.assertEqual(self.d.cli_json("model", "push", "m", DEMO)["version"], "1")
        second = self.d.cli("model", "push", "m", unhealthy_model(self.dir / "second"))
        self.assertIn("the weights are model.safetensors", second.stderr)
        self.refused("version 2 of model m has no artifacts yet", "rollout", "create", "m")
        self.seal("iot-int4")
        self.refused("class edge-fp16 (1 device) has no artifact of version 2 of model m, but one of version 1",
                     "rollout", "create", "m")
        back = self.d.cli("rollout", "create", "m", "--version", "1")
        self.assertIn("version 1 of model m", back.stderr)
        self.seal("edge-fp16")
        self.assertEqual(self.d.cli_json("rollout", "create", "m")["version"], "2")
        shown = self.d.cli_json("model", "show", "m")
        self.assertEqual([(v["version"], v["artifacts"]) for v in shown["versions"]], [("2", "2"), ("1", "2")])
        self.assertEqual([m["version"] for m in self.d.cli_json("model", "list")["models"]], ["2"])


class Files(EndToEnd):
    def test_quantize_inspect_and_push_agree_on_the_files(self):
        model = self.dir / "model"
        shutil.copytree(DEMO, model)
        (model / "._config.json").write_bytes(b"\0\5\26\7")
        (model / "pytorch_model.bin").write_bytes(b"x")
        shown = json.loads(run("quantfleet", "inspect", model, "--json").stdout)
        done = run("quantfleet", "quantize", model, "--target", "gguf:q4_0", "--out", self.dir / "out")
        self.assertIn("the weights are model.safetensors", done.stderr)
        self.assertIn("not read: pytorch_model.bin", done.stderr)
        self.d = self.daemon().start()
        pushed = self.d.cli_json("model", "push", "m", model)
        files = [file["path"] for file in shown["source"]["files"]]
        self.assertNotIn("._config.json", files)
        self.assertEqual([file["path"] for file in pushed["files"]], files)
        for command in (("quantize", "microsoft/phi", "--target", "gguf:q4_0", "--out", self.dir / "x"),
                        ("inspect", "microsoft/phi")):
            refused = run("quantfleet", *command, check=False)
            self.assertIn("hf download microsoft/phi --local-dir phi", refused.stderr)
        self.assertIn("hf download microsoft/phi", self.d.cli("model", "push", "m", "microsoft/phi", check=False).stderr)


if __name__ == "__main__":
    unittest.main()
