"""deploy/runtimes: what the servers of other runtimes share, with a model that needs none of them; and what each says of a folder
that it cannot run."""
import ctypes
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import DEMO, ROOT, SLOW, THOROUGH, run, wait_for
from judge import RUNTIMES, install_runtimes

SERVERS = ROOT / "deploy/runtimes"
# Tokens are bytes. It says what it was asked, over and over, as often as it is given a step, or at once.
ECHO = """
import os, sys, time
from pathlib import Path
from openai_api import Refused
from serving import main, needs

class Echo:
    def __init__(self, folder, context, threads):
        needs(folder, "echo", "this is a test")
        while (folder / "wait").exists():
            time.sleep(0.01)
        self.context, self.folder = context, folder
    def chat(self, messages, tools, variables):
        if "system" in [m["role"] for m in messages]:
            raise Refused("no system message", "messages")
        return "".join(m["role"][0] + ":" + m["content"] + "|" for m in messages)
    def encode(self, text, begins):
        return [0] * begins + list(text.encode())
    def decode(self, ids):
        return bytes(i for i in ids if i).decode(errors="replace")
    def generate(self, ids, sampling, say):
        if sampling.seed == 13:
            raise RuntimeError("out of\\nluck")
        for n in range(sampling.most):
            while (self.folder / "hold").exists():
                time.sleep(0.01)
                if not (n or say(ids[1])):
                    print("nobody waits any more", flush=True)
                    return False
            token = ids[1 + n % (len(ids) - 1)]
            if token == ord("."):
                return True
            if not say(token):
                return False
        return False

main("Echo", Echo, lambda: "echo 1.0")
"""

LIBC, PR_SET_MDWE, PR_GET_MDWE = ctypes.CDLL(None), 65, 66
FORBID = f"import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"


def copy_shared(folder):
    for file in SERVERS.glob("*.py"):
        shutil.copy(file, folder)


class Socket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60 * SLOW)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60 * SLOW)
        self.sock.connect(self.path)


