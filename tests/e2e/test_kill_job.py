"""The daemon is killed at every durable step of a job and at random moments: the same digests, nothing done twice."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import DEMO, ROOT, SLOW, wait_for
from kill import ORDER, PIPELINE_POINTS, DaemonKills

MEGABYTES = int(os.environ.get("QUANTFLEET_KILL_MEGABYTES", "200"))

# A job is measured at its end: here that has to happen, not to be exact. The big model's is worth nothing at all.
MEASURED, UNMEASURED = ("--evaluation-tokens", "16"), ("--evaluation-tokens", "0")


class KillDuringJob(DaemonKills):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="quantfleet-kill-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.big = cls.shared / "big"
        subprocess.run([sys.executable, ROOT / "tests/tools/make_model.py", cls.big, "--megabytes", str(MEGABYTES)],
                       check=True, stdout=subprocess.DEVNULL)
        assert (cls.big / "model.safetensors").stat().st_size >= MEGABYTES * 10**6
        cls.want = {m: cls.quantized(cls.shared / f"want-{m.name}", m) for m in (cls.big, DEMO)}

    def submit(self, daemon, model):
        daemon.cli("model", "import", "m", model)
        return daemon.cli_json("job", "submit", "m", *ORDER)["name"]

    def test_there_are_fail_points(self):
        self.assertGreaterEqual(len(PIPELINE_POINTS), 10, PIPELINE_POINTS)

    def test_daemon_killed_at_each_point_of_a_job(self):
        for point in PIPELINE_POINTS:
            with self.subTest(point):
                daemon = self.daemon(*MEASURED, name=point)
                self.start_armed(daemon, point)
                self.push_and_quantize(daemon, self.want[DEMO])
                self.assertEqual(self.kills, 1, "the point was never reached")
                daemon.stop()

    def test_daemon_killed_at_ten_random_moments(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"random kills: seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        daemon = self.daemon(*UNMEASURED, name="random").start()
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
        daemon = self.daemon(*UNMEASURED, name="resume").start(env={"QUANTFLEET_FAIL_POINT": "slab-after-record:12"})
        job = self.submit(daemon, self.big)
        wait_for("the kill", lambda: not daemon.process.alive(), 120)
        daemon.start()
        final = self.wait_job(daemon, job, 300)
        self.assertGreaterEqual(int(final["progress"]["slabs_resumed"]), 12, final)
        self.assertEqual(self.digests(daemon), self.want[self.big])


if __name__ == "__main__":
    unittest.main()
