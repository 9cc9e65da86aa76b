"""The agent is killed at every durable step and at random moments: it ends healthy, or back on what ran before."""
import os
import random
import sys
import time
import unittest

from harness import DEMO, SLOW, EndToEnd, post, unhealthy_model, wait_for
from kill import ENROLL_POINTS, ROLLBACK_POINTS, UPDATE_POINTS


class KillAgent(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")
        self.wait_job(self.d, job["name"])

    def test_there_are_fail_points(self):
        self.assertGreaterEqual(len(ENROLL_POINTS), 2, ENROLL_POINTS)
        self.assertGreaterEqual(len(UPDATE_POINTS), 5, UPDATE_POINTS)
        self.assertGreaterEqual(len(ROLLBACK_POINTS), 2, ROLLBACK_POINTS)

    def rollout(self):
        return self.d.cli_json("rollout", "create", "m")

    def test_agent_killed_at_each_enrollment_point(self):
        token = self.d.token("--uses", str(len(ENROLL_POINTS)))
        for point in ENROLL_POINTS:
            with self.subTest(point):
                agent = self.agent(point)
                done = agent.enroll(self.d, token, check=False, env={"QUANTFLEET_FAIL_POINT": point})
                self.assertEqual(done.returncode, -9, done.stderr)
                agent.enroll(self.d, token)
        devices = self.d.cli_json("device", "list")["devices"]
        self.assertEqual(len(devices), len(ENROLL_POINTS), "a kill in the middle made a second device")

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
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")
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
