"""Embedding models: from a folder or a file to a device's POST /v1/embeddings."""
import base64
import json
import math
import shutil
import struct
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

from harness import AI_PC, IOT, ROOT, EndToEnd, Process, post, run, run_json, wait_for
from judge import NODE, llama_cpp

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402

TEXTS = ["The capital of France is Paris.", "A cat sat on the mat.", "HelloWorld 12345, don't!", "x"]
END = "<|endoftext|>"


def rename_tensors(path, name_of):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = {name_of(k): v for k, v in json.loads(data[8:8 + length]).items()}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])


def qwen3_embedding(folder, **config):
    """As Qwen 3 Embedding is published: a causal model's class, tensors without "model." in front, an end of text behind each
    text, and the last token's state."""
    f = families.write("qwen3-tied", folder, **config)
    rename_tensors(folder / "model.safetensors", lambda name: name.removeprefix("model."))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {"type": "Sequence", "processors": [
        tokenizer["post_processor"],
        {"type": "TemplateProcessing", "pair": [],
         "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
         "special_tokens": {END: {"id": END, "ids": [f.ids[END]], "tokens": [END]}}}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    pooling(folder, f.hidden, "lasttoken")
    return f


def pooling(folder, width, mode, **more):
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)]))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    flags = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}
    (folder / "1_Pooling/config.json").write_text(json.dumps(
        {"word_embedding_dimension": width, **{f"pooling_mode_{flag}": mode == name for name, flag in flags.items()}, **more}))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def embed(gguf, texts, *options):
    answer = run_json("quantfleet-agent", "embed", gguf, *[x for t in texts for x in ("--text", t)], "--json", *options)
    return [entry["embedding"] for entry in answer["data"]], answer["usage"]["prompt_tokens"]


