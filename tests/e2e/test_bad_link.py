"""Downloads over links that are cut and links that hardly move."""
import time
import unittest

from bad_link import BadLink
from harness import DEMO, IOT, SLOW, EndToEnd, wait_for

CLASS = """
name = "whole"
format = "gguf"
recipe = "f16"
priority = 300
[match]
form = ["iot"]
"""


class Links(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        # F16, so that a chunk is larger than what a connection brings.
        (self.dir / "class.toml").write_text(CLASS)
        self.d.cli("class", "apply", self.dir / "class.toml")
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "whole")["name"])

    def link(self, **how):
        link = BadLink(*self.d.ports, **how)
        self.addCleanup(link.close)
        return link

    def enrolled(self, name, link):
        agent = self.agent(name, IOT)
        agent.enroll(link, self.d.token())
        return agent

    def local(self, agent, model="m"):
        return next((m for m in agent.status()["models"] if m["model"] == model), {})

    def test_cut_every_350_kb_the_update_ends_and_pays_for_nothing_twice(self):
        link = self.link(cut=350_000)
        agent = self.enrolled("a", link).start()
        self.d.cli_json("rollout", "create", "m")
        status = self.wait_phase(self.d, agent.device_id, "m", "HEALTHY", 90)
        total, pulled, paid = (int(status[f"bytes_{x}"]) for x in ("total", "pulled", "paid"))
        self.assertGreater(link.connections, total // 350_000 // 2, "the link was not cut")
        self.assertGreater(total, 2_000_000)
        self.assertEqual(int(status["bytes_done"]), total)
        # Body bytes that were received are kept: only what was under way in the reader's buffers is lost.
        self.assertLessEqual(pulled, paid)
        self.assertLess(paid, 1.05 * pulled)
        self.assertLess(link.given, 1.3 * pulled)
        local = self.local(agent)
        self.assertEqual((int(local["bytes_pulled"]), int(local["bytes_paid"])), (pulled, paid))
        self.assertIn("received in all", agent.process.log())

    def test_a_link_that_hardly_moves_does_not_hold_up_sigterm(self):
        link = self.link()
        agent = self.enrolled("a", link).start()
        wait_for("the agent's first check-in", lambda: "checked in" in agent.process.log())
        link.trickle = 5
        self.d.cli_json("rollout", "create", "m")
        self.wait_phase(self.d, agent.device_id, "m", "DOWNLOADING", 60)
        began = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        self.assertLess(time.monotonic() - began, 5 * SLOW)


if __name__ == "__main__":
    unittest.main()
