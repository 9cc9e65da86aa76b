"""The judges that speak JavaScript. One process answers all that a test file asks: its start takes longer than most answers."""
import atexit
import json
import select
import subprocess
import tempfile

from harness import ROOT, SLOW

JUDGES = ROOT / "tests/judges"
NODE = JUDGES / "node_modules/.bin/node"
HAS_ONNX = (JUDGES / "node_modules/onnxruntime-node").exists()
MOST_SECONDS = 200  # for one answer


class Judge:
    def __init__(self, script):
        self.script, self.process = script, None
        atexit.register(self.end)

    def __call__(self, subject, command, *args):
        """What the script says of the subject, as its head describes it."""
        try:
            return self.answer([str(word) for word in (subject, command, *args)])
        except Exception:
            self.end()  # whatever state it is in: the next question goes to another
            raise

    def answer(self, words):
        if not self.process:
            self.errors = tempfile.TemporaryFile("a+b")
            self.process = subprocess.Popen([NODE, JUDGES / self.script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=self.errors)
        self.errors.truncate(0)  # appended to by the judge: what it says of one question
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        # The judge says one line for one question, so nothing waits in a buffer.
        ready = select.select([self.process.stdout], [], [], MOST_SECONDS * SLOW)[0]
        line = self.process.stdout.readline() if ready else b""
        answer = json.loads(line) if line.endswith(b"\n") else {"error": "it ended" if ready else "it does not answer"}
        if "error" in answer:
            self.errors.seek(0)
            raise AssertionError(f"{self.script} {words}: {answer['error']}\n"
                                 f"{self.errors.read()[-2000:].decode(errors='replace')}")
        return answer["said"]

    def end(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.errors.close()
        self.process = None


llama_cpp = Judge("llama_cpp.mjs")
onnx_runtime = Judge("onnx_runtime.mjs")
