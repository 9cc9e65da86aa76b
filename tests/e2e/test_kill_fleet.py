"""The daemon is killed at every durable step of enrollment, rollout and revocation: nothing is lost or done twice."""
import shutil
import unittest

from harness import DEMO, wait_for
from kill import FLEET_POINTS, DaemonKills

CLASS_TOML = """name = "lab-int4"
description = "A class of our own"
format = "gguf"
recipe = "q4_0"
priority = 1
[match]
form = ["lab"]
"""


class KillDuringFleetWork(DaemonKills):
    def test_there_are_fail_points(self):
        self.assertGreaterEqual(len(FLEET_POINTS), 8, FLEET_POINTS)

    def test_daemon_killed_at_each_point_of_the_fleet(self):
        prepared = self.daemon(name="prepared").start()
        self.kills = 0
        self.push_and_quantize(prepared, self.quantized(self.dir / "want", DEMO))
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
                self.survive(daemon, lambda: daemon.cli("device", "label", device, "ring=early"))
                rollout = self.survive(daemon, lambda: daemon.cli_json("rollout", "create", "m", "--request-id", "one"))
                agent.start()
                self.survive(daemon, lambda: self.wait_phase(daemon, device, "m", "HEALTHY", release=1))
                self.survive(daemon, lambda: wait_for("the rollout's end", lambda: daemon.cli_json(
                    "rollout", "status", rollout["name"])["state"] == "COMPLETED", 20))
                self.survive(daemon, lambda: daemon.cli("device", "revoke", device))
                shown = daemon.cli_json("device", "show", device)
                self.assertEqual((shown["state"], shown["labels"]), ("REVOKED", {"ring": "early"}))
                self.assertEqual(len(daemon.cli_json("device", "list")["devices"]), 1)
                self.assertEqual(self.kills, 1, "the point was never reached")
                agent.stop()
                daemon.stop()


if __name__ == "__main__":
    unittest.main()
