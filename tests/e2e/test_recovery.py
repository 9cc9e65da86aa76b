"""Devices that were away too long, or whose clock is wrong, come back without hands; cut downloads go on."""
import subprocess
import unittest
from pathlib import Path

from harness import DEMO, IOT, SANITIZED, EndToEnd, wait_for

FAKETIME = next((p for p in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def at(when):
    """Environment that makes a process believe it is `when`; timers keep running on the real monotonic clock."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Recovery(EndToEnd):
    def prepare(self):
        daemon = self.daemon().start()
        daemon.cli("model", "import", "m", DEMO)
        self.wait_job(daemon, daemon.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        agent = self.agent("a", IOT)
        agent.enroll(daemon, daemon.token())
        return daemon, agent, agent.device_id

    @unittest.skipUnless(FAKETIME and not SANITIZED,
                         "libfaketime is absent, or cannot be mixed with a sanitizer")
    def test_offline_past_the_certificates_expiry(self):
        daemon, agent, device = self.prepare()
        daemon.stop()
        daemon.start(env=at("+30d"))
        daemon_now = lambda: daemon.cli_json("device", "show", device, env=at("+30d"))
        before = int(daemon_now()["certificate_expires_ms"])
        daemon.cli("rollout", "create", "m", env=at("+30d"))
        agent.start(env=at("+30d"))
        wait_for("HEALTHY after renewal", lambda: any(m["phase"] == "HEALTHY" for m in daemon_now().get("models", [])), 60)
        self.assertGreater(int(daemon_now()["certificate_expires_ms"]), before)

    @unittest.skipUnless(FAKETIME and not SANITIZED,
                         "libfaketime is absent, or cannot be mixed with a sanitizer")
    def test_boots_in_1970(self):
        daemon, agent, device = self.prepare()
        daemon.cli("rollout", "create", "m")
        agent.start(env=at("1970-01-02 00:00:00"))
        self.wait_phase(daemon, device, "m", "HEALTHY")

    def test_daemon_away_and_back(self):
        daemon, agent, device = self.prepare()
        daemon.stop()
        agent.start()
        daemon.start()
        daemon.cli("rollout", "create", "m")
        self.wait_phase(daemon, device, "m", "HEALTHY")
        # Without the daemon the model keeps answering.
        daemon.stop()
        from harness import post
        code, answer = post(f"http://{agent.endpoint()}/v1/completions", {"model": "m", "prompt": "The", "max_tokens": 3})
        self.assertEqual(code, 200, answer)


if __name__ == "__main__":
    unittest.main()
