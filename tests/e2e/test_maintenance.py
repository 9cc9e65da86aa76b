"""A daemon's state and keys: copied, restored elsewhere, and signed for by another key, while devices go on. Killed on the
way."""
import unittest

from harness import DEMO, IOT, EndToEnd, run, wait_for
from kill import MAINTENANCE_POINTS


class Maintenance(EndToEnd):
    def command(self, *words, point=None, data=None):
        """quantfleetd's command on the daemon's folder; where it is to be killed, its exit status is looked at here."""
        env = {"QUANTFLEET_FAIL_POINT": point} if point else None
        done = run("quantfleetd", *words, "--data", data or self.d.data, check=False, env=env)
        if point:
            self.assertEqual(done.returncode, -9, done.stderr)
        return done

    def device(self):
        return self.d.cli_json("device", "show", self.a.device_id)

    def roll_out(self, release):
        self.d.cli("rollout", "create", "m", "--watch")
        self.wait_phase(self.d, self.a.device_id, "m", "HEALTHY", release=release)

    def test_keys_change_and_folders_move_while_devices_go_on(self):
        self.assertEqual(MAINTENANCE_POINTS, ["maintenance-backup", "maintenance-restore", "maintenance-rotate"])
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")
        self.a = self.agent("device", IOT)
        self.a.enroll(self.d, self.d.token())
        self.a.start()
        self.roll_out(1)
        self.assertEqual(self.device()["trust_root_version"], 1)

        # A running daemon's keys are not changed.
        self.assertEqual(self.command("keys", "rotate").returncode, 1)
        self.d.stop()
        self.command("keys", "rotate", point="maintenance-rotate")
        self.assertIn("interrupted", self.command("keys", "rotate").stdout)
        refused = self.command("keys", "retire")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(self.a.device_id, refused.stderr)
        self.d.start()
        wait_for("the new trust root", lambda: self.device()["trust_root_version"] == 2)
        self.roll_out(2)
        self.d.stop()
        self.assertEqual(self.command("keys", "retire").returncode, 0)
        self.d.start()
        self.roll_out(3)

        # The CA, in the same steps; the device changes its certificate by itself.
        fingerprint = self.d.cli_json("status")["ca_sha256"]
        self.d.stop()
        self.assertEqual(self.command("keys", "rotate", "--ca").returncode, 0)
        self.assertIn("2 CAs", self.command("keys", "rotate").stderr)
        self.assertEqual(self.command("keys", "retire").returncode, 1)
        self.d.start()
        late = self.agent("late", IOT)  # meets the old CA, and hears of the new one
        late.enroll(self.d, self.d.token())
        late.start()
        for agent in (self.a, late):
            wait_for("a certificate of the new CA",
                     lambda a=agent: self.d.cli_json("device", "show", a.device_id).get("certificate_root_version") == 4)
        self.roll_out(4)
        self.d.stop()
        self.assertEqual(self.command("keys", "retire").returncode, 0)
        self.d.start()
        self.assertNotEqual(self.d.cli_json("status")["ca_sha256"], fingerprint)
        self.roll_out(5)
        wait_for("the root without the old CA", lambda: self.device()["trust_root_version"] == 5)

        # Copied while it runs, whole or not at all.
        copy, restored = self.dir / "copy", self.dir / "restored"
        self.command("backup", copy, point="maintenance-backup")
        self.assertFalse(copy.exists())
        self.assertEqual(self.command("backup", copy).returncode, 0)
        self.d.stop()
        self.command("restore", copy, point="maintenance-restore", data=restored)
        self.assertEqual(self.command("restore", copy, data=restored).returncode, 0)
        self.assertEqual(self.command("restore", copy, data=restored).returncode, 1)
        other = self.daemon(name="restored")
        other.ports = self.d.ports  # where the device asks
        self.d = other.start()
        wait_for("the device", lambda: self.device()["trust_root_version"] == 5)
        # What it holds goes on; a job makes the blobs again, and the rollout finds them.
        job = self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")
        self.roll_out(6)


if __name__ == "__main__":
    unittest.main()
