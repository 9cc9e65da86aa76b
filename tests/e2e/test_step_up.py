"""Artifacts that are not good enough for a class: the job makes larger ones, rollouts assign them, plans ask for quality."""
import unittest

from harness import DEMO, HELD_OUT, EndToEnd, wait_for

STRICT = """
name = "strict-iot"
format = "gguf"
recipe = "q4_0"
priority = 99
[match]
form = ["iot"]
[quality]
max_kl = {max_kl}
"""


class StepUp(EndToEnd):
    def measuring_daemon(self):
        daemon = self.daemon("--evaluation-text", HELD_OUT, "--evaluation-tokens", "64").start()
        daemon.cli("model", "push", "demo", DEMO)
        return daemon

    def submit(self, daemon, *classes):
        return daemon.cli_json("job", "submit", "demo", *[x for c in classes for x in ("--class", c)])["name"]

    def apply_class(self, daemon, max_kl):
        path = self.dir / "class.toml"
        path.write_text(STRICT.format(max_kl=f"{max_kl:.12f}"))
        daemon.cli("class", "apply", path)

    def kl(self, daemon):
        """Of each recipe."""
        self.apply_class(daemon, 100)
        job = self.wait_job(daemon, self.submit(daemon, "strict-iot", "ai-pc-int8"))
        return {a["recipe"]: a["evaluation"]["mean_kl"] for a in job["measured"]}

    def test_a_larger_one_is_made_and_assigned_even_after_a_kill(self):
        daemon = self.measuring_daemon()
        kl = self.kl(daemon)
        limit = (kl["q4_0"] * kl["q8_0"]) ** 0.5
        self.apply_class(daemon, limit)
        daemon.stop()
        # The first pass is sealed, and the next one is not begun.
        daemon.start(env={"QUANTFLEET_FAIL_POINT": "job-after-artifacts"})
        job = self.submit(daemon, "strict-iot")
        wait_for("the kill", lambda: not daemon.process.alive())
        daemon.start()
        job = self.wait_job(daemon, job)
        self.assertEqual(job["state"], "SUCCEEDED", job)
        steps = [(s["from"], s["to"]) for s in job["step_ups"]]
        self.assertEqual(steps[0], ("gguf:q4_0", "gguf:q5_0"))
        self.assertEqual([m["recipe"] for m in job["measured"]], ["q4_0"] + [to.removeprefix("gguf:") for _, to in steps])
        accepted = job["measured"][-1]
        self.assertLessEqual(accepted["evaluation"]["mean_kl"], limit)
        self.assertGreater(job["measured"][-2]["evaluation"]["mean_kl"], limit)
        self.assertIn("gguf:q5_0 instead of gguf:q4_0", daemon.cli("job", "show", job["name"]).stdout)

        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        agent.start()
        dry = daemon.cli_json("rollout", "create", "demo", "--dry-run")
        self.assertEqual(dry["devices"][0]["artifact"], accepted["name"])
        shown = {m["name"]: m for m in dry["measured"]}
        self.assertEqual(shown[accepted["name"]]["evaluation"]["mean_kl"], accepted["evaluation"]["mean_kl"])
        text = daemon.cli("rollout", "create", "demo", "--dry-run").stdout
        self.assertIn(" % of BF16's choices (KL ", text)
        # A plan may ask for more than the class.
        refused = daemon.cli("rollout", "create", "demo", "--max-kl", "0", check=False)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("strict-iot", refused.stderr)
        daemon.cli("rollout", "create", "demo", "--max-kl", limit, "--watch")
        self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY")
        name = daemon.cli_json("rollout", "list")["rollouts"][0]["name"]
        self.assertIn(" % of BF16's choices (KL ", daemon.cli("rollout", "status", name).stdout)
        self.assertEqual({m["name"] for m in daemon.cli_json("rollout", "status", name)["measured"]}, set(shown))

    def test_a_class_that_bounds_bytes_gets_the_largest_within(self):
        daemon = self.daemon("--evaluation-tokens", "0").start()
        daemon.cli("model", "push", "demo", DEMO)
        path = self.dir / "class.toml"
        path.write_text('name = "bounded"\nformat = "gguf"\nrecipe = "q8_0"\npriority = 99\nartifact_max_bytes = 3200000\n')
        daemon.cli("class", "apply", path)
        shown = daemon.cli("class", "show", "bounded").stdout
        self.assertIn("3200000 bytes", shown)
        self.assertIn("artifact_max_bytes = 3200000", shown)
        self.assertEqual(daemon.cli_json("class", "show", "bounded")["artifact_max_bytes"], "3200000")
        self.assertIn("class list", daemon.cli("class", "show", "nosuch", check=False).stderr)
        job = self.wait_job(daemon, self.submit(daemon, "bounded"))
        (made,) = job["measured"]
        self.assertLessEqual(int(made["size_bytes"]), 3200000)
        # As docs/quality.md shows it.
        self.assertIn("smaller:   class bounded: gguf:q5_k_m instead of gguf:q8_0: its files have 4.3 MiB (4526097 bytes), the "
                      "class allows 3200000 bytes", daemon.cli("job", "show", job["name"]).stdout)
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        dry = daemon.cli_json("rollout", "create", "demo", "--dry-run")
        self.assertEqual(dry["devices"][0]["artifact"], made["name"])
        path.write_text(path.read_text().replace("3200000", "9000"))
        daemon.cli("class", "apply", path)
        job = self.wait_job(daemon, self.submit(daemon, "bounded"))
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("artifact_max_bytes", job["error_message"])
        dry = daemon.cli("rollout", "create", "demo", "--dry-run", "--json", check=False)
        self.assertIn("9000", dry.stdout + dry.stderr)

    def test_what_is_not_measured_does_not_step_up(self):
        daemon = self.daemon("--evaluation-tokens", "0").start()
        daemon.cli("model", "push", "demo", DEMO)
        self.apply_class(daemon, 0)
        job = self.wait_job(daemon, self.submit(daemon, "strict-iot"))
        self.assertEqual((job["state"], len(job["artifacts"])), ("SUCCEEDED", 1))
        self.assertFalse(job.get("step_ups"))


if __name__ == "__main__":
    unittest.main()
