"""`quantize` is killed at random moments and stopped by Ctrl-C: --resume goes on, with one digest; memory stays in its
budget whatever the model's size and however many targets there are."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import BIN, ROOT, SANITIZED, SLOW, EndToEnd, Watch, run, run_json

MEGABYTES = int(os.environ.get("QUANTFLEET_KILL_MEGABYTES", "200"))
TARGETS = ["f16", "q8_0", "q4_0", "q4_k_m", "q6_k"]
MIB = 1 << 20


class KillQuantize(EndToEnd):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="quantfleet-kill-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.model = cls.shared / "model"
        subprocess.run([sys.executable, ROOT / "tests/tools/make_model.py", cls.model, "--megabytes", str(MEGABYTES)],
                       check=True, stdout=subprocess.DEVNULL)
        out = cls.shared / "want"
        cls.want = cls.digests(run_json("quantfleet", "quantize", cls.model, *cls.targets(), "--out", out, "--json"))
        shutil.rmtree(out)

    @staticmethod
    def targets():
        return [x for t in TARGETS for x in ("--target", f"gguf:{t}")]

    @staticmethod
    def digests(result):
        return {t["name"]: t["manifest_digest"] for t in result["targets"]}

    def start(self, *extra):
        return subprocess.Popen([BIN / "quantfleet", "quantize", self.model, *self.targets(), "--out", self.dir / "out",
                                 "--json", *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        out, err = process.communicate(timeout=300 * SLOW)
        self.assertEqual(process.returncode, 0, err)
        return json.loads(out)

    def whole(self):
        """Killed between its last durable step and its end: nothing is left to resume."""
        return {p.name for p in (self.dir / "out").glob("*")} == set(self.want)

    def begin_anew(self):
        shown = {name: hashlib.sha256((self.dir / "out" / name / "manifest.pb").read_bytes()).hexdigest()
                 for name in self.want}
        self.assertEqual(shown, self.want)
        shutil.rmtree(self.dir / "out")

    def test_twenty_kills_end_in_one_digest(self):
        seed = int(os.environ.get("QUANTFLEET_SEED", time.time_ns() % 10**9))
        print(f"random kills: seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        kills = 0
        while kills < 20:
            process = self.start("--resume")
            try:
                # The moment is what is random: there is no condition to wait for.
                out, err = process.communicate(timeout=rng.uniform(0.01, 0.25) * SLOW)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.assertFalse((self.dir / "out/gguf-f16").exists() and (self.dir / "out/.quantize.journal").exists()
                                 and (self.dir / "out/.gguf-f16.partial").exists(), "shown and half-done at once")
                if self.whole():
                    self.begin_anew()
            else:
                # Done before its time: the next one begins anew.
                self.assertEqual(process.returncode, 0, err)
                self.assertEqual(self.digests(json.loads(out)), self.want)
                self.begin_anew()
            kills += 1
        result = self.finish(self.start("--resume"))
        self.assertEqual(self.digests(result), self.want)
        self.assertEqual(sorted(p.name for p in (self.dir / "out").iterdir()), sorted(self.want))

    def test_recorded_slabs_are_not_made_again(self):
        done = run("quantfleet", "quantize", self.model, *self.targets(), "--out", self.dir / "out", check=False,
                   env={"QUANTFLEET_FAIL_POINT": "slab-after-record:5"})
        self.assertEqual(done.returncode, -9, done.stderr)
        result = self.finish(self.start("--resume"))
        self.assertGreaterEqual(result["slabs_resumed"], 5)
        self.assertEqual(self.digests(result), self.want)

    def test_interrupted_run_goes_on(self):
        process = self.start()
        while not list((self.dir / "out").glob(".quantize.journal")):
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60 * SLOW)
        self.assertEqual(process.returncode, 1, out + err)
        self.assertIn("--resume", err)
        self.assertEqual([p.name for p in (self.dir / "out").glob("gguf-*")], [])
        self.assertEqual(self.digests(self.finish(self.start("--resume"))), self.want)

    def test_resume_with_other_targets_begins_anew(self):
        run("quantfleet", "quantize", self.model, *self.targets(), "--out", self.dir / "out", check=False,
            env={"QUANTFLEET_FAIL_POINT": "slab-after-record:5"})
        other = run_json("quantfleet", "quantize", self.model, "--target", "gguf:q5_0", "--out", self.dir / "out", "--json",
                         "--resume")
        self.assertEqual(other["slabs_resumed"], 0)

    @unittest.skipIf(SANITIZED, "a sanitizer has memory of its own")
    def test_memory_stays_in_its_budget(self):
        for memory in (32, 128):
            with self.subTest(memory):
                process = self.start("--memory", str(memory), "--force", "--threads", "2")
                with Watch(process.pid, "VmHWM") as watch:
                    _, err = process.communicate()
                self.assertEqual(process.returncode, 0, err)
                peak = watch.most / MIB
                self.assertGreater(peak, 4)
                print(f"--memory {memory}: {peak:.0f} MiB at most, for a model of {MEGABYTES} MB", file=sys.stderr)
                self.assertLessEqual(peak, memory + 64)


if __name__ == "__main__":
    unittest.main()
