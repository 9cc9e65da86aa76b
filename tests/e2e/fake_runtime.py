"""A program that stands for a runtime: it answers what a test wants it to answer."""
import sys

SERVER = """#!{python}
import http.server, json, sys
{before}
class Answers(http.server.BaseHTTPRequestHandler):
    def say(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.say({{"status": "ok"}})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, tokens = answer(asked)
        self.say({{"choices": [{{"index": 0, "text": text}}], "usage": {{"completion_tokens": tokens}}}})
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2].removeprefix("--port="))), Answers).serve_forever()
"""


def write_runtime(path, before):
    """A program at `path`, called with a model and a port. `before` defines answer(asked): text, and tokens it says it made."""
    path.write_text(SERVER.format(python=sys.executable, before=before))
    path.chmod(0o755)
