"""An agent whose disk is full or read-only when it starts: the model that was healthy answers, and the agent says what it
cannot write."""
import subprocess

from harness import BIN, DEMO, IOT, EndToEnd, post, take_port, wait_for


class BadDisks(EndToEnd):
    """A device with a healthy model, stopped, whose state is on a small disk of its own."""

    def setUp(self):
        super().setUp()
        self.state = self.dir / "a"
        self.state.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "none", self.state]
        if subprocess.run(mount, capture_output=True).returncode:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.state], check=True)
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        self.device = self.agent("a", IOT)
        self.device.enroll(self.d, self.d.token())
        self.at = f"127.0.0.1:{take_port()}"
        self.device.start("--listen", self.at)
        self.id = self.device.device_id
        self.d.cli("rollout", "create", "m")
        self.wait_phase(self.d, self.id, "m", "HEALTHY")
        self.device.stop()

    def reported(self):
        return self.d.cli_json("device", "show", self.id).get("unwritten", "")

    def answers(self):
        return post(f"http://{self.at}/v1/completions", {"model": "m", "prompt": "a", "max_tokens": 2})[0] == 200

    def runs_on(self, why):
        """It starts, answers, and says why it cannot write in all three places; returns once it can again."""
        wait_for("an answer", lambda: self.device.process.alive() and self.quietly(self.answers))
        wait_for("the report", lambda: why in self.reported())
        self.assertIn(why, self.device.process.log())
        self.assertIn("cannot write status.json", self.device.process.log())
        self.assertIn("status.json", self.d.cli("device", "show", self.id).stdout)
        self.assertTrue(self.device.status()["running"])
        return self.device.status()["unwritable"]

    def quietly(self, act):
        try:
            return act()
        except OSError:
            return None

    def recovers(self):
        wait_for("nothing to report", lambda: self.reported() == "")
        self.assertEqual(self.device.status()["unwritable"], "")
        self.assertTrue(self.answers())
        self.assertEqual(self.device.stop(), 0)

    def test_full(self):
        filler = self.state / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True)
        self.device.start("--listen", self.at)
        self.assertIn("no space left", self.runs_on("No space left on device"))
        filler.unlink()
        self.recovers()

    def test_read_only(self):
        if subprocess.run(["mount", "-o", "remount,ro", self.state], capture_output=True).returncode:
            self.skipTest("no file system can be made read-only here")
        self.device.start("--listen", self.at)
        self.assertIn("Read-only file system", self.runs_on("Read-only file system"))
        subprocess.run(["mount", "-o", "remount,rw", self.state], check=True)
        self.recovers()

    def test_log_that_takes_nothing(self):
        with open("/dev/full", "wb") as full:
            agent = subprocess.Popen([BIN / "quantfleet-agent", "start", "--state", self.state, "--listen", self.at],
                                     stdout=full, stderr=full)
        self.addCleanup(agent.kill)
        wait_for("an answer", lambda: agent.poll() is None and self.quietly(self.answers))
        agent.terminate()
        self.assertEqual(agent.wait(30), 0)


if __name__ == "__main__":
    import unittest
    unittest.main()
