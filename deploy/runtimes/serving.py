"""OpenAI's API for one model on a unix socket: what the servers of all runtimes share, with openai_api.py. Python's own library
alone, of 3.11 or newer.

A runtime's serve.py is `main(name, Model)`, where Model is a class:

  Model(folder, context, threads)       loads the folder; what it raises becomes one line of output and exit status 78
    .context                            how many tokens prompt and answer may have together
    .chat(messages, tools, variables)   the prompt's text, by the model's own template; Refused if it has none
    .encode(text, begins)               ids; `begins`: with the tokens that the model's authors put before a text
    .decode(ids)                        text, without control tokens
    .generate(ids, sampling, say)       calls say(id) for each token but one that ends the answer, until it returns False; returns
                                        whether such a one came

All of that is called on the main thread, one answer after another: runtimes are not all safe to use from several. Connections
have threads of their own, and a bounded queue stands between. Nobody but the owner of the socket's folder can reach it.
"""
import argparse
import http.server
import json
import os
import queue
import select
import socket
import socketserver
import sys
import threading
import time
import uuid
from pathlib import Path

from openai_api import Fields, Job, Refused, one_line

UNUSABLE = 78  # EX_CONFIG of sysexits.h: starting the program again does not help
MOST_BODY = 1 << 20
MOST_WAITING = 16
MOST_CONNECTIONS = 128
PATIENCE_SECONDS = 60  # with a client that neither sends nor reads
LOOK_SECONDS = 0.25  # between looks whether a client that waits has left


class Unusable(Exception):
    """A folder that this program cannot run, and why."""


class Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS

    def address_string(self):
        return "the socket"

    def log_message(self, *_):
        pass

    def reply(self, status, body, **fields):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), "Connection": "close",
                            **fields}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client left
            self.close_connection = True

    def do_GET(self):
        name = {"id": self.server.name, "object": "model", "created": self.server.began, "owned_by": "quantfleet"}
        if self.path == "/health":
            loaded = self.server.defaults is not None
            return self.reply(200 if loaded else 503, {"status": "ok" if loaded else "loading"})
        if self.path == "/v1/models":
            return self.reply(200, {"object": "list", "data": [name]})
        if self.path == "/v1/models/" + self.server.name:
            return self.reply(200, name)
        return self.refuse(Refused(f"there is no page {self.path}", code="not_found", status=404))

    def refuse(self, refused):
        self.reply(refused.status, refused.body, **({"Retry-After": 1} if refused.status in (429, 503) else {}))

    def do_POST(self):
        try:
            self.complete(self.job())
        except Refused as refused:
            self.refuse(refused)

    def job(self):
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise Refused("Content-Length is missing", status=411)
        body = self.rfile.read(min(int(size), MOST_BODY))
        if int(size) > MOST_BODY:
            self.rfile.read(min(int(size) - MOST_BODY, MOST_BODY))  # most clients read no answer before they have sent all
            raise Refused(f"the body has {size} bytes; the maximum is {MOST_BODY}", code="too_large")
        if self.path not in ("/v1/completions", "/v1/chat/completions"):
            raise Refused(f"there is no page {self.path}", code="not_found", status=404)
        fields = Fields(body)
        model = fields.text("model")
        if model not in ("", self.server.name):
            raise Refused(f'model "{model}" does not run here', "model", "model_not_found", 404)
        if self.server.defaults is None:
            raise Refused("the model is being loaded: try again later", code="unavailable", status=503)
        job = Job(fields, self.path.endswith("/chat/completions"), self.server.defaults)
        try:
            self.server.jobs.put_nowait(job)
        except queue.Full:
            raise Refused(f"{MOST_WAITING} requests wait already: try again later", code="queue_full", status=429) from None
        return job

    def pieces(self, job):
        """What the job says, until its end; watches meanwhile whether the client stays."""
        try:
            while True:
                try:
                    piece = job.said.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                        raise ConnectionAbortedError("the client left") from None
                    continue
                if isinstance(piece, Refused):
                    raise piece
                yield piece
                if isinstance(piece, dict):
                    return
        finally:
            job.left = True

    def complete(self, job):
        kind = "chat.completion" if job.chat else "text_completion"
        about = {"id": ("chatcmpl-" if job.chat else "cmpl-") + uuid.uuid4().hex[:24], "object": kind,
                 "created": int(time.time()), "model": self.server.name}
        if job.streams:
            return self.stream(job, {**about, "object": kind + ".chunk" if job.chat else kind})
        *texts, end = self.pieces(job)
        text = "".join(texts)
        said = {"message": {"role": "assistant", "content": text}} if job.chat else {"text": text, "logprobs": None}
        choice = {"index": 0, **said, "finish_reason": end["finish_reason"]}
        self.reply(200, {**about, "choices": [choice], "usage": end["usage"]})

    def stream(self, job, about):
        pieces = self.pieces(job)
        piece = next(pieces)  # what is refused is refused with a status
        self.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "close",
                            "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        usage = {"usage": None} if job.says_usage else {}

        def choice(finish=None, **delta):
            said = {"delta": delta} if job.chat else {"text": delta.get("content", ""), "logprobs": None}
            return {**about, "choices": [{"index": 0, **said, "finish_reason": finish}], **usage}

        try:
            if job.chat:
                self.event(choice(role="assistant", content=""))
            while isinstance(piece, str):
                self.event(choice(content=piece))
                piece = next(pieces)
        except Refused as refused:  # after the status: the stream ends without [DONE]
            return self.event(refused.body)
        self.event(choice(finish=piece["finish_reason"]))
        if job.says_usage:
            self.event({**about, "choices": [], "usage": piece["usage"]})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, what):
        data = f"data: {what if isinstance(what, str) else json.dumps(what)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, path, name):
        self.name, self.began = name, int(time.time())
        self.defaults = None  # of sampling, once the model is loaded
        self.jobs = queue.Queue(MOST_WAITING)
        self.places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(path, Connection)
        os.chmod(path, 0o600)

    def process_request(self, request, client_address):
        self.places.acquire()  # whoever is one too many waits in the kernel's queue
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request, client_address):
        print(f"a connection failed: {type(sys.exception()).__name__}: {one_line(sys.exception())}", flush=True)


