"""The agent updates itself: a release goes out like a model, is tried, takes over, and is given up where it is no good."""
import os
import shutil
import struct
import unittest

from harness import BIN, DEMO, IOT, EndToEnd, post, run, run_json, wait_for
from kill import SELF_UPDATE_POINTS

SELF = "quantfleet-agent"
NEXT = BIN / "quantfleet-agent-next"
MACHINE = os.uname().machine


class SelfUpdate(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.old = run("quantfleet-agent", "--version").stdout.split()[-1]
        self.new = run("quantfleet-agent-next", "--version").stdout.split()[-1]
        self.assertNotEqual(self.old, self.new)

    def publish(self, *programs):
        return self.d.cli_json("agent", "publish", *programs)["releases"]

    def enrolled(self, name):
        agent = self.agent(name)
        agent.enroll(self.d, self.d.token())
        return agent

    def version(self, agent):
        return self.d.cli_json("device", "show", agent.device_id)["agent_version"]

    def roll_out(self, agent):
        return self.d.cli_json("rollout", "create", SELF, "--device", agent.device_id)["name"]

    def wait_rollout(self, name, state):
        return wait_for(f"{name} to be {state}",
                        lambda: (lambda r: r if r["state"] == state else None)(self.d.cli_json("rollout", "status", name)))

    def assert_answers(self, agent):
        code, answer = post(f"http://{agent.endpoint()}/v1/completions",
                            {"model": "m", "prompt": "Once upon a time", "max_tokens": 4})
        self.assertEqual(code, 200, answer)

    def with_model(self, agent):
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        self.d.cli_json("rollout", "create", "m")
        self.wait_phase(self.d, agent.device_id, "m", "HEALTHY")

    def test_release_takes_over_and_is_taken_back(self):
        agent = self.enrolled("a").start()
        self.with_model(agent)
        pid = agent.process.popen.pid
        release, = self.publish(NEXT)
        self.assertEqual((release["version"], release["architecture"]), (self.new, MACHINE))
        self.assertEqual(self.d.cli_json("agent", "list")["releases"], [release])
        rollout = self.roll_out(agent)
        self.wait_rollout(rollout, "COMPLETED")
        status = self.model_status(self.d, agent.device_id, SELF)
        self.assertEqual(status["active_manifest"], status["assigned_manifest"])
        self.assertEqual(status["endpoint"], "")
        self.assertEqual(self.version(agent), self.new)
        self.assertTrue(agent.process.alive())
        self.assertEqual(agent.process.popen.pid, pid)
        local = agent.status()
        self.assertEqual((local["agent_version"], local["agent_slot"], local["running"]), (self.new, "a", True))
        wait_for("the model behind the new agent", lambda: self.serves(agent))
        self.assert_answers(agent)

        # What the service manager starts is the old program still; proven, the release needs no daemon to go on.
        agent.stop()
        self.d.stop()
        (agent.state / "status.json").unlink()
        agent.start()
        wait_for("the release after a restart", lambda: self.serves(agent))
        self.assertEqual(agent.status()["agent_version"], self.new)

        self.d.start()
        self.d.cli_json("rollout", "rollback", rollout)
        self.wait_rollout(rollout, "ROLLED_BACK")
        wait_for("the installed program", lambda: self.version(agent) == self.old)
        self.assertIsNone(self.model_status(self.d, agent.device_id, SELF).get("active_manifest") or None)
        wait_for("the model behind the installed program", lambda: self.serves(agent))
        self.assertEqual(agent.status()["agent_slot"], "")
        self.assert_answers(agent)

    def serves(self, agent):
        status = agent.status()
        return status["running"] and any(m["model"] == "m" and m["phase"] == "HEALTHY" for m in status["models"])

    def test_program_that_crashes_is_refused_at_its_trial(self):
        agent = self.enrolled("a").start()
        broken = self.dir / "broken"
        shutil.copy(NEXT, broken)
        with open(broken, "r+b") as program:
            program.seek(24)  # e_entry: nothing can be executed there
            program.write(struct.pack("<Q", 0))
        self.publish(broken)
        show = self.wait_rollout(self.roll_out(agent), "FAILED")
        row, = show["devices"]
        self.assertEqual((row["state"], row["code"]), ("FAILED", "HEALTH_FAILED"), row)
        self.assertIn("signal 11", row["reason"])
        self.assertEqual(self.version(agent), self.old)
        self.assertTrue(agent.process.alive())
        # A good one afterwards is taken.
        self.publish(NEXT)
        self.wait_rollout(self.roll_out(agent), "COMPLETED")
        self.assertEqual(self.version(agent), self.new)

    def test_program_that_dies_after_its_trial_is_given_up(self):
        agent = self.enrolled("a")
        device = agent.device_id
        self.publish(NEXT)
        rollout = self.roll_out(agent)
        for n in range(3):
            agent.start(env={"QUANTFLEET_FAIL_POINT": "self-update-begun"})
            wait_for(f"death {n + 1}", lambda: not agent.process.alive())
            self.assertEqual(agent.process.popen.returncode, -9, agent.process.log()[-2000:])
        agent.start(env={"QUANTFLEET_FAIL_POINT": "self-update-begun"})
        row, = self.wait_rollout(rollout, "FAILED")["devices"]
        self.assertEqual((row["state"], row["code"]), ("FAILED", "HEALTH_FAILED"), row)
        self.assertIn("3 times", row["reason"])
        self.assertEqual(self.version(agent), self.old)
        self.assertEqual(self.model_status(self.d, device, SELF)["active_manifest"], "")

    def test_proven_release_with_flipped_text_is_mended_by_the_installed_program(self):
        agent = self.enrolled("a").start()
        self.publish(NEXT)
        self.wait_rollout(self.roll_out(agent), "COMPLETED")
        self.assertEqual(agent.stop(), 0)
        program = agent.state / "models" / SELF / "current/files" / SELF
        whole = program.read_bytes()
        damaged = bytearray(whole)
        for at in range(0x2000, len(damaged) // 2, 997):
            damaged[at] ^= 0xff
        program.write_bytes(damaged)
        agent.start()
        wait_for("the release again", lambda: program.read_bytes() == whole and agent.status()["agent_slot"] == "a")
        wait_for("its check-in", lambda: self.version(agent) == self.new)
        wait_for("a healthy release", lambda: self.model_status(self.d, agent.device_id, SELF)["phase"] == "HEALTHY")
        self.assertTrue(agent.process.alive(), agent.process.log()[-2000:])

    def test_agent_killed_at_each_point(self):
        self.assertGreaterEqual(len(SELF_UPDATE_POINTS), 6, SELF_UPDATE_POINTS)
        self.publish(NEXT)
        agents = {}
        for point in SELF_UPDATE_POINTS:
            agents[point] = agent = self.enrolled(point)
            self.roll_out(agent)
            agent.start(env={"QUANTFLEET_FAIL_POINT": point})
        for point, agent in agents.items():
            with self.subTest(point):
                wait_for(f"the kill at {point}", lambda: not agent.process.alive())
                self.assertEqual(agent.process.popen.returncode, -9, agent.process.log()[-2000:])
                agent.start()
        for point, agent in agents.items():
            with self.subTest(point):
                status = self.wait_phase(self.d, agent.device_id, SELF, "HEALTHY")
                self.assertEqual(status["active_manifest"], status["assigned_manifest"])
                self.assertEqual(self.version(agent), self.new)
                agent.stop()

    def test_only_agents_go_under_its_name_and_only_where_they_run(self):
        planned = run_json("quantfleet", "agent", "publish", "--dry-run", "--json", NEXT)["releases"]
        self.assertEqual([(r["version"], r["artifact"]) for r in planned], [(self.new, "")])
        for program, why in ((BIN / "quantfleet", "version"), (DEMO / "config.json", "ELF")):
            done = run("quantfleet", "agent", "publish", "--dry-run", program, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(why, done.stderr)
        done = self.d.cli("model", "import", SELF, DEMO, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("ELF", done.stderr)
        self.publish(NEXT)
        self.assertNotEqual(self.d.cli("job", "submit", SELF, "--class", "iot-int4", check=False).returncode, 0)
        board = self.agent("board", {**IOT, "arch": "aarch64" if MACHINE == "x86_64" else "x86_64"})
        board.enroll(self.d, self.d.token())
        done = self.d.cli("rollout", "create", SELF, "--device", board.device_id, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("quantfleet agent publish", done.stderr)


if __name__ == "__main__":
    unittest.main()
