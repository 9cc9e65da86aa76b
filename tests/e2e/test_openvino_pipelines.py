"""OpenVINO GenAI serves a folder in each of its ways: continuous batching, cached prefixes, guesses of a draft model or of the
prompt, beams, padded batches, structured output, chats, and the form for NPUs. Greedy tokens are those of the plain way, which
are the likeliest for our engine."""
import json
import math
import struct
import tempfile
import unittest
from pathlib import Path

from gguf_files import read_gguf
from harness import DEMO, THOROUGH, run, run_json
from judge import RUNTIMES, Judge, install_runtimes

pipelines = Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/pipelines.py")
NEW = 24
TEXTS = ("Once upon a time there was a little bear who lived in the wood. The little bear who lived in the wood was",
         "Anna went to the lake with", "One day")
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
SCHEMA = {"type": "object", "required": ["name", "age", "kind"], "additionalProperties": False, "properties": {
    "name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "kind": {"enum": ["duck", "bear"]}}}


class Pipelines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)
        cls.dir = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.folder, cls.draft, cls.npu, gguf = cls.quantize("whole", "openvino:fp16", "openvino:int4-g64-asym",
                                                            "openvino:int4-npu", "gguf:f16")
        cls.gguf = gguf / "model.gguf"
        first, *others = (cls.tokens_of(text) for text in TEXTS)
        # Of the third the first is a prefix, longer than the blocks of 32 tokens in which a cache is kept.
        prefix = first + first[1:]
        cls.prompts = [prefix, others[0], prefix + others[0][1:], others[1]]
        cls.alone = cls.ask("alone", cls.prompts)["ids"]

    @classmethod
    def quantize(cls, name, *targets, **files):
        """The folder of each target, of the demo model with a chat template and these members in its JSON files."""
        source = cls.dir / f"{name}-source"
        source.mkdir()
        files = {"tokenizer_config": {"chat_template": TEMPLATE}, **files}
        for file in DEMO.iterdir():
            if file.stem in files:
                (source / file.name).write_text(json.dumps(json.loads(file.read_text()) | files[file.stem]))
            else:
                (source / file.name).symlink_to(file)
        run("quantfleet", "quantize", source, *(word for t in targets for word in ("--target", t)), "--out", cls.dir / name)
        return [cls.dir / name / t.replace(":", "-") for t in targets]

    @classmethod
    def tokens_of(cls, text):
        (cls.dir / "text.txt").write_text(text)
        return run_json("quantfleet-agent", "tokenize", cls.gguf, "--text-file", cls.dir / "text.txt", "--json")["tokens"]

    @classmethod
    def ask(cls, command, given, *more, folder=None):
        path = cls.dir / "given.json"
        path.write_text(json.dumps(given))
        return pipelines(folder or cls.folder, command, path, NEW, *more)

    def rows(self, prompt, new):
        """What our engine makes of the places before each of the new ids: logarithms of likelihoods, all less the same."""
        path = self.dir / "ids.json"
        path.write_text(json.dumps(prompt + new))
        run("logits", self.gguf, path, 512, self.dir / "logits")
        raw = (self.dir / "logits").read_bytes()
        vocab = len(raw) // 4 // len(prompt + new)
        return [struct.unpack_from(f"<{vocab}f", raw, 4 * vocab * at) for at in range(len(prompt) - 1, len(prompt + new) - 1)]

    def greedy(self, prompt, new, within):
        """Fails if one of the new ids is less likely by more than so much than the likeliest."""
        for row, token in zip(self.rows(prompt, new), new, strict=True):
            self.assertGreater(row[token], max(row) - within)

    def steps(self, command, *more, prompts=None):
        """How often the model was run for each prompt, all of which got what they get alone."""
        said = self.ask(command, prompts or self.prompts, *more)
        self.assertEqual(said["ids"], self.alone if prompts is None else self.ask("alone", prompts)["ids"])
        return said["steps"]

    def test_alone(self):
        for prompt, new in zip(self.prompts, self.alone, strict=True):
            self.assertEqual(len(new), NEW)
            self.greedy(prompt, new, 1e-3)

    def test_continuous_batching(self):
        self.steps("together")

    def test_cached_prefixes(self):
        first, _, third, _ = self.steps("prefixes")
        parts = [math.ceil(len(prompt) / 16) for prompt in self.prompts]
        self.assertEqual(first, parts[0] + NEW - 1)
        self.assertLess(third, parts[2] + NEW - 2)  # a block of 32 tokens is two steps

    def test_guesses_of_a_draft_model(self):
        self.assertLess(sum(self.steps("draft", self.draft)), NEW * len(self.prompts) * 3 // 4)

    def test_guesses_of_the_prompt(self):
        again = [ids + new + ids for ids, new in zip(self.prompts, self.alone)]
        self.assertLess(sum(self.steps("lookup", prompts=again)), NEW * len(again))

    def test_beams_have_the_likelihood_that_our_engine_finds(self):
        for way, found in self.ask("beams", self.prompts).items():
            self.assertEqual(len(found), 3)
            self.assertEqual(found, sorted(found, key=lambda beam: -beam[1]), way)
            for new, score in found:
                total = sum(row[token] - max(row) - math.log(sum(math.exp(x - max(row)) for x in row))
                            for row, token in zip(self.rows(self.prompts[0], new), new))
                self.assertAlmostEqual(total, score, delta=1e-3)

    def test_padded_batch(self):
        said = self.ask("padded", TEXTS)
        self.assertEqual(said["batch"], said["alone"])
        self.assertEqual(len(set(said["batch"])), len(TEXTS))

    def test_structured_output(self):
        made = json.loads(pipelines(self.folder, "schema", TEXTS[0], json.dumps(SCHEMA)))
        self.assertEqual(list(made), ["name", "age", "kind"])
        self.assertLessEqual(len(made["name"]), 8)
        self.assertIn(made["age"], range(151))
        self.assertIn(made["kind"], ("duck", "bear"))

    def test_a_chat_ends_at_each_of_several_ends(self):
        whole = self.ask("alone", [self.tokens_of(TEXTS[2])])["ids"][0]
        end = next(i for at, i in enumerate(whole) if at >= 6 and i not in whole[:at])
        folder, gguf = self.quantize("ends", "openvino:fp16", "gguf:f16", generation_config={"eos_token_id": [2, end]})
        # OpenVINO GenAI shows an end that is not a special token; our engine does not.
        shown = read_gguf(self.gguf)[0]["tokenizer.ggml.tokens"][end].replace("\u2581", " ")
        turns, prompt = pipelines(folder, "chat", TEXTS[2], NEW), ""
        self.assertEqual(turns[0][1], "STOP")
        for text, why in turns:
            prompt += TEXTS[2]
            ours = run_json("quantfleet-agent", "run", gguf / "model.gguf", "--prompt", prompt, "--greedy", "--max-tokens", NEW,
                            "--json")
            self.assertEqual(why, ours["finish_reason"].upper())
            self.assertEqual(text.strip(), (ours["text"] + (shown if why == "STOP" else "")).strip())
            prompt += text

    def test_the_forms_for_an_npu(self):
        """In half precision, in which a mask's lowest number of F32 would be infinite; int4-npu is cut as an NPU gets it."""
        for folder, cut in ((self.folder, "NONE"), (self.npu, "REP")):
            with self.subTest(folder.name):
                alone = self.ask("alone", self.prompts, folder=folder)["ids"]
                for new, plain in zip(self.ask("npu", self.prompts, cut, folder=folder)["ids"], alone, strict=True):
                    # Half precision decides a near tie otherwise, and what follows is another text.
                    self.assertEqual(new[:NEW // 3], plain[:NEW // 3])


if __name__ == "__main__":
    unittest.main()
