"""Chat templates as their authors publish them: what we make of each is what transformers makes of it, to the byte."""
import datetime
import json
import re
import subprocess
import unicodedata
import unittest

from harness import BIN, ROOT, SHARED, SLOW

TEMPLATES = ROOT / "tests/judges/templates"
COLLECT = SHARED / "tools/templates.py" if SHARED else None


class PythonsCharacters(unittest.TestCase):
    """Cases and classes of characters are those of Python's str: of every character, and of words."""
    CHANGES = ("lower", "upper", "title", "capitalize", "casefold", "swapcase")
    CLASSES = ("isalpha", "isalnum", "isdigit", "isdecimal", "isnumeric", "isspace", "isupper", "islower")
    WORDS = ["ΟΔΥΣΣΕΥΣ", "ΣΑΣ ΣΑΣ", "ΑΣ'Α ΑΣ' Σ", "Straße ẞ", "ﬁnal ﬃ", "ŉ ǰ ΐ ᾳ ᾼ ᾲ ᾷ", "İstanbul ısı", "ǆ ǅ Ǆ",
             "they're O'NEIL", "ⅷ Ⅷ ⓐ", "ªº", "a-b (c) {d} [e] <f> -ß", "x\u00adΣ", "Σ\u0301 ΑΣ\u0301 ΑΣ\u0301Α", "1ST 2nd",
             "և ﬓ", "ა Ა", "ꭰ Ꭰ", "\x1cA\x1db"]

    def test_cases_and_classes(self):
        # Python does not know the characters that utf8proc knows beyond it.
        known = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs")]
        # Behind a letter, and alone: title tells them apart.
        texts = ["".join(f"{c} a{c} " for c in known[i:i + 500]) for i in range(0, len(known), 500)] + self.WORDS
        for name in self.CHANGES:
            with self.subTest(name):
                self.compare("{{ text." + name + "() }}", texts, lambda text, name=name: getattr(text, name)())
        # What filters make of them.
        self.compare("{{ text | title }}", texts, lambda text: "".join(
            part[0].upper() + part[1:].lower() for part in re.split(r"([-\s({\[<]+)", text) if part))
        self.compare("{{ [text] }}", texts, lambda text: str([text]))
        self.compare("{{ text | wordcount }}", texts, lambda text: str(len(re.findall(r"\w+", text))))
        lists = ["".join(known[i:i + 500]) for i in range(0, len(known), 500)]
        for name in self.CLASSES:
            with self.subTest(name):
                self.compare("{% for c in text %}{{ 1 if c." + name + "() else 0 }}{% endfor %}", lists,
                             lambda text, name=name: "".join(str(int(getattr(c, name)())) for c in text))

    def compare(self, template, texts, truth):
        asked = json.dumps({"template": template, "now": 0, "inputs": [{"text": text} for text in texts]})
        ran = subprocess.run([BIN / "chat_prompt"], input=asked + "\n", capture_output=True, text=True, check=True,
                             timeout=120 * SLOW)
        for text, answer in zip(texts, json.loads(ran.stdout)["answers"], strict=True):
            self.assertEqual(answer.get("text"), truth(text), answer)


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
