"""The tokenizers that stand in OpenVINO's folders: ids, and the text of ids, are those of PyPI's `tokenizers`, as OpenVINO GenAI
runs them, and its pipelines open a folder as it is.

A few vocabularies and strings; with QUANTFLEET_THOROUGH all that the tests have.
"""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import BIN, ROOT, SLOW, THOROUGH, run
from judge import RUNTIMES, Judge, install_runtimes
from test_tokenizers import JUDGE, install, raise_vocabulary

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

tokens = Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/tokens.py")
# What begins a text, as each model's tokenizer_config.json says, or else its tokenizer.json.
BEFORE = {"claude": [], "deepseek_v3": [0], "gemini": [2], "gemma3": [2], "gpt35turbo": [], "gpt4o": [], "gptoss": [],
          "llama2": [1], "llama3": [], "llama3_1": [], "qwen3": []}
# SentencePiece's BPE, several expressions, a normalizer.
DIAGONAL = ("llama2", "deepseek_v3", "claude")
STRINGS = 2000 if THOROUGH else 200
LEFT_OUT = "its tokenizer files are left out"


class Folders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)
        install()

    def setUp(self):
        self.dir = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def source(self, name, file):
        """A model of tiny weights with that tokenizer.json, and the tokenizer_config.json beside it."""
        model = self.dir / name
        families.write("llama3", model, sizes={"layers": 1})
        for written in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
            (model / written).unlink(missing_ok=True)
        content = json.loads(file.read_text())
        vocab = content["model"]["vocab"]
        ids = [*(vocab.values() if isinstance(vocab, dict) else range(len(vocab))), *(t["id"] for t in content["added_tokens"])]
        config = json.loads((model / "config.json").read_text())
        config = {key: value for key, value in config.items() if key not in ("bos_token_id", "eos_token_id")}
        (model / "config.json").write_text(json.dumps(config))
        raise_vocabulary(model, 1 + max(ids))
        shutil.copy(file, model / "tokenizer.json")
        if (beside := file.with_name("tokenizer_config.json")).exists():
            shutil.copy(beside, model)
        return model

    def quantized(self, source, target="openvino:fp16"):
        """The folder, and what was said."""
        out = Path(tempfile.mkdtemp(dir=self.dir))
        done = subprocess.run([BIN / "quantfleet", "quantize", source, "--target", target, "--out", out], capture_output=True,
                              text=True, timeout=300 * SLOW, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out / target.replace(":", "-"), done.stderr

    def compare(self, folder, file, before):
        said = tokens(folder, "compare", file, STRINGS, json.dumps(before))
        self.assertEqual((said["other_ids"], said["other_text"]), (0, 0), f"{file}: {str(said['first'])[:2000]}")

    def ask(self, command, folder, value, *more):
        file = self.dir / "asked.json"
        file.write_text(json.dumps(value))
        return tokens(folder, command, file, *more)


class Published(Folders):
    def file(self, name):
        return JUDGE / f"installed/node_modules/@lenml/tokenizer-{name}/models/tokenizer.json"

    def test_ids_and_texts_are_those_of_tokenizers(self):
        for name in BEFORE if THOROUGH else DIAGONAL:
            with self.subTest(name):
                folder, said = self.quantized(self.source(name, self.file(name)))
                self.assertNotIn(LEFT_OUT, said)
                self.compare(folder, self.file(name), BEFORE[name])

    def test_batches_are_padded_on_the_left_and_special_tokens_are_not_shown(self):
        folder, _ = self.quantized(self.source("llama2", self.file("llama2")))
        said = self.ask("pad", folder, ["Hi", "Hi there</s>you"])
        short, long = said["ids"]
        self.assertEqual(short, [2] * (len(long) - 2) + [1, 15359])  # by the end token: there is no other
        self.assertEqual((long[0], long.count(2)), (1, 1))
        self.assertEqual(said["mask"], [[0] * (len(long) - 2) + [1, 1], [1] * len(long)])
        self.assertEqual(self.ask("decode", folder, long, "true"), "Hi there you")
        self.assertEqual(self.ask("decode", folder, long, "false"), "<s> Hi there</s> you")

    def test_a_gguf_gives_the_same_tokenizer(self):
        """Whatever its source says it in: keys, or a description."""
        for name in ("llama2", "claude") if THOROUGH else ("llama2",):
            with self.subTest(name):
                out = self.dir / "gguf"
                run("quantfleet", "quantize", self.source(name, self.file(name)), "--target", "gguf:q8_0", "--out", out)
                folder, _ = self.quantized(next(out.rglob("*.gguf")))
                self.compare(folder, self.file(name), BEFORE[name])
                shutil.rmtree(out)


if __name__ == "__main__":
    unittest.main()
