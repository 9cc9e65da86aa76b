"""What a class asks of a device, with real processes: a smaller precision where the larger one is too slow, a time to prove
itself, and what a download may take."""
import time
import unittest

from fake_runtime import write_runtime
from harness import DEMO, IOT, EndToEnd, run, wait_for
from kill import DOWNLOAD_POINTS, STEP_DOWN_POINTS

# A runtime that is slow with large files. It tells how fast it is as any server does: by tokens and time.
SERVER = """
import os, time
def answer(asked):
    time.sleep(4 if os.path.getsize(sys.argv[1]) > 5_000_000 else 0)
    return "once", asked["max_tokens"]
"""

CLASS = """
name = "limited"
format = "gguf"
recipe = "{recipe}"
priority = 99
{rest}
"""


class Limits(EndToEnd):
    def fleet(self, *recipes, source=DEMO, **agent):
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", source)
        for recipe in recipes:
            self.apply(recipe)
            job = self.d.cli_json("job", "submit", "m", "--class", "limited")
            self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")
        self.a = self.agent("device", IOT)
        self.a.enroll(self.d, self.d.token())
        self.a.facts += agent.get("options", [])
        self.a.start(env=agent.get("env"))

    def killed(self, process, point):
        wait_for(f"the kill at {point}", lambda: not process.alive())
        self.assertEqual(process.popen.returncode, -9, process.log()[-2000:])

    def apply(self, recipe, rest=""):
        path = self.dir / "limited.toml"
        path.write_text(CLASS.format(recipe=recipe, rest=rest))
        self.d.cli("class", "apply", path)

    def device(self):
        return self.d.cli_json("device", "show", self.a.device_id)

    def row(self, rollout):
        return self.d.cli_json("rollout", "status", rollout)["devices"][0]

    def sizes(self):
        return {a["recipe"]: int(a["stored_bytes"]) for a in self.d.cli_json("artifact", "list")["artifacts"]}

    def test_a_device_steps_down_by_itself_and_the_next_rollout_knows(self):
        """Killed on the way, before and after it has written down where it goes on."""
        self.assertEqual(STEP_DOWN_POINTS, ["step-down-after", "step-down-before"])
        server = self.dir / "server"
        write_runtime(server, SERVER)
        self.fleet("q4_0", "f16", options=["--allow-runtime", f"slow-server={server}"],
                   env={"QUANTFLEET_FAIL_POINT": "step-down-before"})
        self.apply("f16", '[runtime]\ncommand = "slow-server"\nargs = ["{model}", "{port}"]\n'
                          '[health]\nmin_tokens_per_second = 6')
        wait_for("the class", lambda: self.device()["device_class"] == "limited")
        rollout = self.d.cli_json("rollout", "create", "m")["name"]
        self.killed(self.a.process, "step-down-before")
        self.a.start(env={"QUANTFLEET_FAIL_POINT": "step-down-after"})
        self.killed(self.a.process, "step-down-after")
        self.a.start()
        status = self.wait_phase(self.d, self.a.device_id, "m", "HEALTHY")
        self.assertEqual([step["reason"] for step in status["stepped_down"]], ["too_slow"])
        artifacts = {a["recipe"]: a for a in self.d.cli_json("artifact", "list")["artifacts"]}
        self.assertEqual(status["active_manifest"], artifacts["q4_0"]["manifest_digest"])
        self.assertEqual(status["assigned_manifest"], artifacts["f16"]["manifest_digest"])
        row = self.row(rollout)
        self.assertEqual((row["state"], row["code"]), ("HEALTHY", "TOO_SLOW"))
        self.assertIn("6.00", row["reason"])
        self.assertEqual(self.device()["outgrown"][0]["recipe"], "f16")
        self.assertIn("m from gguf:f16 (too_slow", self.d.cli("device", "show", self.a.device_id).stdout)

        # The next rollout gives it the smaller one at once, until an operator says otherwise.
        again = self.d.cli_json("rollout", "create", "m", "--dry-run")["devices"][0]
        self.assertEqual(again["artifact"], artifacts["q4_0"]["name"])
        self.d.cli("device", "step-up", self.a.device_id)
        again = self.d.cli_json("rollout", "create", "m", "--dry-run")["devices"][0]
        self.assertEqual(again["artifact"], artifacts["f16"]["name"])

    def test_a_file_as_it_was_published_is_stepped_down_from_like_any_other(self):
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--out", self.dir)
        server = self.dir / "server"
        write_runtime(server, SERVER)
        self.fleet("q4_0", "as-is", source=self.dir / "gguf-f16/model.gguf",
                   options=["--allow-runtime", f"slow-server={server}"])
        self.apply("as-is", '[runtime]\ncommand = "slow-server"\nargs = ["{model}", "{port}"]\n'
                            '[health]\nmin_tokens_per_second = 6')
        wait_for("the class", lambda: self.device()["device_class"] == "limited")
        self.d.cli("rollout", "create", "m")
        status = self.wait_phase(self.d, self.a.device_id, "m", "HEALTHY")
        self.assertEqual([step["reason"] for step in status["stepped_down"]], ["too_slow"])
        artifacts = {a["recipe"]: a["manifest_digest"] for a in self.d.cli_json("artifact", "list")["artifacts"]}
        self.assertEqual((status["assigned_manifest"], status["active_manifest"]), (artifacts["as-is"], artifacts["q4_0"]))
        self.assertEqual(self.device()["outgrown"][0]["recipe"], "as-is")

    def test_a_download_beyond_its_budget_waits_and_one_within_keeps_its_rate(self):
        self.fleet("q4_0")
        self.apply("q4_0", "[network]\nbudget_mib = 1\nmax_kib_per_second = 1024\n[health]\nsoak_seconds = 2")
        wait_for("the class", lambda: self.device()["device_class"] == "limited")
        size = self.sizes()["q4_0"]
        self.assertGreater(size, 1 << 20)
        rollout = self.d.cli_json("rollout", "create", "m")["name"]
        waiting = self.wait_phase(self.d, self.a.device_id, "m", "AWAITING_APPROVAL")
        self.assertEqual((waiting["reason"], waiting["bytes_pulled"]), ("over_budget", "0"))
        self.assertEqual(self.row(rollout)["code"], "OVER_BUDGET")
        self.assertIn("OVER_BUDGET", self.d.cli("rollout", "status", rollout).stdout)

        # The daemon is killed before and after the word is kept; given again it is given once.
        for point in sorted(DOWNLOAD_POINTS, reverse=True):
            self.d.stop()
            self.d.start(env={"QUANTFLEET_FAIL_POINT": point})
            self.wait_phase(self.d, self.a.device_id, "m", "AWAITING_APPROVAL")
            began = time.monotonic()
            self.assertNotEqual(self.d.cli("rollout", "allow-download", rollout, check=False).returncode, 0)
            self.killed(self.d.process, point)
        self.assertEqual(point, "download-after-allowed")
        self.d.start()
        phases = set()

        def healthy():
            for status in self.device().get("models", []):
                phases.add(status["phase"])
                if status["phase"] == "HEALTHY":
                    return status
            return None
        status = wait_for("the model", healthy)
        self.assertIn("SOAKING", phases)
        self.assertEqual(int(status["bytes_pulled"]), size)
        # The first piece comes at once, the others at their time.
        self.assertGreater(time.monotonic() - began, (size - (256 << 10)) / (1 << 20) + 2)
        self.assertEqual(self.d.cli_json("rollout", "status", rollout)["state"], "COMPLETED")
        # A rollout of what is here already pulls nothing.
        self.d.cli("rollout", "create", "m", "--watch")


if __name__ == "__main__":
    unittest.main()
