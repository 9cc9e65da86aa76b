"""Bytes that change, on a device or on the daemon: they are found, had again, and nothing falls over meanwhile."""
import hashlib
import os
import random
import shutil
import unittest

from harness import DEMO, EndToEnd, post, run, wait_for
from kill import REPAIR_POINTS, SCRUB_POINTS


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Damage(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        self.a = self.agent("a")
        self.a.enroll(self.d, self.d.token())
        self.a.start()
        self.d.cli_json("rollout", "create", "m")
        self.wait_phase(self.d, self.a.device_id, "m", "HEALTHY")
        self.file = self.a.state / "models/m/current/files/model.gguf"
        self.whole, self.size = digest(self.file), self.file.stat().st_size

    def ask(self):
        return post(f"http://{self.a.endpoint()}/v1/completions",
                    {"model": "m", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0})

    def healthy(self):
        local = next((m for m in self.a.status()["models"] if m["model"] == "m"), {})
        return local.get("phase") == "HEALTHY" and not local.get("reason")

    def await_whole(self):
        wait_for("the whole file", lambda: self.file.stat().st_size == self.size and digest(self.file) == self.whole)
        wait_for("the model to be healthy", self.healthy)
        self.assertTrue(self.a.process.alive(), self.a.process.log()[-2000:])

    def test_flipped_bits_holes_and_half_the_weights_are_mended_after_a_restart(self):
        code, before = self.ask()
        self.assertEqual(code, 200, before)
        rng = random.Random(1)
        for name, places in (("one bit", [self.size // 2]), ("200 bits", [rng.randrange(self.size) for _ in range(200)]),
                             ("64 KiB", range(self.size // 3, self.size // 3 + (64 << 10))),
                             ("half", range(self.size // 2, self.size))):
            with self.subTest(name):
                self.assertEqual(self.a.stop(), 0)
                data = bytearray(self.file.read_bytes())
                for at in places:
                    data[at] ^= 1 if len(places) <= 200 else data[at]
                self.file.write_bytes(data)
                self.assertNotEqual(digest(self.file), self.whole)
                self.a.start()
                self.await_whole()
                self.assertIn("damaged on this disk", self.a.process.log())
                code, after = wait_for("an answer", lambda: (lambda got: got if got[0] == 200 else None)(self.ask()))
                self.assertEqual(after["choices"][0]["text"], before["choices"][0]["text"])

    def test_agent_killed_amid_a_repair(self):
        for point in REPAIR_POINTS:
            with self.subTest(point):
                self.assertEqual(self.a.stop(), 0)
                data = bytearray(self.file.read_bytes())
                data[self.size // 2] ^= 1
                self.file.write_bytes(data)
                self.a.start(env={"QUANTFLEET_FAIL_POINT": point})
                wait_for(f"the kill at {point}", lambda: not self.a.process.alive())
                self.a.start()
                self.await_whole()

    def test_a_file_cut_short_while_it_is_mapped_does_not_end_the_agent(self):
        os.truncate(self.file, 4096)
        code, answer = self.ask()
        self.assertEqual(code, 500, answer)
        self.assertTrue(self.a.process.alive(), self.a.process.log()[-2000:])
        self.await_whole()
        code, answer = self.ask()
        self.assertEqual(code, 200, answer)


class DaemonDamage(EndToEnd):
    def setUp(self):
        super().setUp()
        self.source = self.dir / "source"
        shutil.copytree(DEMO, self.source)
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", self.source)
        job = self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        self.artifact = job["artifacts"][0]
        self.blobs = sorted((self.d.data / "blobs").glob("??/*"), key=lambda p: p.stat().st_size)
        self.whole = {path: digest(path) for path in self.blobs}

    def flip(self, path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def damage(self):
        return self.d.cli_json("artifact", "show", self.artifact)["artifact"].get("damage")

    def assert_whole(self):
        wait_for("the mark to go", lambda: not self.damage())
        self.assertEqual({path: digest(path) for path in self.blobs}, self.whole)

    def test_a_flipped_byte_is_found_marked_and_repaired_by_a_job(self):
        self.assertEqual(self.d.cli("artifact", "scrub", "--watch").returncode, 0)
        # The files are away: the daemon cannot mend it by itself.
        away = self.dir / "away"
        self.source.rename(away)
        self.flip(self.blobs[-1])
        scrub = self.d.cli("artifact", "scrub", "--watch", "--json", check=False)
        self.assertEqual(scrub.returncode, 1, scrub.stderr)
        self.assertIn('"blobs_damaged": "1"', scrub.stdout)
        self.assertFalse(self.blobs[-1].exists(), "nobody is served it")
        damage = self.damage()
        self.assertEqual((damage["blobs"], damage["job"]), ("1", ""))
        self.assertIn("quantfleet artifact repair", damage["remedy"])
        listed = self.d.cli("artifact", "list")
        self.assertIn(damage["remedy"], listed.stderr)
        a = self.agent("a")
        a.enroll(self.d, self.d.token())
        a.start()
        refused = self.d.cli("rollout", "create", "m", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(damage["remedy"], refused.stderr)
        self.assertEqual(self.d.cli("artifact", "repair", self.artifact, check=False).returncode, 1)

        away.rename(self.source)
        repaired = self.d.cli_json("artifact", "repair", self.artifact, "--watch")
        self.assertEqual((repaired["state"], repaired["artifacts"]), ("SUCCEEDED", [self.artifact]))
        self.assert_whole()
        self.d.cli("rollout", "create", "m")
        self.wait_phase(self.d, a.device_id, "m", "HEALTHY")

        # Now it can: nobody has to do anything.
        self.flip(self.blobs[-1])
        self.blobs[0].unlink()
        self.d.cli("artifact", "scrub", "--watch", check=False)
        self.assert_whole()

    def test_a_blob_that_vanishes_is_noticed_by_whoever_asks_for_it(self):
        self.source.rename(self.dir / "away")
        a = self.agent("a")
        a.enroll(self.d, self.d.token())
        self.d.cli("rollout", "create", "m")
        self.blobs[-1].unlink()
        a.start()
        wait_for("the mark", self.damage)
        self.assertNotEqual(self.model_status(self.d, a.device_id, "m")["phase"], "FAILED")
        (self.dir / "away").rename(self.source)
        self.d.cli("artifact", "repair", self.artifact, "--watch")
        self.wait_phase(self.d, a.device_id, "m", "HEALTHY")

    def test_a_restored_daemon_makes_its_blobs_again(self):
        self.d.cli("artifact", "scrub", "--watch")
        self.assertEqual(self.d.stop(), 0)
        copy = self.dir / "backup"
        run("quantfleetd", "backup", copy, "--data", self.d.data)
        restored = self.daemon(name="restored")
        restored.data.rmdir()
        run("quantfleetd", "restore", copy, "--data", restored.data)
        restored.start()
        self.d = restored
        scrub = self.d.cli("artifact", "scrub", "--watch", "--json", check=False)
        self.assertIn(f'"blobs_missing": "{len(self.blobs)}"', scrub.stdout)
        self.whole = {restored.data / path.relative_to(self.dir / "daemon"): sha for path, sha in self.whole.items()}
        self.blobs = list(self.whole)
        self.assert_whole()

    def test_daemon_killed_amid_a_scrub(self):
        for point in SCRUB_POINTS:
            with self.subTest(point):
                self.assertEqual(self.d.stop(), 0)
                self.d.start(env={"QUANTFLEET_FAIL_POINT": point})
                self.flip(self.blobs[-1])
                self.d.cli("artifact", "scrub", check=False)
                wait_for(f"the kill at {point}", lambda: not self.d.process.alive())
                self.d.start()
                wait_for("the scrub's end", lambda: self.d.cli_json("status")["scrub"]["state"] == "FINISHED")
                self.assert_whole()


if __name__ == "__main__":
    unittest.main()
