"""What ends a generation reaches every format by id, and whoever runs the format stops there; so does how the publisher
wants the next token drawn."""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from gguf_files import read_gguf
from harness import DEMO, ROOT, THOROUGH, refusal, run, run_json
from judge import HAS_ONNX, NODE, install_runtimes, llama_cpp, onnx_runtime, runtimes

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

PROMPT, MOST = "Once upon a time", 40
SAMPLING = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05}
FORMATS = ("gguf:f32", "onnx:fp32", "openvino:fp16", "mlx:fp16")


class Ends(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-ends-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f32", "--target", "onnx:fp32", "--out", cls.dir / "plain")
        cls.gguf = cls.dir / "plain/gguf-f32/model.gguf"
        (cls.dir / "prompt.txt").write_text(PROMPT)
        prompt = run_json("quantfleet-agent", "tokenize", cls.gguf, "--text-file", cls.dir / "prompt.txt", "--json")["tokens"]
        (cls.dir / "prompt.json").write_text(json.dumps(prompt))

    def source(self, name, **generation):
        """The demo model with other members in generation_config.json."""
        folder = self.dir / name
        shutil.copytree(DEMO, folder)
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
        return folder

    def quantize(self, source, name, *targets):
        out = self.dir / name
        run("quantfleet", "quantize", source, *[word for t in targets for word in ("--target", t)], "--out", out)
        return [out / t.replace(":", "-") for t in targets]

    def ours(self, gguf):
        return run_json("quantfleet-agent", "run", gguf, "--prompt", PROMPT, "--greedy", "--max-tokens", MOST, "--json")

    def text(self, ids):
        vocabulary = read_gguf(self.gguf)[0]["tokenizer.ggml.tokens"]
        return "".join(vocabulary[i] for i in ids).replace("\u2581", " ")

    @unittest.skipUnless(HAS_ONNX and NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_generation_stops_at_every_end_wherever_it_runs(self):
        try:
            install_runtimes(THOROUGH)
            judged_by_runtimes = True
        except unittest.SkipTest as why:
            print(f"without the runtimes that run folders: {why}", file=sys.stderr)
            judged_by_runtimes = False
        whole = onnx_runtime(self.dir / "plain/onnx-fp32", "greedy", "--tokens-file", self.dir / "prompt.json",
                             "--max-tokens", MOST)["ids"]
        self.assertEqual(len(whole), MOST)
        new = [token for at, token in enumerate(whole) if at >= 5 and whole.index(token) == at]
        first, second = new[0], new[-1]
        for at, ends in ((whole.index(first), [2, first, second]), (whole.index(second), [2, 2047, second])):
            with self.subTest(ends=ends):
                name = f"ends-{at}"
                gguf, onnx, openvino, mlx = self.quantize(self.source(name, eos_token_id=ends), f"{name}-out", *FORMATS)
                model = gguf / "model.gguf"
                said = self.ours(model)
                self.assertEqual((said["finish_reason"], said["tokens"]), ("stop", at))
                self.assertEqual(said["text"], self.text(whole[:at]))
                judged = llama_cpp(model, "greedy", "--prompt", PROMPT, "--max-tokens", MOST)
                self.assertEqual((judged["stopped"], judged["ids"]), ("end", whole[:at]))
                self.assertLessEqual(set(ends), set(llama_cpp(model, "ends")))
                # From the GGUF, which has neither config.json nor generation_config.json, too.
                (again,) = self.quantize(model, f"{name}-again", "onnx:fp32")
                for folder in (onnx, again):
                    judged = onnx_runtime(folder, "greedy", "--tokens-file", self.dir / "prompt.json", "--max-tokens", MOST)
                    self.assertEqual((judged["stopped"], judged["ids"]), ("end", whole[:at]))
                for folder in (openvino, mlx):
                    self.assertEqual(json.loads((folder / "config.json").read_text())["eos_token_id"], sorted(ends))
                    self.assertEqual(json.loads((folder / "generation_config.json").read_text())["eos_token_id"], ends)
                for runtime, folder in {"onnx": onnx, "openvino": openvino, "mlx": mlx}.items() if judged_by_runtimes else ():
                    said = runtimes[runtime](folder, "generate", self.dir / "prompt.json", MOST)["ids"]
                    for way, ids in said.items():
                        print(f"{runtime} {way} ends at {ids[at:]} after {len(ids[:at])} tokens", file=sys.stderr)
                        self.assertEqual(ids[:at], whole[:at])
                        self.assertIn(ids[at:], ([], whole[at:at + 1]))  # some give the end, others do not

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_the_ends_of_published_families(self):
        """Phi-3's list, Llama 3.1's and Qwen's: llama.cpp ends a generation at each of them."""
        for family, texts in (("phi3-mini-4k", ("<|endoftext|>", "<|assistant|>", "<|end|>")),
                              ("llama32", ("<|end_of_text|>", "<|eot_id|>")),
                              ("qwen2", ("<|im_end|>", "<|endoftext|>"))):
            with self.subTest(family):
                made = families.write(family, self.dir / family)
                ends = [made.ids[text] for text in texts]
                (self.dir / family / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
                gguf, onnx = self.quantize(self.dir / family, f"{family}-out", "gguf:f16", "onnx:fp16")
                keys = read_gguf(gguf / "model.gguf")[0]
                self.assertEqual(set(keys["tokenizer.ggml.eos_token_ids"]), set(ends))
                self.assertLessEqual(set(ends), set(llama_cpp(gguf / "model.gguf", "ends")))
                config = json.loads((onnx / "genai_config.json").read_text())
                self.assertEqual(set(config["model"]["eos_token_id"]), set(ends))

    def test_sampling_reaches_every_format(self):
        source = self.source("sampling", **SAMPLING)
        gguf, onnx, openvino, mlx = self.quantize(source, "sampling-out", *FORMATS)
        keys = read_gguf(gguf / "model.gguf")[0]
        said = {name: keys[f"general.sampling.{key}"] for name, key in (
            ("temperature", "temp"), ("top_k", "top_k"), ("top_p", "top_p"), ("repetition_penalty", "penalty_repeat"))}
        self.assertEqual({name: round(value, 6) for name, value in said.items()},
                         {name: SAMPLING[name] for name in said})
        (again,) = self.quantize(gguf / "model.gguf", "sampling-again", "onnx:fp32")
        for folder in (onnx, again):
            search = json.loads((folder / "genai_config.json").read_text())["search"]
            self.assertEqual({name: search[name] for name in SAMPLING}, SAMPLING)
        for folder in (onnx, openvino, mlx, again):
            config = json.loads((folder / "generation_config.json").read_text())
            self.assertEqual({name: config[name] for name in SAMPLING}, SAMPLING)
        self.assertEqual(run_json("quantfleet", "inspect", source, "--json")["sampling"], SAMPLING)
        # `run` draws so where nobody says otherwise.
        def drawn(model, *options):
            return run_json("quantfleet-agent", "run", model, "--prompt", PROMPT, "--seed", 5, "--max-tokens", 30, *options,
                            "--json")["text"]
        model = gguf / "model.gguf"
        own = drawn(self.gguf, "--temperature", 0.6, "--top-k", 20, "--top-p", 0.95)
        self.assertEqual(drawn(model), own)
        self.assertNotEqual(drawn(model, "--temperature", 2, "--top-k", 0, "--top-p", 1), own)

    def test_nonsense_names_file_and_field(self):
        for generation, field in (({"eos_token_id": [2, 2048]}, "'eos_token_id' names token 2048"),
                                  ({"temperature": -1}, "'temperature' is -1"), ({"top_p": 7}, "'top_p' is 7")):
            source = self.source(f"bad-{len(field)}", **generation)
            said = refusal(self, self.dir / "refused", source, "gguf:q4_0")
            self.assertIn("generation_config.json", said)
            self.assertIn(field, said)


if __name__ == "__main__":
    unittest.main()
