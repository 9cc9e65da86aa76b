"""Chat templates as their authors publish them: what we make of each is what transformers makes of it, to the byte."""
import datetime
import json
import subprocess
import unittest

from harness import BIN, ROOT, SHARED, SLOW

TEMPLATES = ROOT / "tests/judges/templates"
COLLECT = SHARED / "tools/templates.py" if SHARED else None


@unittest.skipUnless(COLLECT and COLLECT.exists(), "QUANTFLEET_SHARED is not set: nothing collects published templates")
class PublishedTemplates(unittest.TestCase):
    def setUp(self):
        installed = subprocess.run([TEMPLATES / "install.sh"], capture_output=True, text=True, timeout=600,
                                   stdin=subprocess.DEVNULL)
        if installed.returncode != 0:
            self.skipTest(f"transformers cannot be installed here: {installed.stderr.strip().splitlines()[-1:]}")
        folder = TEMPLATES / "installed"
        (folder / "truth.json").unlink(missing_ok=True)
        subprocess.run([folder / "venv/bin/python", COLLECT, folder / "truth.json", "--llama-cpp", folder / "llama.cpp",
                        "--wheels", folder / "wheels"], check=True, capture_output=True, timeout=120 * SLOW,
                       stdin=subprocess.DEVNULL)
        self.truth = json.loads((folder / "truth.json").read_text())

    def answers(self):
        now = int(datetime.datetime.fromisoformat(self.truth["now"]).timestamp())
        asked = "".join(json.dumps({"template": t["template"], "now": now,
                                    "inputs": [{**values, "bos_token": t["bos"], "eos_token": t["eos"]}
                                               for values in self.truth["inputs"].values()]}) + "\n"
                        for t in self.truth["templates"].values())
        said = subprocess.run([BIN / "chat_prompt"], input=asked, capture_output=True, text=True, check=True,
                              timeout=60 * SLOW)
        return dict(zip(self.truth["templates"], map(json.loads, said.stdout.splitlines())))

    def test_every_rendering_is_equal(self):
        answers, equal, refused = self.answers(), 0, 0
        self.assertGreater(len(answers), 100)
        for template, answer in answers.items():
            self.assertNotIn("error", answer, template)
            for conversation, ours in zip(self.truth["inputs"], answer["answers"]):
                truth = self.truth["templates"][template]["truth"][conversation]
                if "text" in truth:
                    self.assertEqual(ours.get("text"), truth["text"], f"{template}: {conversation}: {ours.get('error')}")
                    equal += 1
                else:
                    # What transformers refuses, the template's own refusals too, is refused.
                    self.assertIn("error", ours, f"{template}: {conversation}: {truth['error']}")
                    refused += 1
        print(f"\n{len(answers)} templates: {equal} renderings equal, {refused} refused as transformers refuses them")


if __name__ == "__main__":
    unittest.main()
