"""Installed bytes that change: they are found, fetched again, and nothing falls over meanwhile."""
import hashlib
import os
import random
import unittest

from harness import DEMO, EndToEnd, post, wait_for
from kill import REPAIR_POINTS


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Damage(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4")["name"])
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


if __name__ == "__main__":
    unittest.main()
