"""Chat templates as their authors publish them: what we say we know is what transformers makes of each, to the byte."""
import datetime
import json
import subprocess
import unittest

from harness import BIN, ROOT, SHARED, SLOW

TEMPLATES = ROOT / "tests/judges/templates"
COLLECT = SHARED / "tools/templates.py" if SHARED else None
BASIC = ("user", "system_user", "user_asst_user")
# Families that a version must not lose.
KNOWN = {"microsoft-Phi-3.5-mini-instruct", "axolotl-phi_3", "axolotl-phi_4", "trl-phi3", "axolotl-chatml", "trl-llama3",
         "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407",
         "axolotl-mistral_v1", "axolotl-mistral_v2v3", "axolotl-mistral_v7_tekken", "Qwen-Qwen2.5-7B-Instruct",
         "axolotl-qwen2_vl", "Qwen-Qwen3-0.6B", "trl-qwen3_instruct_2507", "google-gemma-2-2b-it", "axolotl-gemma3"}


def plain(conversation):
    """Whether it is what our endpoint takes: texts of the three roles, and no switches."""
    return (set(conversation) == {"messages", "tools", "documents", "add_generation_prompt"} and conversation["tools"] is None and
            conversation["add_generation_prompt"] and
            all(set(m) == {"role", "content"} and isinstance(m["content"], str) and m["role"] in ("system", "user", "assistant")
                for m in conversation["messages"]))


@unittest.skipUnless(COLLECT and COLLECT.exists(), "QUANTFLEET_SHARED is not set: nothing collects published templates")
class PublishedTemplates(unittest.TestCase):
    def setUp(self):
        installed = subprocess.run([TEMPLATES / "install.sh"], capture_output=True, text=True, timeout=600,
                                   stdin=subprocess.DEVNULL)
        if installed.returncode != 0:
            self.skipTest(f"transformers cannot be installed here: {installed.stderr.strip().splitlines()[-1:]}")
        folder = TEMPLATES / "installed"
        subprocess.run([folder / "venv/bin/python", COLLECT, folder / "truth.json", "--llama-cpp", folder / "llama.cpp",
                        "--wheels", folder / "wheels"], check=True, capture_output=True, timeout=120 * SLOW,
                       stdin=subprocess.DEVNULL)
        self.truth = json.loads((folder / "truth.json").read_text())

    def answers(self, names):
        now = int(datetime.datetime.fromisoformat(self.truth["now"]).timestamp())
        conversations = [[{k: m[k] for k in ("role", "content")} for m in self.truth["inputs"][name]["messages"]]
                         for name in names]
        asked = "".join(json.dumps({**{k: t[k] for k in ("template", "bos", "eos")}, "now": now,
                                    "conversations": conversations}) + "\n"
                        for t in self.truth["templates"].values())
        said = subprocess.run([BIN / "chat_prompt"], input=asked, capture_output=True, text=True, check=True, timeout=120 * SLOW)
        return dict(zip(self.truth["templates"], map(json.loads, said.stdout.splitlines())))

    def test_known_is_equal(self):
        names = [name for name, conversation in self.truth["inputs"].items() if plain(conversation)]
        self.assertTrue(set(BASIC) < set(names))
        answers = self.answers(names)
        self.assertGreater(len(answers), 100)
        known, texts, refused = {n for n, a in answers.items() if a["state"] == "known"}, 0, []
        for template in sorted(known):
            for name, ours in zip(names, answers[template]["answers"]):
                truth = self.truth["templates"][template]["truth"][name]
                if "text" in ours:
                    self.assertEqual(ours["text"], truth.get("text"), f"{template}: {name}")
                    texts += 1
                elif "text" in truth:
                    # Said, not guessed: an answer that nobody follows up, or more of Jinja than is understood.
                    self.assertNotIn(name, BASIC, f"{template}: {ours['error']}")
                    refused.append(f"{template}: {name}")
        print(f"\n{len(known)} templates known and right, 0 known and wrong, {len(answers) - len(known)} unknown; "
              f"{texts} texts equal, {len(refused)} refused that transformers renders")
        self.assertEqual(KNOWN - known, set())
        for name, answer in answers.items():
            self.assertEqual(bool(answer["why"]), answer["state"] == "unknown", name)


if __name__ == "__main__":
    unittest.main()