class Made(unittest.TestCase):
    """One model of each kind, quantized once."""

    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-embeddings-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.qwen = qwen3_embedding(cls.dir / "qwen", matryoshka_dimensions=[32, 64])
        run("quantfleet", "quantize", cls.dir / "qwen", "--target", "gguf:f32", "--target", "gguf:f16", "--target", "gguf:q8_0",
            "--out", cls.dir / "made")

    def gguf(self, recipe):
        return self.dir / f"made/gguf-{recipe}/model.gguf"

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_qwen3_embedding_as_llama_cpp(self):
        texts = self.dir / "texts.json"
        texts.write_text(json.dumps(TEXTS))
        for recipe, least in (("f32", 0.99999), ("f16", 0.99999), ("q8_0", 0.999)):
            with self.subTest(recipe):
                theirs = llama_cpp(self.gguf(recipe), "embed", "--texts-file", texts)
                ours, tokens = embed(self.gguf(recipe), TEXTS)
                self.assertEqual(tokens, sum(t["tokens"] for t in theirs))
                apart = min(cosine(a, t["vector"]) for a, t in zip(ours, theirs))
                print(f"Qwen3-Embedding {recipe}: cosine with llama.cpp at least {apart:.7f}", file=sys.stderr)
                self.assertGreater(apart, least)

    def test_a_gguf_is_a_source_as_good_as_the_folder(self):
        run("quantfleet", "quantize", self.gguf("f32"), "--target", "gguf:q8_0", "--out", self.dir / "again")
        again = self.dir / "again/gguf-q8_0/model.gguf"
        self.assertEqual(embed(again, TEXTS[:1]), embed(self.gguf("q8_0"), TEXTS[:1]))

    def test_formats_that_embed_nothing_say_so(self):
        for target in ("onnx:int4", "openvino:int8", "mlx:int4"):
            with self.subTest(target):
                done = run("quantfleet", "quantize", self.dir / "qwen", "--target", target, "--out", self.dir / "no", check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("embedding models are supported only as gguf", done.stderr)

    def test_what_generates_text_refuses(self):
        for command in (("run", "--prompt", "x"), ("eval", "--text", "a b c")):
            done = run("quantfleet-agent", command[0], self.gguf("f16"), *command[1:], check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("embedding model", done.stderr)
        done = run("quantfleet-agent", "embed", self.gguf("f16"), "--text", "x", "--dimensions", 33, check=False)
        self.assertIn("32, 64", done.stderr)

    def test_poolings_that_contradict_are_refused(self):
        for name, change, said in (
                ("two", lambda d: pooling(d, self.qwen.hidden, "mean", pooling_mode_lasttoken=True), "both 'mean' and 'lasttoken'"),
                ("none", lambda d: pooling(d, self.qwen.hidden, ""), "no pooling mode"),
                ("wide", lambda d: pooling(d, 7, "lasttoken"), "word_embedding_dimension is 7"),
                ("cls", lambda d: pooling(d, self.qwen.hidden, "cls"), "first token"),
                ("max", lambda d: pooling(d, self.qwen.hidden, "", pooling_mode_max_tokens=True), "'max'"),
                ("dense", lambda d: (d / "modules.json").write_text(
                    (d / "modules.json").read_text().replace("Normalize", "Dense")), "Dense"),
                ("missing", lambda d: (d / "1_Pooling/config.json").unlink(), "is missing"),
                ("headless", lambda d: ((d / "modules.json").unlink(), (d / "config.json").write_text(
                    (d / "config.json").read_text().replace("Qwen3ForCausalLM", "Qwen3Model"))), "modules.json")):
            with self.subTest(name):
                folder = self.dir / name
                shutil.copytree(self.dir / "qwen", folder)
                change(folder)
                done = run("quantfleet", "inspect", folder, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stderr)


class Served(EndToEnd):
    def serve(self, gguf, *options):
        process = Process(self.dir / "serve.log", "quantfleet-agent", "serve", gguf, "--name", "e", "--listen", "127.0.0.1:0",
                          *options)
        self.addCleanup(process.stop)
        line = wait_for("the endpoint", lambda: next((x for x in process.log().splitlines() if " answers on " in x), None))
        return line.split(" answers on ")[1].split("/v1")[0]

    def test_the_endpoint_is_openais(self):
        f = qwen3_embedding(self.dir / "hf", matryoshka_dimensions=[32])
        run("quantfleet", "quantize", self.dir / "hf", "--target", "gguf:f16", "--out", self.dir)
        url = self.serve(self.dir / "gguf-f16/model.gguf", "--context", 64)

        def ask(**fields):
            return post(f"{url}/v1/embeddings", fields)
        code, one = ask(input="A cat.")
        self.assertEqual(code, 200, one)
        self.assertEqual((one["object"], one["model"]), ("list", "e"))
        self.assertEqual(one["usage"]["prompt_tokens"], one["usage"]["total_tokens"])
        vector = one["data"][0]["embedding"]
        self.assertEqual((len(vector), one["data"][0]["object"], one["data"][0]["index"]), (f.hidden, "embedding", 0))
        self.assertAlmostEqual(sum(x * x for x in vector), 1, places=5)
        code, two = ask(input=["A dog.", "A cat."], model="e", encoding_format="base64", user="somebody")
        self.assertEqual(code, 200, two)
        raw = base64.b64decode(two["data"][1]["embedding"], validate=True)
        self.assertEqual(list(struct.unpack(f"<{f.hidden}f", raw)), list(struct.unpack(f"<{f.hidden}f", struct.pack(
            f"<{f.hidden}f", *vector))))  # who shares a request changes nothing
        _, cut = ask(input="A cat.", dimensions=32)
        short = cut["data"][0]["embedding"]
        self.assertEqual(len(short), 32)
        self.assertGreater(cosine(short, vector[:32]), 0.999999)
        self.assertAlmostEqual(sum(x * x for x in short), 1, places=5)
        _, ids = ask(input=[[1, 2, 3], [4]])
        self.assertEqual(ids["usage"]["prompt_tokens"], 4)
        self.assertEqual(ask(input=[1, 2, 3])[1]["data"][0]["embedding"], ids["data"][0]["embedding"])
        for fields, param, reason in (
                ({}, "input", "invalid_request"), ({"input": ""}, "empty", "invalid_request"),
                ({"input": []}, "empty", "invalid_request"), ({"input": ["a", ""]}, "input[1]", "invalid_request"),
                ({"input": ["a", [1]]}, "input must", "invalid_request"), ({"input": [1.5]}, "1.5", "invalid_request"),
                ({"input": 7}, "input must", "invalid_request"), ({"input": [[]]}, "empty", "invalid_request"),
                ({"input": ["x"] * 2049}, "2048", "invalid_request"), ({"input": [f.vocab]}, "vocabulary", "invalid_request"),
                ({"input": [-1]}, "vocabulary", "invalid_request"), ({"input": [1 << 40]}, "token id", "invalid_request"),
                ({"input": ["a", "word " * 100]}, "input[1] has", "context_length_exceeded"),
                ({"input": "a", "encoding_format": "hex"}, "encoding_format", "invalid_request"),
                ({"input": "a", "encoding_format": 1}, "encoding_format", "invalid_request"),
                ({"input": "a", "dimensions": 33}, "32", "invalid_request"),
                ({"input": "a", "dimensions": 0}, "dimensions", "invalid_request")):
            with self.subTest(fields=str(fields)[:60]):
                code, said = ask(**fields)
                self.assertEqual(code, 400, said)
                self.assertEqual(said["error"]["code"], reason, said)
                self.assertIn(param, said["error"]["message"])
        self.assertEqual(ask(input="a", model="other")[0], 404)
        for path, body in (("completions", {"prompt": "x"}), ("chat/completions", {"messages": [{"role": "user", "content": "x"}]})):
            code, said = post(f"{url}/v1/{path}", body)
            self.assertEqual(code, 400, said)
            self.assertIn("/v1/embeddings", said["error"]["message"])
        with urllib.request.urlopen(f"{url}/v1/models") as answer:
            (model,) = json.load(answer)["data"]
        self.assertEqual((model["capabilities"], model["dimensions"]), (["embedding"], f.hidden))

    def test_a_model_that_generates_text_makes_none(self):
        run("quantfleet", "quantize", ROOT / "tests/data/demo-model", "--target", "gguf:q4_0", "--out", self.dir)
        url = self.serve(self.dir / "gguf-q4_0/model.gguf")
        code, said = post(f"{url}/v1/embeddings", {"input": "x"})
        self.assertEqual(code, 400, said)
        self.assertIn("generates text", said["error"]["message"])
        with urllib.request.urlopen(f"{url}/v1/models/e") as answer:
            self.assertEqual(json.load(answer)["capabilities"], ["completion"])


class RolledOut(EndToEnd):
    """Push, job, rollout, device: as any other model."""

    def test_devices_embed(self):
        qwen3_embedding(self.dir / "hf")
        daemon = self.daemon("--evaluation-tokens", "200").start()
        pushed = daemon.cli_json("model", "push", "qwen", self.dir / "hf")
        self.assertIn("1_Pooling/config.json", [f["path"] for f in pushed["files"]])
        (self.dir / "class.toml").write_text('name = "iot-int8"\nformat = "gguf"\nrecipe = "q8_0"\npriority = 50\n\n'
                                             '[match]\nform = ["iot"]\n\n[health]\nsoak_seconds = 1\n')
        daemon.cli("class", "apply", self.dir / "class.toml")
        job = daemon.cli_json("job", "submit", "qwen", "--class", "iot-int8", "--class", "edge-fp16")
        job = self.wait_job(daemon, job["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)
        self.assertFalse(job.get("evaluation_error"), job)
        (artifact,) = (a for a in daemon.cli_json("artifact", "list")["artifacts"] if a["recipe"] == "q8_0")
        detail = daemon.cli_json("artifact", "show", artifact["name"])
        self.assertEqual(detail["manifest"]["kind"], "KIND_EMBEDDING_MODEL")
        (evaluation,) = detail["evaluations"]
        self.assertGreater(int(evaluation["vectors"]), 0)
        self.assertGreater(evaluation["least_cosine"], 0.99)
        self.assertTrue(all(g["vector"] for g in evaluation["golden"]))
        self.assertIn("cosine", daemon.cli("artifact", "show", artifact["name"]).stdout)
        agent = self.agent("one", IOT)
        agent.enroll(daemon, daemon.token())
        # An agent from before: it would refuse the manifest, and so gets none.
        old = self.agent("old", {**IOT, "model_kinds": "none"})
        old.enroll(daemon, daemon.token())
        agent.start()
        old.start()
        rollout = daemon.cli_json("rollout", "create", "qwen")
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            daemon.cli_json("rollout", "status", rollout["name"])), 120)
        self.assertEqual(final["state"], "COMPLETED", final)
        codes = {d["device_id"]: d.get("code") for d in final["devices"]}
        self.assertEqual(codes[old.device_id], "AGENT_TOO_OLD", final)
        code, answer = post(f"http://{agent.endpoint()}/v1/embeddings", {"model": "qwen", "input": TEXTS})
        self.assertEqual(code, 200, answer)
        (installed,) = (agent.state / "models").rglob("model.gguf")
        ours, _ = embed(installed, TEXTS)
        self.assertEqual([d["embedding"] for d in answer["data"]], ours)


if __name__ == "__main__":
    unittest.main()
