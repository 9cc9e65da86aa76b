"""`quantfleet-agent serve` as clients know it: the npm package `openai` as it is published, plain sockets that behave badly,
and signals."""
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import DEMO, ROOT, SANITIZED, SLOW, EndToEnd, Process, post, run, run_json, wait_for

JUDGES = ROOT / "tests/judges"
NODE = JUDGES / "node_modules/.bin/node"
PHI3 = ("{% for message in messages %}{{'<|' + message['role'] + '|>' + '\\n' + message['content'] + '<|end|>' + '\\n'}}"
        "{% endfor %}{# <|user|> #}{{ '<|assistant|>\\n' }}")


class Server:
    def __init__(self, log, model, *extra, listen="127.0.0.1:0"):
        self.process = Process(log, "quantfleet-agent", "serve", model, "--listen", listen, *extra)

        def said():
            if not self.process.alive():
                raise AssertionError(f"serve ended with {self.process.popen.returncode}:\n{self.process.log()[-4000:]}")
            return re.search(r"^(\S+) answers on (\S+)$", self.process.log(), re.M)
        self.name, self.url = wait_for("the server's address", said, 60).groups()
        self.pid = self.process.popen.pid

    def address(self):
        host, port = self.url.removeprefix("http://").removesuffix("/v1").split(":")
        return host, int(port)

    def post(self, path, body, timeout=60):
        return post(f"{self.url}/{path}", body, timeout)

    def page(self, path):
        with urllib.request.urlopen(self.url.removesuffix("/v1") + path, timeout=30 * SLOW) as answer:
            return answer.read().decode()

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.page("/metrics"), re.M)
        return float(found[1]) if found else 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.M)[1]) << 10

    def stop(self):
        return self.process.stop()


