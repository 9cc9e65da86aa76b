"""One model, one job, one rollout: four devices run it with four runtimes, installed and served as deploy/runtimes and
deploy/classes have them, each behind its agent's endpoint."""
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from harness import AI_PC, DEMO, ROOT, SLOW, THOROUGH, EndToEnd, post, wait_for
from judge import JUDGES, NODE, RUNTIMES, install_runtimes
from test_published import SMOLLM2

SERVERS = ROOT / "deploy/runtimes"
# Class, runtime as install.sh names it, and as the class does; None: the agent's own engine.
DEVICES = (("ai-pc-int8", None, None), ("ai-pc-onnx-int8", "onnxruntime", "onnxruntime-genai"),
           ("ai-pc-openvino-int4", "openvino", "openvino-genai"), ("mac-mlx-int4", "mlx", "mlx-lm"))


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class FourRuntimes(EndToEnd):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)

    def install(self, runtime):
        """As a device's owner does, with the Python that has the runtime already; returns what the owner then allows."""
        python = RUNTIMES / "installed/venv/bin/python"
        said = subprocess.run([SERVERS / "install.sh", runtime, self.dir / runtime, "--python", python], check=True,
                              capture_output=True, text=True).stdout
        return said.split("--allow-runtime ")[1].strip()

    def fleet(self, source, *job_options):
        """Pushes, makes, enrolls and rolls out; self.agents by class."""
        self.d = self.daemon().start()
        self.d.cli("model", "push", "m", source)
        job = self.d.cli_json("job", "submit", "m", *[x for c, _, _ in DEVICES for x in ("--class", c)], *job_options)
        job = self.wait_job(self.d, job["name"], 600)
        self.assertEqual((job["state"], len(job["artifacts"])), ("SUCCEEDED", 4), job)
        token, self.agents = self.d.token("--uses", "4"), {}
        for name, runtime, command in DEVICES:
            agent = self.agents[name] = self.agent(name, AI_PC)
            agent.enroll(self.d, token)
            allowed = ("--allow-runtime", self.install(runtime)) if runtime else ()
            if runtime:
                self.assertEqual(allowed[1], f"{command}={self.dir / runtime}/serve")
            agent.start(*allowed, "--threads", "2")
        for name, agent in self.agents.items():
            wait_for("the class", lambda: self.d.cli_json("device", "show", agent.device_id)["device_class"] == name)
        rollout = self.d.cli_json("rollout", "create", "m")["name"]
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            self.d.cli_json("rollout", "status", rollout)), 240)
        self.assertEqual(final["state"], "COMPLETED", final)
        for name, _, command in DEVICES:
            status = self.model_status(self.d, self.agents[name].device_id, "m")
            self.assertEqual((status["phase"], status.get("active_runtime", {}).get("command")), ("HEALTHY", command), status)
            self.assertGreater(float(status["tokens_per_second"]), 0)
            if command:  # what the artifact said where it was made is asked of the runtime, too
                self.assertNotIn("not checked", status.get("detail", ""))
                print(f"{command}: {status.get('detail') or 'all golden words are as they were made'}", file=sys.stderr)

    def ask(self, name, **body):
        return post(f"http://{self.agents[name].endpoint()}/v1/completions", {"model": "m", "temperature": 0, **body})

    def client(self, name, *steps):
        """The package `openai`, as it is published, at the agent's endpoint."""
        done = subprocess.run([NODE, JUDGES / "openai_client.mjs", f"http://{self.agents[name].endpoint()}/v1", "m", *steps],
                              capture_output=True, text=True, timeout=300 * SLOW, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:] + self.agents[name].process.log()[-3000:])
        return {step.pop("step"): step for step in map(json.loads, done.stdout.splitlines())}

    def test_one_model_one_rollout_four_runtimes(self):
        self.fleet(DEMO)
        for name, runtime, _ in DEVICES:
            with self.subTest(name):
                said = self.client(name, "models", "completion", "completionStream", "stop", "seeds", "errors")
                self.assertEqual(said["models"], {"all": ["m"], "one": "m"})
                text = said["completion"]["text"]
                self.assertRegex(text, r"^, there was a little \w+ named ")
                self.assertEqual(said["completion"]["finish"], "length")
                self.assertEqual(said["completion"]["usage"], {"prompt_tokens": 5, "completion_tokens": 24, "total_tokens": 29})
                self.assertEqual(said["completionStream"]["text"], text)
                stop = said["stop"]
                self.assertEqual((stop["text"], stop["finish"]), (stop["whole"][:stop["whole"].index(stop["word"])], "stop"))
                self.assertEqual(said["seeds"], {"same": True, "other": True})
                told = {case: (error["status"], error["code"]) for case, error in said["errors"].items()}
                self.assertEqual(told["unknownModel"], (404, "model_not_found"))
                self.assertEqual(told["tooLong"], (400, "context_length_exceeded"))
                self.assertEqual((told["two"][0], told["hot"][0]), (400, 400))
                if runtime:  # the demo model was never taught turns
                    code, answer = post(f"http://{self.agents[name].endpoint()}/v1/chat/completions",
                                        {"messages": [{"role": "user", "content": "Hello"}]})
                    self.assertEqual((code, answer["error"]["param"]), (400, "messages"), answer)
        self.killed_comes_back("ai-pc-onnx-int8")
        for agent in self.agents.values():
            self.assertEqual(agent.stop(), 0)

    def killed_comes_back(self, name):
        log = self.agents[name].process.log

        def process():
            return [line.split()[-1] for line in log().splitlines() if " as process " in line][-1]

        first, before = process(), self.ask(name, prompt="Once upon a time")[1]["choices"]
        os.kill(int(first), signal.SIGKILL)
        wait_for("another process", lambda: process() != first)
        wait_for("an answer", lambda: self.ask(name, prompt="Once upon a time")[0] == 200)
        self.assertEqual(self.ask(name, prompt="Once upon a time")[1]["choices"], before)

    @unittest.skipUnless(THOROUGH and SMOLLM2.exists(), "only in thorough runs, with published weights (tests/models/fetch.sh)")
    def test_the_capital_of_france_is_paris_in_four_runtimes(self):
        self.fleet(SMOLLM2, "--calibration", "none")
        for name, _, _ in DEVICES:
            with self.subTest(name):
                code, answer = self.ask(name, prompt="The capital of France is", max_tokens=12)
                self.assertEqual(code, 200, answer)
                self.assertIn("Paris", answer["choices"][0]["text"])
                chat = self.client(name, "chat", "chatStream", "chatAssembled")
                self.assertEqual(chat["chat"]["role"], "assistant")
                self.assertEqual(chat["chatStream"]["text"], chat["chat"]["text"])
                self.assertEqual(chat["chatAssembled"]["text"], chat["chat"]["text"])


if __name__ == "__main__":
    unittest.main()