class Served(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="qf-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.folder = self.dir / "folder"
        self.folder.mkdir()
        (self.folder / "echo").touch()
        copy_shared(self.dir)
        (self.dir / "serve.py").write_text(ECHO)

    def start(self, *options):
        self.log = open(self.dir / "log", "w+b")
        command = [sys.executable, self.dir / "serve.py", self.folder, "--socket", self.dir / "s", "--name", "m", *options]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.addCleanup(self.log.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        wait_for("the socket", (self.dir / "s").exists)

    def ready(self, *options):
        self.start(*options)
        wait_for("health", lambda: self.ask("/health")[0] == 200)

    def said(self):
        return (self.dir / "log").read_text()

    def ask(self, path, body=None, raw=None, **fields):
        connection = Socket(self.dir / "s")
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body)
            connection.request("GET" if data is None else "POST", path, data, fields)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionRefusedError:
            return 0, {}
        finally:
            connection.close()

    def complete(self, prompt="abc", **body):
        return self.ask("/v1/completions", {"prompt": prompt, **body})

    def stream(self, path="/v1/completions", **body):
        connection = Socket(self.dir / "s")
        connection.request("POST", path, json.dumps({"stream": True, **body}))
        answer = connection.getresponse()
        events = re.findall(r"data: (.*)\n\n", answer.read().decode())
        connection.close()
        return answer.status, events

    def test_models_completions_and_chats(self):
        self.ready()
        self.assertEqual([m["id"] for m in self.ask("/v1/models")[1]["data"]], ["m"])
        self.assertEqual(self.ask("/v1/models/m")[1]["id"], "m")
        code, answer = self.complete("abc", max_tokens=7)
        self.assertEqual((code, answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]), (200, "abcabca", "length"))
        self.assertEqual(answer["usage"], {"prompt_tokens": 4, "completion_tokens": 7, "total_tokens": 11})
        code, answer = self.complete("ab.c")
        self.assertEqual((answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]), ("ab", "stop"))
        code, answer = self.ask("/v1/chat/completions", {"max_completion_tokens": 4, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]})
        self.assertEqual((code, answer["choices"][0]["message"]), (200, {"role": "assistant", "content": ":hi|"}), answer)

    def test_a_stream_is_the_answer_in_pieces(self):
        self.ready()
        code, events = self.stream(prompt="héé", max_tokens=5, stream_options={"include_usage": True})
        *pieces, usage, done = events
        self.assertEqual((code, done), (200, "[DONE]"))
        # Characters are never divided.
        self.assertEqual([json.loads(p)["choices"][0]["text"] for p in pieces], ["h", "é", "é", ""])
        self.assertEqual(json.loads(pieces[-1])["choices"][0]["finish_reason"], "length")
        self.assertEqual(json.loads(usage)["usage"]["completion_tokens"], 5)
        code, events = self.stream("/v1/chat/completions", max_tokens=3, messages=[{"role": "user", "content": "x"}])
        self.assertEqual([json.loads(e)["choices"][0]["delta"] for e in events[:-1]],
                         [{"role": "assistant", "content": ""}, {"content": ":"}, {"content": "x"}, {"content": "|"}, {}])
        # An answer that ends in half a character shows that it does.
        self.assertEqual(self.complete("é", max_tokens=1)[1]["choices"][0]["text"], "\ufffd")

    def test_no_part_of_a_stop_string_is_sent(self):
        self.ready()
        for stop, text in (("cab", "ab"), (["zzz", "bca"], "a"), ("abcz", "abcabc"), (["b", "a"], ""), (["ca", "bc"], "a")):
            for streams in (False, True):
                with self.subTest(stop=stop, streams=streams):
                    if streams:
                        events = self.stream(prompt="abc", max_tokens=6, stop=stop)[1][:-1]
                        said = "".join(json.loads(e)["choices"][0]["text"] for e in events)
                    else:
                        said = self.complete("abc", max_tokens=6, stop=stop)[1]["choices"][0]["text"]
                    self.assertEqual(said, text)

    def test_what_cannot_be_answered_says_why(self):
        self.ready("--context", "40")
        cases = {
            "not JSON": ({"raw": "{"}, 400, None), "not an object": ({"raw": "[]"}, 400, None),
            "not UTF-8": ({"raw": b'{"prompt": "\xff"}'}, 400, None), "deep": ({"raw": "[" * 100000}, 400, None),
            "half a character": ({"raw": '{"prompt": "\\ud800"}'}, 400, "prompt"), "no prompt": ({"body": {}}, 400, "prompt"),
            "another model": ({"body": {"model": "x", "prompt": "a"}}, 404, "model"),
            "a list": ({"body": {"prompt": ["a"]}}, 400, "prompt"), "two answers": ({"body": {"prompt": "a", "n": 2}}, 400, "n"),
            "true as a number": ({"body": {"prompt": "a", "n": True}}, 400, "n"),
            "too hot": ({"body": {"prompt": "a", "temperature": 3}}, 400, "temperature"),
            "not a number": ({"raw": '{"prompt": "a", "temperature": NaN}'}, 400, "temperature"),
            "no tokens": ({"body": {"prompt": "a", "max_tokens": 0}}, 400, "max_tokens"),
            "empty stop": ({"body": {"prompt": "a", "stop": [""]}}, 400, "stop"),
            "probabilities": ({"body": {"prompt": "a", "logprobs": 3}}, 400, "logprobs"),
            "too long": ({"body": {"prompt": "a" * 50}}, 400, "prompt"),
            "too large": ({"raw": "{}" + " " * (1 << 20)}, 400, None),
        }
        for name, (asked, status, param) in cases.items():
            with self.subTest(name):
                code, answer = self.ask("/v1/completions", **asked)
                self.assertEqual((code, answer["error"]["param"]), (status, param), answer)
                self.assertTrue(answer["error"]["message"])
        chat = self.ask("/v1/chat/completions", {"messages": [{"role": "developer", "content": "x"}]})
        self.assertEqual((chat[0], chat[1]["error"]["message"]), (400, "no system message"))
        self.assertEqual(self.ask("/v1/chat/completions", {"messages": [{"role": 1}]})[0], 400)
        self.assertEqual(self.ask("/v1/elsewhere", {})[0], 404)
        # What asks for nothing is no reason to refuse; an answer ends where the context does.
        code, answer = self.complete("a" * 30, n=1, logit_bias={}, logprobs=None, max_tokens=1000, user="me")
        self.assertEqual((code, answer["choices"][0]["text"]), (200, "a" * 9), answer)

    def test_a_runtime_that_fails_an_answer_answers_the_next(self):
        self.ready()
        code, answer = self.complete(seed=13)
        self.assertEqual((code, answer["error"]["code"]), (500, "runtime_failed"), answer)
        self.assertIn("RuntimeError: out of luck\n", self.said())
        self.assertEqual(self.complete()[0], 200)

    def test_requests_wait_in_order_and_too_many_are_refused(self):
        (self.folder / "hold").touch()
        self.ready()
        with ThreadPoolExecutor(30) as pool:
            asked = [pool.submit(self.complete, "abc", max_tokens=3) for _ in range(25)]
            refused = wait_for("those that are refused", lambda: [a for a in asked if a.done()][7:])
            (self.folder / "hold").unlink()
            codes = sorted(a.result()[0] for a in asked)
        self.assertEqual(len(refused), 1)
        self.assertEqual(codes, [200] * 17 + [429] * 8)
        self.assertEqual(self.ask("/health")[0], 200)

    def test_an_answer_ends_when_its_client_leaves(self):
        (self.folder / "hold").touch()
        self.ready()
        connection = Socket(self.dir / "s")
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "abc", "stream": True}))
        connection.getresponse().read(10)
        connection.close()
        wait_for("the end of the answer", lambda: "nobody waits any more" in self.said())
        (self.folder / "hold").unlink()
        self.assertEqual(self.complete()[0], 200)

    def test_health_says_when_the_model_is_loaded(self):
        (self.folder / "wait").touch()
        self.start()
        self.assertEqual(wait_for("an answer", lambda: self.ask("/health"))[0], 503)
        self.assertEqual(self.complete()[0], 503)
        (self.folder / "wait").unlink()
        wait_for("health", lambda: self.ask("/health")[0] == 200)
        self.assertIn("echo 1.0 serves m, loaded in ", self.said())

    def test_a_folder_that_it_cannot_run_ends_it_with_one_line_and_78(self):
        (self.folder / "echo").unlink()
        self.start()
        self.assertEqual(self.process.wait(60 * SLOW), 78)
        self.assertEqual(self.said(), f"echo 1.0 cannot run {self.folder}: it has no echo: this is a test\n")


