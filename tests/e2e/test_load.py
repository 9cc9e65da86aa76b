"""The load generator against a real daemon: small numbers, and everything it does comes out right."""
import json
import re
import subprocess
import sys
import unittest

from harness import ROOT, SLOW


class Load(unittest.TestCase):
    def test_quick_bench(self):
        done = subprocess.run([sys.executable, ROOT / "tests/bench/fleet_bench.py", "--quick"], capture_output=True,
                              text=True, timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        bench = json.loads(done.stdout)
        size, scenarios = bench["size"], bench["scenarios"]

        self.assertEqual(scenarios["enroll"]["enrollments"]["calls"], size["enroll"])
        checked_in = scenarios["checkins"]
        self.assertEqual([p["check_ins"]["calls"] for p in checked_in["paces"]],
                         [rate * size["seconds"] for rate in size["rates"]])
        self.assertEqual(checked_in["opening"]["handshakes"]["calls"], size["connections"])
        self.assertEqual(scenarios["storm"]["full_handshakes"], size["storm"])
        for name, report in scenarios.items():
            self.assertEqual(report["errors"], 0, (name, report))

        rollout = scenarios["rollout"]
        self.assertEqual(rollout["state"], "COMPLETED")
        self.assertEqual(rollout["violations"], [])
        failing = round(size["devices"] * size["failures"])
        self.assertEqual((rollout["healthy"], rollout["failed"]), (size["devices"] - failing, failing))
        self.assertEqual(rollout["gates"], 2)
        self.assertEqual(rollout["pulls"]["calls"], round(size["devices"] * size["pulls"]))
        self.assertGreater(rollout["pulled_bytes"], 0)
        # It pauses each time that more than the limit failed: the daemon says so, and the generator counted.
        self.assertGreaterEqual(len(rollout["pauses"]), 1)
        for pause in rollout["pauses"]:
            said = re.fullmatch(r"failed devices: (\d+), which exceeds the limit of (\d+)", pause["reason"])
            self.assertEqual([int(x) for x in said.groups()], [size["max_failures"] + 1, size["max_failures"]], pause)
            self.assertLessEqual(pause["overshoot"], size["max_in_flight"])


if __name__ == "__main__":
    unittest.main()
