"""SIGKILL at every named fail point and at random moments: the same digests, a healthy device, nothing done twice."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import DEMO, IOT, ROOT, SLOW, EndToEnd, post, run, run_json, unhealthy_model, wait_for

CLASSES = {"iot-int4": "q4_0", "ai-pc-int8": "q8_0", "edge-fp16": "f16"}
MEGABYTES = int(os.environ.get("QUANTFLEET_KILL_MEGABYTES", "200"))


def fail_points(*folders):
    """Every name in the sources: a new fail point is tested without anybody thinking of it."""
    names = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.cc"):
            names |= set(re.findall(r'FailPoint\("([^"]+)"\)', path.read_text()))
    return sorted(names)


DAEMON_POINTS = fail_points("daemon", "pipeline")
PIPELINE_POINTS = [p for p in DAEMON_POINTS if p.split("-")[0] in ("authority", "push", "job", "slab", "blob")]
# Renewal needs a certificate near its end: test_recovery.py renews one, tests/daemon/fleet stops in between.
RENEWAL_POINTS = [p for p in DAEMON_POINTS if "certificate" in p]
FLEET_POINTS = [p for p in DAEMON_POINTS if p not in PIPELINE_POINTS + RENEWAL_POINTS]
ENROL_POINTS = [p for p in fail_points("agent") if p.startswith("enroll-")]
UPDATE_POINTS = [p for p in fail_points("agent") if p.startswith("update-")]
ROLLBACK_POINTS = [p for p in fail_points("agent") if p.startswith("rollback-")]

CLASS_TOML = """name = "lab-int4"
description = "A class of our own"
format = "gguf"
recipe = "q4_0"
priority = 1
[match]
form = ["lab"]
"""


class KillDaemon(EndToEnd):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="quantfleet-kill-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.big = cls.shared / "big"
        subprocess.run([sys.executable, ROOT / "tests/tools/make_model.py", cls.big, "--megabytes", str(MEGABYTES)],
                       check=True, stdout=subprocess.DEVNULL)
        assert (cls.big / "model.safetensors").stat().st_size >= MEGABYTES * 10**6
        cls.want = {m: cls.quantized(cls.shared / f"want-{m.name}", m) for m in (cls.big, DEMO)}

    @staticmethod
    def quantized(out, model):
        """recipe -> manifest digest, as the CLI makes them undisturbed."""
        made = run_json("quantfleet", "quantize", model, *[x for r in CLASSES.values() for x in ("--target", f"gguf:{r}")],
                        "--out", out, "--json")
        shutil.rmtree(out)
        return {t["name"].removeprefix("gguf-"): t["manifest_digest"] for t in made["targets"]}

    def digests(self, daemon):
        return {a["recipe"]: a["name"].removeprefix("artifacts/") for a in daemon.cli_json("artifact", "list")["artifacts"]}

    def submit(self, daemon, model):
        daemon.cli("model", "import", "m", model)
        return daemon.cli_json("job", "submit", "m", *[x for c in CLASSES for x in ("--class", c)])["name"]

    def test_there_are_fail_points(self):
        self.assertGreaterEqual(len(PIPELINE_POINTS), 10, PIPELINE_POINTS)
        self.assertGreaterEqual(len(FLEET_POINTS), 8, FLEET_POINTS)
        self.assertGreaterEqual(len(ENROL_POINTS), 2, ENROL_POINTS)
        self.assertGreaterEqual(len(UPDATE_POINTS), 5, UPDATE_POINTS)
        self.assertGreaterEqual(len(ROLLBACK_POINTS), 2, ROLLBACK_POINTS)

    def survive(self, daemon, action):
        """The action's result; when the daemon was killed under it, the daemon is restarted and the action repeated."""
        while True:
            try:
                return action()
            except AssertionError:
                if daemon.process.alive():
                    raise
                self.assertEqual(daemon.process.popen.returncode, -9, daemon.process.log()[-2000:])
                self.kills += 1
                daemon.start()

    def start_armed(self, daemon, point):
        self.kills = 0
        daemon.start(env={"QUANTFLEET_FAIL_POINT": point}, wait=False)
        self.survive(daemon, daemon.wait_ready)

    def push_and_quantize(self, daemon):
        self.survive(daemon, lambda: daemon.cli("model", "push", "m", DEMO))
        classes = [x for c in CLASSES for x in ("--class", c)]
        job = self.survive(daemon, lambda: daemon.cli_json("job", "submit", "m", *classes, "--request-id", "one"))["name"]
        self.assertEqual(self.survive(daemon, lambda: self.wait_job(daemon, job))["state"], "SUCCEEDED")
        self.assertEqual(self.digests(daemon), self.want[DEMO])

    def test_daemon_killed_at_each_point_of_a_job(self):
        for point in PIPELINE_POINTS:
            with self.subTest(point):
                daemon = self.daemon(name=point)
                self.start_armed(daemon, point)
                self.push_and_quantize(daemon)
                self.assertEqual(self.kills, 1, "the point was never reached")
                daemon.stop()

    def test_daemon_killed_at_each_point_of_the_fleet(self):
        prepared = self.daemon(name="prepared").start()
        self.kills = 0
        self.push_and_quantize(prepared)
        prepared.stop()
        toml = self.dir / "class.toml"
        toml.write_text(CLASS_TOML)
        for point in FLEET_POINTS:
            with self.subTest(point):
                shutil.copytree(prepared.data, self.dir / point)
                daemon, agent = self.daemon(name=point), self.agent("agent-" + point)
                self.start_armed(daemon, point)
                self.survive(daemon, lambda: daemon.cli("class", "apply", toml))
                token = self.survive(daemon, lambda: daemon.token("--uses", "1"))
                self.survive(daemon, lambda: agent.enroll(daemon, token))
                device = agent.device_id
                rollout = self.survive(daemon, lambda: daemon.cli_json("rollout", "create", "m", "--request-id", "one"))
                agent.start()
                self.survive(daemon, lambda: self.wait_phase(daemon, device, "m", "HEALTHY", release=1))
                self.survive(daemon, lambda: wait_for("the rollout's end", lambda: daemon.cli_json(
                    "rollout", "status", rollout["name"])["state"] == "COMPLETED", 20))
                self.survive(daemon, lambda: daemon.cli("device", "revoke", device))
                self.assertEqual(daemon.cli_json("device", "show", device)["state"], "REVOKED")
                self.assertEqual(len(daemon.cli_json("device", "list")["devices"]), 1)
                self.assertEqual(self.kills, 1, "the point was never reached")
                agent.stop()
                daemon.stop()

    def test_daemon_killed_at_ten_random_moments(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"random kills: seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        daemon = self.daemon(name="random").start()
        job = self.submit(daemon, self.big)
        kills = 0
        for _ in range(10):
            time.sleep(rng.uniform(0.02, 0.35) * SLOW)  # the moment is what is random: no condition to wait for
            daemon.process.kill()
            kills += 1
            daemon.start()
        final = self.wait_job(daemon, job, 300)
        self.assertEqual(final["state"], "SUCCEEDED", final)
        self.assertEqual(self.digests(daemon), self.want[self.big])
        self.assertEqual(kills, 10)

    def test_recorded_slabs_are_not_quantized_again(self):
        daemon = self.daemon(name="resume").start(env={"QUANTFLEET_FAIL_POINT": "slab-after-record:12"})
        job = self.submit(daemon, self.big)
        wait_for("the kill", lambda: not daemon.process.alive(), 120)
        daemon.start()
        final = self.wait_job(daemon, job, 300)
        self.assertGreaterEqual(int(final["progress"]["slabs_resumed"]), 12, final)
        self.assertEqual(self.digests(daemon), self.want[self.big])


class KillAgent(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4")
        self.wait_job(self.d, job["name"])

    def rollout(self):
        return self.d.cli_json("rollout", "create", "m")

    def test_agent_killed_at_each_enrolment_point(self):
        token = self.d.token("--uses", str(len(ENROL_POINTS)))
        for point in ENROL_POINTS:
            with self.subTest(point):
                agent = self.agent(point)
                done = agent.enroll(self.d, token, check=False, env={"QUANTFLEET_FAIL_POINT": point})
                self.assertEqual(done.returncode, -9, done.stderr)
                agent.enroll(self.d, token)
        devices = self.d.cli_json("device", "list")["devices"]
        self.assertEqual(len(devices), len(ENROL_POINTS), "a kill in the middle made a second device")

    def test_agent_killed_at_each_update_point(self):
        for point in UPDATE_POINTS:
            with self.subTest(point):
                agent = self.agent(point)
                agent.enroll(self.d, self.d.token())
                device = agent.device_id
                self.d.cli_json("rollout", "create", "m", "--device", device)
                agent.start(env={"QUANTFLEET_FAIL_POINT": point})
                wait_for(f"the kill at {point}", lambda: not agent.process.alive(), 60)
                self.assertEqual(agent.process.popen.returncode, -9, agent.process.log()[-2000:])
                agent.start()
                status = self.wait_phase(self.d, device, "m", "HEALTHY")
                self.assertEqual(status["active_manifest"], status["assigned_manifest"])
                agent.stop()

    def test_agent_killed_at_each_rollback_point(self):
        """A version that quantizes but yields NaN goes out; the device comes back to the one before, kill or not."""
        good = self.d.cli_json("artifact", "list")["artifacts"][0]["manifest_digest"]
        agents = {}
        for point in ROLLBACK_POINTS:
            agents[point] = agent = self.agent(point)
            agent.enroll(self.d, self.d.token())
            self.d.cli_json("rollout", "create", "m", "--device", agent.device_id)
            agent.start(env={"QUANTFLEET_FAIL_POINT": point})
            self.wait_phase(self.d, agent.device_id, "m", "HEALTHY")
        self.d.cli("model", "import", "m", unhealthy_model(self.dir / "unhealthy"))
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")
        self.d.cli_json("rollout", "create", "m")
        for point, agent in agents.items():
            with self.subTest(point):
                wait_for(f"the kill at {point}", lambda: not agent.process.alive(), 60)
                self.assertEqual(agent.process.popen.returncode, -9, agent.process.log()[-2000:])
                agent.start()
                status = self.wait_phase(self.d, agent.device_id, "m", "FAILED")
                self.assertEqual(status["reason"], "health_failed", status)
                self.assertEqual(status["active_manifest"], good)
                code, answer = post(f"http://{agent.endpoint()}/v1/completions",
                                    {"model": "m", "prompt": "Once upon a time", "max_tokens": 4})
                self.assertEqual(code, 200, answer)

    def test_agent_killed_at_random_moments_of_two_updates(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"random kills: seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        agent = self.agent("a")
        agent.enroll(self.d, self.d.token())
        device = agent.device_id
        self.rollout()
        for n in range(10):
            agent.start()
            time.sleep(rng.uniform(0.01, 0.5) * SLOW)
            agent.process.kill()
            if n == 4:
                self.rollout()
        agent.start()
        status = self.wait_phase(self.d, device, "m", "HEALTHY", release=2)
        self.assertEqual(status["active_manifest"], status["assigned_manifest"])


if __name__ == "__main__":
    unittest.main()