def needs(folder, file, remedy):
    if not (folder / file).is_file():
        raise Unusable(f"it has no {file}: {remedy}")


def json_of(folder, file):
    """A JSON object from the folder; empty if the file is not there."""
    path = folder / file
    found = json.loads(path.read_text()) if path.is_file() else {}
    if not isinstance(found, dict):
        raise Unusable(f"its {file} is not a JSON object")
    return found


def context_of(folder, asked):
    """As much as was asked for, at most the model's own."""
    own = (json_of(folder, "config.json").get("max_position_embeddings")
           or json_of(folder, "genai_config.json").get("model", {}).get("context_length") or asked)
    return min(asked, own)


def publishers_sampling(folder):
    """What the model's publisher recommends; else what quantfleet's own engine takes."""
    said = json_of(folder, "generation_config.json")
    return {name: said[name] if isinstance(said.get(name), (int, float)) else default
            for name, default in (("temperature", 0.8), ("top_p", 0.95), ("top_k", 40))}


def main(name, model_class, versions):
    """Serves until it is ended. `versions`: a function that says what runs it, such as "openvino-genai 2026.4.1"."""
    parser = argparse.ArgumentParser(description=f"Serves OpenAI's API for one model on a unix socket, with {name}.")
    parser.add_argument("folder", type=Path, help="the artifact's folder")
    parser.add_argument("--socket", required=True, help="path of the unix socket, which must not exist")
    parser.add_argument("--name", default="", help="what clients call the model; default: the folder's name")
    parser.add_argument("--context", type=int, default=4096,
                        help="tokens of prompt and answer, at most the model's own; default 4096")
    parser.add_argument("--threads", type=int, default=0, help="default: as the runtime chooses")
    given = parser.parse_args()
    # What a runtime's library prints in pieces goes through the same pipe; ours are whole lines.
    runs = name
    try:
        folder = given.folder.resolve()
        if not folder.is_dir():
            raise Unusable("it is not a folder")
        server = Server(given.socket, given.name or folder.name)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        runs = versions()
        model = model_class(folder, context_of(folder, given.context), given.threads)
        server.defaults = publishers_sampling(folder)
    except Exception as error:  # of whatever kind a runtime throws
        print(f"{runs} cannot run {given.folder}: {one_line(error)}", flush=True)
        # Too little memory or too many open files may pass.
        passes = isinstance(error, (MemoryError, OSError)) and not isinstance(error, FileNotFoundError)
        os._exit(1 if passes else UNUSABLE)
    print(f"{runs} serves {server.name}, loaded in {time.monotonic() - began:.1f} s", flush=True)
    while True:
        job = server.jobs.get()
        if job.left:
            continue
        try:
            job.answer(model)
        except Refused as refused:
            job.said.put(refused)
        except Exception as error:
            print(f"an answer failed: {type(error).__name__}: {one_line(error)}", flush=True)
            job.said.put(Refused(f"the runtime failed: {one_line(error)}", code="runtime_failed", status=500))
