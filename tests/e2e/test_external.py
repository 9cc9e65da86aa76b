"""External runtimes: a device class names a program, the device allows it, the agent runs it and passes requests on. Here
ONNX Runtime serves an ONNX artifact, and llama.cpp a GGUF."""
import hashlib
import json
import os
import signal
import socket
import unittest
import urllib.request
from pathlib import Path

from fake_runtime import write_runtime
from harness import AI_PC, DEMO, SLOW, EndToEnd, post, run, run_json, wait_for
from judge import HAS_ONNX, JUDGES, NODE

CLASS = """
name = "served"
format = "{format}"
recipe = "{recipe}"
priority = 90
{terms}
[runtime]
command = "server"
args = ["{{{what}}}", "{where}", "{extra}"]
start_timeout_seconds = {timeout}
stop_timeout_seconds = 5
restarts = 3
restart_ms = 100
"""


def alive(pid):
    try:
        os.kill(int(pid), 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


# Serves a folder if it is whole: each file of it is named with its digest, as it was made.
FOLDER_SERVER = """
import hashlib, pathlib
folder = pathlib.Path(sys.argv[1])
made = json.loads(pathlib.Path({listing!r}).read_text())
here = {{str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}}
if here != made:
    sys.exit("another folder than was made: " + json.dumps(sorted(set(here.items()) ^ set(made.items()))))
def answer(asked):
    return sys.argv[1], 1
"""

# What its second argument names goes wrong with it; without one it answers.
FAULTY = """
import os, signal, threading, time, types
fault = sys.argv[3].removeprefix("--fault=")
if fault == "another-version":
    print("openvino-genai 2024.1 cannot run " + sys.argv[1] + ": Unsupported operation", flush=True)
    sys.exit(78)
if fault == "dies-while-loading":
    os.kill(os.getpid(), signal.SIGSEGV)
if fault == "hangs-while-loading":
    time.sleep(1000)
if fault == "fills-the-disk":
    with open("cache.bin", "wb") as cache:
        os.posix_fallocate(cache.fileno(), 0, 3 << 20)
if fault == "never-stops-talking":
    def talk():
        while True:
            print("a word", flush=True)
    threading.Thread(target=talk, daemon=True).start()
if fault == "answers-html":
    json = types.SimpleNamespace(loads=json.loads, dumps=lambda what: "<html>")
def answer(asked):
    if fault == "hangs-when-asked":
        time.sleep(1000)
    return {"answers-no-text": None, "answers-nothing": ""}.get(fault, "there was"), 2
"""
# What the device then says.
FAULTS = {"another-version": ("health_failed", r"0 restarts: .*exit status 78; .*openvino-genai 2024.1 .*Unsupported operation"),
          "dies-while-loading": ("health_failed", r"3 restarts: .*signal 11"),
          "hangs-while-loading": ("health_failed", r"not ready for \d+ s"),
          "hangs-when-asked": ("too_slow", r"generating a few words"),
          "answers-html": ("health_failed", r"<html>"),
          "answers-no-text": ("health_failed", r"has no text"),
          "answers-nothing": ("health_failed", r"generated no text"),
          "fills-the-disk": ("health_failed", r"3\.0 MiB .*1\.0 MiB .*--runtime-disk-mib")}

UNCHECKED = "[health]\nmin_golden_agreement = 0"


class External(EndToEnd):
    """One daemon with the class `served`, and a device that allows its program."""

    def fleet(self, script, allow=True, **words):
        self.program = self.dir / "server"
        self.program.write_text(f'#!/bin/sh\nexec "{NODE}" "{JUDGES / script}" "$@"\n')
        self.program.chmod(0o755)
        self.begin(**words)
        if allow:
            self.allow()
        else:
            self.a.facts += ["--fact", "runtimes=server"]  # it says so, and does not
            self.a.start()

    def begin(self, **words):
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.apply(**words)
        self.job()
        self.a = self.agent("device", AI_PC)
        self.a.enroll(self.d, self.d.token())

    def apply(self, format, recipe, what, where="--port={port}", extra="--pace=0", timeout=60, terms=""):
        path = self.dir / "served.toml"
        path.write_text(CLASS.format(format=format, recipe=recipe, what=what, where=where, extra=extra,
                                     timeout=timeout * int(SLOW), terms=terms))
        self.d.cli("class", "apply", path)

    def allow(self):
        self.a.facts += ["--allow-runtime", f"server={self.program}"]
        self.a.start()
        wait_for("the class", lambda: self.d.cli_json("device", "show", self.a.device_id)["device_class"] == "served")

    def job(self):
        job = self.d.cli_json("job", "submit", "m", "--class", "served")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")

    def roll_out(self):
        return self.d.cli_json("rollout", "create", "m")["name"]

    def status(self, phase, **kwargs):
        return self.wait_phase(self.d, self.a.device_id, "m", phase, **kwargs)

    def log(self):
        return self.a.process.log()

    def processes(self):
        """Ids of the children that the agent told about, the last one last."""
        return [line.split()[-1] for line in self.log().splitlines() if " as process " in line]

    def ask(self, path="completions", **body):
        return post(f"http://{self.a.endpoint()}/v1/{path}", {"model": "m", "max_tokens": 16, "temperature": 0, **body})

    def expected(self):
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f32", "--out", self.dir / "own")
        return run_json("quantfleet-agent", "run", self.dir / "own/gguf-f32/model.gguf", "--prompt", "Once upon a time",
                        "--greedy", "--max-tokens", 16, "--json")["text"]

    def stream(self):
        request = urllib.request.Request(
            f"http://{self.a.endpoint()}/v1/chat/completions",
            json.dumps({"model": "m", "max_tokens": 16, "stream": True,
                        "messages": [{"role": "user", "content": "Once upon a time"}]}).encode())
        with urllib.request.urlopen(request, timeout=60 * SLOW) as answer:
            events = [line[6:].decode() for line in answer.read().split(b"\n") if line.startswith(b"data: ")]
        self.assertEqual(events[-1], "[DONE]")
        pieces = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
        return "".join(pieces), len(pieces)

    def leave(self):
        """Asks for a long answer, takes its beginning, and goes."""
        host, port = self.a.endpoint().split(":")
        body = json.dumps({"model": "m", "prompt": "Once", "max_tokens": 400, "stream": True})
        with socket.create_connection((host, int(port)), timeout=60 * SLOW) as client:
            client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            got = b""
            while got.count(b"data: ") < 3:
                got += client.recv(4096)
        wait_for("the end of the answer", lambda: "the client left after" in self.log())

    def test_folders_of_every_format_are_installed_as_they_were_made(self):
        for format, recipe, file in (("openvino", "int4", "openvino_model.xml"), ("mlx", "int4", "model.safetensors")):
            with self.subTest(format):
                out = self.dir / f"made-{format}"
                run("quantfleet", "quantize", DEMO, "--target", f"{format}:{recipe}", "--out", out)
                folder = out / f"{format}-{recipe}"
                listing = self.dir / f"{format}.json"
                listing.write_text(json.dumps({str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
                                               for p in folder.rglob("*")
                                               if p.is_file() and p.name != "manifest.pb"}))  # that is beside the files
                self.program = self.dir / "server"
                write_runtime(self.program, FOLDER_SERVER.format(listing=str(listing)))
                if format == "openvino":
                    self.begin(format=format, recipe=recipe, what="folder", terms=UNCHECKED)
                    self.allow()
                else:
                    self.apply(format=format, recipe=recipe, what="folder", terms=UNCHECKED)
                    self.job()
                self.roll_out()
                self.status("HEALTHY", release=1 if format == "openvino" else 2)
                installed = Path(self.ask(prompt="where?")[1]["choices"][0]["text"])
                self.assertTrue((installed / file).exists())

    def test_a_runtime_is_told_its_context_and_what_its_cache_holds(self):
        self.program = self.dir / "server"
        write_runtime(self.program, "def answer(asked):\n    return ' '.join(sys.argv), 1\n")
        self.begin(format="gguf", recipe="q8_0", what="context", extra="-ctk={kv_type}", terms='context = 192\nkv_type = "q8_0"')
        self.allow()
        self.roll_out()
        status = self.status("HEALTHY", release=1)
        self.assertEqual((status["context"], status["kv_type"]), ("192", "q8_0"))
        self.assertRegex(self.ask(prompt="how?")[1]["choices"][0]["text"], r" 192 --port=\d+ -ctk=q8_0$")

    def test_a_runtime_that_goes_wrong_is_named_and_the_device_goes_back(self):
        self.program = self.dir / "server"
        write_runtime(self.program, FAULTY)
        self.begin(format="gguf", recipe="q8_0", what="model", extra="--fault=")
        self.a.facts += ["--runtime-disk-mib", "1"]
        self.allow()
        self.roll_out()
        self.status("HEALTHY", release=1)
        kept = self.processes()[-1]
        for release, (fault, (reason, detail)) in enumerate(FAULTS.items(), 2):
            with self.subTest(fault):
                timeout = 2 if fault.startswith("hangs") else 60
                self.apply(format="gguf", recipe="q8_0", what="model", extra=f"--fault={fault}", timeout=timeout)
                rollout = self.roll_out()
                failed = self.status("FAILED", release=release)
                self.assertEqual(failed["reason"], reason, failed)
                self.assertRegex(failed["detail"], detail)
                # What ran before goes on, and the rollout says which device failed, and why.
                self.assertEqual(failed["active_runtime"]["args"][2], "--fault=")
                self.assertEqual(self.ask(prompt="Once")[1]["choices"][0]["text"], "there was")
                said = wait_for("the rollout's end", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
                    self.d.cli_json("rollout", "status", rollout)))
                self.assertNotEqual(said["state"], "COMPLETED")
                (row,) = said["devices"]
                self.assertEqual((row["state"], row["code"]), ("FAILED", reason.upper()), row)
                self.assertRegex(row["reason"], detail)
        self.assertEqual(self.processes().count(kept), 1)
        self.assertTrue(alive(kept))

        # One that only talks too much serves, and its log stays short.
        self.apply(format="gguf", recipe="q8_0", what="model", extra="--fault=never-stops-talking")
        self.roll_out()
        self.status("HEALTHY", release=len(FAULTS) + 2)
        wait_for("what is left out", lambda: "200 lines in a minute" in self.log())
        self.assertLessEqual(self.log().count("a word"), 400)

    def test_a_runtime_that_says_something_else_than_the_artifact_was_made_to_say(self):
        """As with a wrong tokenizer, or numbers gone wrong: fluent, and another text."""
        self.program = self.dir / "server"
        write_runtime(self.program, "def answer(asked):\n    return ' Buy now!', 3\n")
        self.begin(format="onnx", recipe="int8", what="folder")
        self.allow()
        rollout = self.roll_out()
        failed = self.status("FAILED", release=1)
        self.assertEqual(failed["reason"], "health_failed")
        self.assertRegex(failed["detail"], r'^0 of 6 golden words .*: ".+" went on with ".+", and here with " Buy now!"$')
        self.assertNotEqual(self.d.cli_json("rollout", "status", rollout)["state"], "COMPLETED")
        # One that says some of it differs as other arithmetic does.
        write_runtime(self.program, "def answer(asked):\n"
                                    "    return ', there' if asked['prompt'] == 'Once upon a time' else '!', 3\n")
        self.apply(format="onnx", recipe="int8", what="folder", extra="--once=more")
        self.roll_out()
        self.assertRegex(self.status("HEALTHY", release=2)["detail"], "^[1-5] of 6 golden words")

    @unittest.skipUnless(HAS_ONNX, "the judges are not installed (tests/judges/install.sh)")
    def test_onnx_runtime_serves_onnx(self):
        self.fleet("onnx_server.mjs", format="onnx", recipe="fp32", what="folder")
        self.roll_out()
        status = self.status("HEALTHY")
        self.assertEqual(status["active_runtime"]["command"], "server")
        self.assertGreater(float(status["tokens_per_second"]), 0)
        code, answer = self.ask(prompt="Once upon a time")
        self.assertEqual((code, answer["choices"][0]["text"]), (200, self.expected()), answer)
        text, pieces = self.stream()
        self.assertEqual(text, answer["choices"][0]["text"])
        self.assertGreater(pieces, 8)

        # Killed, it comes back by itself, and the device was healthy all the time.
        first = self.processes()[-1]
        os.kill(int(first), signal.SIGKILL)
        wait_for("another process", lambda: self.processes()[-1] != first)
        self.assertIn("signal 9", self.log())
        self.assertRegex(self.log(), r"restarting it in \d+ ms")
        wait_for("an answer", lambda: self.ask(prompt="Once upon a time")[0] == 200)
        self.assertEqual(self.ask(prompt="Once upon a time")[1]["choices"], answer["choices"])

        # Other arguments for the same artifact, which do not work: the device stays with those that did.
        self.apply(format="onnx", recipe="fp32", what="folder", extra="--fail=no such weights")
        kept = self.processes()[-1]
        rollout = self.roll_out()
        failed = self.status("FAILED", release=2)
        self.assertEqual(failed["reason"], "health_failed")
        self.assertRegex(failed["detail"], "exit status 3.*no such weights")
        self.assertEqual(failed["active_runtime"]["args"][2], "--pace=0")
        self.assertTrue(alive(kept))
        self.assertEqual(self.ask(prompt="Once upon a time")[1]["choices"], answer["choices"])
        self.assertNotEqual(self.d.cli_json("rollout", "status", rollout)["state"], "COMPLETED")

        self.assertEqual(self.a.stop(), 0)
        self.assertEqual([pid for pid in self.processes() if alive(pid)], [])

    @unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_llama_cpp_serves_gguf_on_a_socket_once_the_device_allows_it(self):
        self.fleet("llama_server.mjs", allow=False, format="gguf", recipe="q8_0", what="model", where="--socket={socket}",
                   extra="--pace=5")
        wait_for("the class", lambda: self.d.cli_json("device", "show", self.a.device_id)["device_class"] == "served")
        self.roll_out()
        refused = self.status("FAILED")
        self.assertEqual(refused["reason"], "runtime_refused")
        self.assertIn("--allow-runtime server=", refused["detail"])
        self.assertEqual((self.processes(), list((self.a.state / "models").rglob("model.gguf"))), ([], []))
        self.assertEqual(self.a.stop(), 0)

        self.allow()
        status = self.status("HEALTHY")
        self.assertIn("golden", status["detail"])
        code, answer = self.ask(prompt="Once upon a time")
        self.assertEqual(code, 200, answer)
        self.assertGreater(len(answer["choices"][0]["text"].split()), 5, answer)
        self.assertEqual(self.stream()[0], answer["choices"][0]["text"])
        self.leave()
        self.assertEqual(sorted(path.suffix for path in (self.a.state / "run").iterdir()), ["", ".sock"])

        # The agent is killed: its child goes with it, and comes back with it.
        pid = self.processes()[-1]
        self.a.process.kill()
        wait_for("the child's end", lambda: not alive(pid))
        self.a.start()
        wait_for("an answer", lambda: self.ask(prompt="Once upon a time")[0] == 200 if self.processes()[-1] != pid else False)

        # The agent ends: no process and no socket is left.
        pid = self.processes()[-1]
        self.assertTrue(alive(pid))
        self.assertEqual(self.a.stop(), 0)
        self.assertFalse(alive(pid))
        self.assertEqual(list((self.a.state / "run").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
