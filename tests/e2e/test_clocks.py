"""Clocks that are wrong: the daemon's while it issues certificates, a device's, an operator's."""
import unittest

from harness import BIN, IOT, EndToEnd, run, wait_for

DAY = 86400


def clock(days):
    """For a program whose clock is so many days ahead."""
    return {"LD_PRELOAD": str(BIN.parent / "lib/libwrong_clock.so"), "WRONG_CLOCK_SECONDS": str(days * DAY)}


class Clocks(EndToEnd):
    def refused(self, days):
        """The daemon does not start with that clock; what it says."""
        self.d.start(env=clock(days), wait=False)
        self.assertEqual(self.d.process.wait(), 1, self.d.process.log())
        return self.d.process.log()

    def test_a_fleet_outlives_a_daemon_whose_clock_was_ahead(self):
        self.d = self.daemon().start(env=clock(2))
        token = self.d.cli_json("token", "create", env=clock(2))["secret"]
        a = self.agent("device", IOT)
        a.enroll(self.d, token, env=clock(2))
        self.d.stop()

        # Right again, it contradicts what it has signed.
        self.assertIn("2 days later", self.refused(0))
        self.assertIn("quantfleetd clock accept", self.d.process.log())
        self.assertEqual(run("quantfleetd", "clock", "accept", "--data", self.d.data).returncode, 0)
        self.d.start()
        # The device's certificate begins tomorrow; it renews it.
        a.start()
        wait_for("the device", lambda: int(self.d.cli_json("status")["devices_seen_lately"]) == 1)
        self.assertIn(" ago", self.d.cli("device", "list").stdout)

        # The clock that is wrong is named.
        ahead = self.d.cli("status", check=False, env=clock(100))
        self.assertEqual(ahead.returncode, 4)
        self.assertIn("100 days ahead of the daemon's", ahead.stderr)
        self.assertIn("this computer's clock", ahead.stderr)
        a.stop()
        a.start(env=clock(-3))
        warning = r"warning.* this device's clock .* is 3 days behind the daemon's .*: set this device's clock"
        wait_for("the warning", lambda: "3 days behind the daemon's" in a.process.log())
        self.assertRegex(a.process.log(), warning)
        self.d.stop()
        self.assertIn("400 days after the daemon was last at work", self.refused(400))


if __name__ == "__main__":
    unittest.main()