class Folders(unittest.TestCase):
    """The real runtimes, and folders that they cannot run."""
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH)
        cls.dir = Path(tempfile.mkdtemp(prefix="qf-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("quantfleet", "quantize", DEMO, "--out", cls.dir, "--target", "onnx:int8", "--target", "openvino:int8", "--target",
            "mlx:int8")

    def refusal(self, runtime, folder, before=()):
        """The line that it ends with. `before`: a command that runs it."""
        shutil.copytree(SERVERS / runtime, self.dir / runtime, dirs_exist_ok=True)
        copy_shared(self.dir / runtime)
        command = [*before, RUNTIMES / "installed/venv/bin/python", self.dir / runtime / "serve.py", folder, "--socket",
                   self.dir / f"{runtime}.sock"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120 * SLOW)
        self.addCleanup((self.dir / f"{runtime}.sock").unlink)
        self.assertEqual(done.returncode, 78, done.stderr)
        return done.stdout.splitlines()[-1]

    def test_a_folder_without_its_tokenizer(self):
        for runtime, target, file in (("onnxruntime", "onnx-int8", "tokenizer.json"), ("mlx", "mlx-int8", "tokenizer.json"),
                                      ("openvino", "openvino-int8", "openvino_tokenizer.xml")):
            with self.subTest(runtime):
                folder = self.dir / target
                (folder / file).rename(self.dir / "away")
                self.assertRegex(self.refusal(runtime, folder), rf"^[\w-]+ [\d.]+ cannot run {folder}: it has no {file}: ")
                (self.dir / "away").rename(folder / file)

    def test_a_folder_for_another_version_or_damaged(self):
        """An operation that the runtime does not know, as a graph for a later version has, and a file that is cut."""
        for runtime, target, file, change in (
                ("openvino", "openvino-int8", "openvino_model.xml", lambda raw: raw.replace(b'"opset13"', b'"opset99"')),
                ("onnxruntime", "onnx-int8", "genai_config.json", lambda raw: raw.replace(b'"search"', b'"later": {}, "search"')),
                ("mlx", "mlx-int8", "model.safetensors", lambda raw: raw[:len(raw) // 2])):
            with self.subTest(runtime):
                path = self.dir / target / file
                raw = path.read_bytes()
                path.write_bytes(change(raw))
                said = self.refusal(runtime, path.parent)
                path.write_bytes(raw)
                self.assertRegex(said, rf"^[\w-]+ [\d.]+ cannot run {path.parent}: ")

    def test_a_service_that_must_not_generate_code(self):
        """As systemd's MemoryDenyWriteExecute has it; OpenVINO alone of the three needs to."""
        if not LIBC.prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0:
            self.skipTest("this kernel cannot forbid it")
        said = self.refusal("openvino", self.dir / "openvino-int8", (sys.executable, "-c", FORBID))
        self.assertIn("MemoryDenyWriteExecute=yes", said)

    def test_devices_get_the_versions_that_judge_the_folders(self):
        def pins(path):
            return dict(re.findall(r"^([\w-]+)==([^ \\]+)", path.read_text(), re.M))

        judges = pins(RUNTIMES / "requirements.txt")
        for runtime in ("onnxruntime", "openvino", "mlx"):
            installed = pins(SERVERS / runtime / "requirements.txt")
            self.assertGreater(len(installed), 5)
            self.assertEqual({p: v for p, v in installed.items() if judges.get(p, v) != v}, {})
            self.assertLessEqual(installed.keys() - judges.keys(), {"mlx-metal"})  # macOS's


if __name__ == "__main__":
    unittest.main()