class Serving(EndToEnd):
    def server(self, model, *extra, **kwargs):
        server = Server(self.dir / f"serve-{len(os.listdir(self.dir))}.log", model, *extra, **kwargs)
        self.addCleanup(server.stop)
        return server

    def demo(self):
        run("quantfleet", "quantize", DEMO, "--target", "gguf:q8_0", "--out", self.dir / "demo")
        return self.dir / "demo/gguf-q8_0/model.gguf"

    def talker(self, template=None):
        """A random model that says nonsense for minutes."""
        folder = self.dir / "talker"
        run("tiny_model", folder, "llama", "hidden=512", "intermediate=1024", "layers=8", "heads=8", "context=8192")
        if template is not None:
            config = json.loads((folder / "tokenizer_config.json").read_text())
            (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
        run("quantfleet", "quantize", folder, "--target", "gguf:f32", "--out", self.dir / "out")
        return self.dir / "out/gguf-f32/model.gguf"

    def ask(self, server, body, path="/v1/completions"):
        """A socket on which the request has been sent."""
        client = socket.create_connection(server.address(), timeout=60 * SLOW)
        self.addCleanup(client.close)
        data = json.dumps(body).encode()
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return client


def read_to_end(client, end=b"\r\n0\r\n\r\n"):
    got = b""
    while not got.endswith(end):
        piece = client.recv(65536)
        if not piece:
            break
        got += piece
    return got.decode()


@unittest.skipUnless(NODE.exists() and (JUDGES / "node_modules/openai").exists(),
                     "the judges are not installed (tests/judges/install.sh)")
class OpenAiClient(Serving):
    def client(self, server, *steps):
        done = subprocess.run([NODE, JUDGES / "openai_client.mjs", server.url, server.name, *steps], capture_output=True,
                              text=True, timeout=300 * SLOW, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return {step.pop("step"): step for step in map(json.loads, done.stdout.splitlines())}

    def test_package_as_it_is_published(self):
        model = self.demo()
        server = self.server(model)
        self.assertEqual(server.name, "gguf-q8_0")
        said = self.client(server)
        ours = run_json("quantfleet-agent", "run", model, "--prompt", "Once upon a time", "--greedy",
                        "--max-tokens", 24, "--json")
        self.assertEqual(said["models"], {"all": [server.name], "one": server.name})
        self.assertEqual(said["completion"]["text"], ours["text"])
        self.assertEqual(said["completion"]["finish"], "length")
        self.assertEqual(said["completion"]["usage"]["completion_tokens"], 24)
        self.assertEqual(said["completion"]["usage"]["prompt_tokens"], ours["prompt_tokens"])
        self.assertEqual(said["completionStream"]["text"], ours["text"])

        chat = said["chat"]
        self.assertEqual(chat["role"], "assistant")
        self.assertGreater(len(chat["text"]), 20)
        stream = said["chatStream"]
        self.assertEqual((stream["text"], stream["finish"], stream["usage"]), (chat["text"], chat["finish"], chat["usage"]))
        self.assertGreater(stream["pieces"], 5)
        self.assertEqual(said["chatAssembled"], {"role": "assistant", "text": chat["text"]})

        logprobs = said["logprobs"]
        self.assertEqual("".join(logprobs["ofText"]["tokens"]), logprobs["text"])
        self.assertEqual("".join(token["token"] for token in logprobs["ofTalk"]), logprobs["talk"])
        for chosen, top in zip(logprobs["ofText"]["token_logprobs"], logprobs["ofText"]["top_logprobs"]):
            self.assertLessEqual(chosen, 0)
            self.assertEqual(len(top), 3)
            self.assertAlmostEqual(max(top.values()), chosen, places=5)  # greedy took the likeliest
        for token in logprobs["ofTalk"]:
            self.assertEqual(bytes(token["bytes"]).decode(), token["token"])
            self.assertEqual(len(token["top_logprobs"]), 2)

        stop = said["stop"]
        self.assertEqual(stop["text"], stop["whole"][:stop["whole"].index(stop["word"])])
        self.assertEqual(stop["finish"], "stop")
        self.assertEqual(said["seeds"], {"same": True, "other": True})
        self.assertEqual(said["parallel"]["together"], said["parallel"]["alone"])

        errors = said["errors"]
        self.assertEqual((errors["unknownModel"]["kind"], errors["unknownModel"]["code"]), ("NotFoundError", "model_not_found"))
        self.assertEqual((errors["tooLong"]["kind"], errors["tooLong"]["code"]), ("BadRequestError", "context_length_exceeded"))
        self.assertIn("512", errors["tooLong"]["message"])
        self.assertEqual(errors["two"]["status"], 400)
        self.assertIn("n must be 1", errors["two"]["message"])
        self.assertEqual(errors["hot"]["status"], 400)

    def test_client_that_leaves_ends_its_generation(self):
        server = self.server(self.talker(PHI3))
        self.assertEqual(self.client(server, "abort")["abort"]["pieces"], 3)
        wait_for("the generation's end", lambda: server.metric("quantfleet_agent_generations_running") == 0)
        self.assertEqual(server.metric("quantfleet_agent_generations_cancelled_total"), 1)


class Answers(Serving):
    def test_unknown_or_absent_template_is_told_before_the_first_chat(self):
        for template, state, said in (("{{ '<start_of_turn>' }}", "unknown", "chat template cannot be carried out"),
                                      (None, "absent", "no chat template")):
            with self.subTest(state=state):
                folder = self.dir / state
                run("tiny_model", folder, "llama")
                config = json.loads((folder / "tokenizer_config.json").read_text())
                config.pop("chat_template")
                (folder / "tokenizer_config.json").write_text(
                    json.dumps({**config, **({"chat_template": template} if template else {})}))
                out = self.dir / f"{state}-out"
                dry = run("quantfleet", "quantize", folder, "--target", "gguf:f16", "--dry-run", "--json")
                made = run("quantfleet", "quantize", folder, "--target", "gguf:f16", "--out", out, "--json")
                shown = run("quantfleet", "inspect", out / "gguf-f16", "--json")
                for done in (dry, made, shown):
                    self.assertIn("quantfleet: warning: the model", done.stderr)
                    self.assertIn(said, done.stderr)
                chats = [json.loads(dry.stdout)["chat"], json.loads(made.stdout)["chat"],
                         json.loads(shown.stdout)["model"]["chat"]]
                for chat in chats:
                    self.assertEqual(chat["template"], state)
                    self.assertIn(said, chat["warning"])
                server = self.server(out / "gguf-f16/model.gguf")
                self.assertIn("quantfleet-agent: warning: the model", server.process.log())
                self.assertIn(said, server.process.log())

    def test_known_template_is_no_matter_of_warnings(self):
        model = self.talker(PHI3)
        shown = run("quantfleet", "inspect", model, "--json")
        self.assertEqual((shown.stderr, json.loads(shown.stdout)["chat"]), ("", {"template": "known", "drops_system": False, "tools": False}))
        self.assertNotIn("warning", self.server(model).process.log())

    def test_unknown_template_is_refused_at_the_chat_alone(self):
        server = self.server(self.talker("{{ '<start_of_turn>' }}"))
        chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        code, answer = server.post("chat/completions", chat)
        self.assertEqual(code, 400)
        self.assertIn("/v1/completions", answer["error"]["message"])
        self.assertEqual(answer["error"]["type"], "invalid_request_error")
        self.assertEqual(server.post("completions", {"prompt": "Hi", "max_tokens": 2})[0], 200)

    def test_chats_without_a_template_are_refused_unless_somebody_chose(self):
        model, chat = self.demo(), {"messages": [{"role": "user", "content": "Once upon"}], "max_tokens": 4, "temperature": 0}
        code, answer = self.server(model).post("chat/completions", chat)
        self.assertEqual(code, 400)
        self.assertIn("--plain-chat", answer["error"]["message"])
        chosen = self.server(model, "--plain-chat")
        code, answer = chosen.post("chat/completions", chat)
        self.assertEqual(code, 200, answer)
        code, text = chosen.post("completions", {"prompt": "Once upon", "max_tokens": 4, "temperature": 0})
        self.assertEqual(answer["choices"][0]["message"]["content"], text["choices"][0]["text"])

    def test_tools_and_switches_reach_the_prompt(self):
        template = ("{% for t in tools or [] %}<tool>{{ t | tojson }}{% endfor %}{% for m in messages %}<{{ m.role }}>"
                    "{{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}"
                    "{% endfor %}{% endfor %}{% if enable_thinking %}<think>{% endif %}<assistant>")
        model = self.talker(template)
        chat = {"tools": [{"type": "function", "function": {"name": "weather"}}],
                "chat_template_kwargs": {"enable_thinking": True}, "max_tokens": 2, "temperature": 0,
                "messages": [{"role": "user", "content": "Hi <think>"},
                             {"role": "assistant", "content": None, "tool_calls": [
                                 {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}]},
                             {"role": "tool", "tool_call_id": "1", "content": "12"}]}
        said = ('<tool>{"type": "function", "function": {"name": "weather"}}<user>Hi <think><assistant>weather{"city": "Köln"}'
                '<tool>12<think><assistant>')
        file = self.dir / "chat.json"
        file.write_text(json.dumps(chat))
        prompt = run("quantfleet-agent", "prompt", model, "--messages", file)
        self.assertEqual(prompt.stdout, said)
        shown = json.loads(run("quantfleet-agent", "prompt", model, "--messages", file, "--json").stdout)
        data = [said.encode()[begin:end].decode() for begin, end in shown["data"]]
        self.assertEqual(data, ["type", "function", "function", "name", "weather", "Hi <think>", "weather", "city", "Köln", "12"])
        ids = run("quantfleet-agent", "prompt", model, "--messages", file, "--ids").stdout.split()
        self.assertEqual([int(i) for i in ids], shown["ids"])
        (self.dir / "chat.jinja").write_text(template)
        alone = run("quantfleet-agent", "prompt", "--template", self.dir / "chat.jinja", "--messages", file)
        self.assertEqual(alone.stdout, said)
        code, answer = self.server(model).post("chat/completions", chat)
        self.assertEqual(code, 200, answer)
        self.assertEqual(answer["usage"]["prompt_tokens"], len(ids))

    def test_template_travels_from_the_folder_to_the_device(self):
        server = self.server(self.talker(PHI3))
        ask = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}
        code, chat = server.post("chat/completions", ask)
        self.assertEqual(code, 200, chat)
        # This vocabulary has no such tokens: the template's text and the same text written out are one prompt.
        code, text = server.post("completions", {"prompt": "<|user|>\nHi<|end|>\n<|assistant|>\n", "max_tokens": 4,
                                                 "temperature": 0})
        self.assertEqual(chat["choices"][0]["message"]["content"], text["choices"][0]["text"])
        self.assertEqual(chat["usage"], text["usage"])

    def test_full_queue_is_429(self):
        server = self.server(self.talker(), "--parallel", "1", "--queue", "1")
        long = {"prompt": "Once", "max_tokens": 8000, "temperature": 0, "stream": True}
        self.ask(server, long).recv(1)
        self.ask(server, long)
        wait_for("the second to wait", lambda: server.metric("quantfleet_agent_generations_waiting") == 1)
        refused = self.ask(server, long).recv(4096).decode()
        self.assertIn("HTTP/1.1 429", refused)
        self.assertIn("Retry-After: 1", refused)
        self.assertIn("queue_full", refused)

    def test_bad_requests(self):
        server = self.server(self.demo())
        cases = [(b"{", "JSON"), (b'{"prompt":"\xff"}', "UTF-8"), (b'{"prompt":"' + b"x" * (2 << 20) + b'"}', "bytes"),
                 (json.dumps({"prompt": "word " * 2000}).encode(), "exceeds the context of 512"),
                 (b'{"prompt":"x","n":3}', "n must be 1")]
        for body, said in cases:
            with self.subTest(said=said):
                request = urllib.request.Request(f"{server.url}/completions", body, {"Content-Type": "application/json"})
                with self.assertRaises(urllib.error.HTTPError) as raised:
                    urllib.request.urlopen(request, timeout=60 * SLOW)
                with raised.exception as error:
                    self.assertEqual(error.code, 400)
                    told = json.load(error)["error"]
                self.assertIn(said, told["message"])
                self.assertEqual(sorted(told), ["code", "message", "param", "type"])
        self.assertEqual(server.post("completions", {"prompt": "The", "max_tokens": 2})[0], 200)

    def test_curl_as_people_use_it(self):
        server = self.server(self.demo(), listen="localhost:0")
        port = server.address()[1]
        body = '{"prompt":"The little","max_tokens":3,"temperature":0}'

        def curl(*args, path="/v1/completions", host="127.0.0.1"):
            url = f"http://{host}:{port}{path}"
            done = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", "--max-time", "60", *args, url],
                                  capture_output=True, text=True, check=True)
            text, _, code = done.stdout.rpartition("\n")
            return int(code), text

        self.assertEqual(curl("-d", body)[0], 200)
        self.assertEqual(curl("-I", path="/v1/models")[0], 200)
        self.assertIn("Allow: OPTIONS, POST", curl("-i", "-X", "OPTIONS")[1])
        code, text = curl("-i", "-H", "Expect: 100-continue", "-d", body)
        self.assertIn("100 Continue", text)
        self.assertEqual(code, 200)
        self.assertEqual(curl("-x", f"http://127.0.0.1:{port}", "-d", body)[0], 200, "a target in absolute form")
        self.assertEqual(curl("-H", "Content-Encoding: gzip", "-d", "x")[0], 415)
        self.assertEqual(curl("-H", "Origin: https://evil.example", "-d", body)[0], 403)
        self.assertEqual(curl("-H", "Content-Type: text/plain", "-d", body)[0], 403)
        self.assertEqual(curl("-H", "Host: [::1]evil.com", "-d", body)[0], 403)
        if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
            self.assertEqual(curl("-d", body, host="[::1]")[0], 200, "localhost is both families")
        self.assertEqual(server.metric("quantfleet_agent_generations_cancelled_total"), 0)

    def test_unix_socket(self):
        path = self.dir / "models.sock"
        server = self.server(self.demo(), "--name", "tales", listen=f"unix:{path}")
        self.assertEqual((server.name, server.url), ("tales", f"unix:{path}"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
            self.assertIn('"id":"tales"', read_to_end(client, b"never"))
        self.assertEqual(server.stop(), 0)
        self.assertFalse(path.exists())


class BadCompany(Serving):
    def test_thousands_of_idle_connections_and_half_requests(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(2000, hard - 200 if hard != resource.RLIM_INFINITY else 2000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = self.server(self.demo())
        ask = {"prompt": "The", "max_tokens": 4}
        self.assertEqual(server.post("completions", ask)[0], 200)
        descriptors, rss = server.descriptors(), server.rss()
        for n in range(count):
            client = socket.create_connection(server.address(), timeout=60 * SLOW)
            self.addCleanup(client.close)
            if n % 2:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" +
                               b"x" * 1000)
            if n % 200 == 0:
                self.assertEqual(server.post("completions", ask)[0], 200, f"after {n} connections")
        self.assertEqual(server.post("completions", ask)[0], 200)
        self.assertLess(server.descriptors(), descriptors + 100)
        if not SANITIZED:
            self.assertLess(server.rss(), rss + (32 << 20))
        self.assertGreater(server.metric('quantfleet_agent_connections_closed_total{which="idle"}'), count - 200)

    def test_slow_readers_hold_up_nobody(self):
        server = self.server(self.talker())
        rss = server.rss()
        deaf = []
        for _ in range(3):
            client = socket.socket()
            self.addCleanup(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(server.address())
            body = json.dumps({"prompt": "Once", "max_tokens": 150, "temperature": 0, "stream": True, "logprobs": 20})
            client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            deaf.append(client)
        wait_for("all three to run", lambda: server.metric("quantfleet_agent_generations_running") == 3)
        code, answer = server.post("completions", {"prompt": "The", "max_tokens": 8, "temperature": 0})
        self.assertEqual(code, 200, answer)
        wait_for("their end", lambda: server.metric("quantfleet_agent_generations_running") == 0, 120)
        if not SANITIZED:
            self.assertLess(server.rss(), rss + (128 << 20))
        for client in deaf:
            client.settimeout(60 * SLOW)
            self.assertIn("data: [DONE]", read_to_end(client))

    def test_sigterm_lets_answers_end(self):
        server = self.server(self.talker(), "--drain", "120")
        client = self.ask(server, {"prompt": "Once", "max_tokens": 60, "temperature": 0, "stream": True})
        first = client.recv(4096).decode()
        server.process.popen.send_signal(signal.SIGTERM)
        rest = first + read_to_end(client)
        self.assertIn('"finish_reason":"length"', rest)
        self.assertIn("data: [DONE]", rest)
        self.assertEqual(server.process.wait(60), 0)

    def test_sigterm_does_not_wait_for_ever(self):
        server = self.server(self.talker(), "--drain", "0")
        client = self.ask(server, {"prompt": "Once", "max_tokens": 8000, "temperature": 0, "stream": True})
        got = []
        reader = threading.Thread(target=lambda: got.append(read_to_end(client)))
        wait_for("its beginning", lambda: server.metric("quantfleet_agent_generations_running") == 1)
        reader.start()
        server.process.popen.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(20), 0)
        reader.join(60 * SLOW)
        self.assertIn("the agent is stopping", got[0])


if __name__ == "__main__":
    unittest.main()
