"""llama.cpp itself as judge. One process answers all that a test file asks: its start takes more than most questions do."""
import atexit
import json
import select
import subprocess
import tempfile

from harness import ROOT, SLOW

JUDGES = ROOT / "tests/judges"
NODE = JUDGES / "node_modules/.bin/node"
MOST_SECONDS = 200  # for one answer


class Judge:
    def __init__(self):
        self.errors = tempfile.TemporaryFile("a+b")
        self.process = subprocess.Popen([NODE, JUDGES / "llama_cpp.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors)

    def ask(self, words):
        self.errors.truncate(0)  # appended to by the judge: what it says of one question
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        # The judge says one line for one question, so nothing waits in a buffer.
        ready = select.select([self.process.stdout], [], [], MOST_SECONDS * SLOW)[0]
        line = self.process.stdout.readline() if ready else b""
        answer = json.loads(line) if line.endswith(b"\n") else {"error": "it ended" if ready else "it does not answer"}
        if "error" in answer:
            self.errors.seek(0)
            raise AssertionError(f"llama.cpp: {words}: {answer['error']}\n{self.errors.read()[-2000:].decode(errors='replace')}")
        return answer["said"]

    def end(self):
        self.process.kill()
        self.process.communicate()
        self.errors.close()


judge = None


def end():
    global judge
    if judge:
        judge.end()
    judge = None


atexit.register(end)


def llama_cpp(model, command, *args):
    """What llama_cpp.mjs says, as its head describes it."""
    global judge
    judge = judge or Judge()
    try:
        return judge.ask([str(word) for word in (model, command, *args)])
    except Exception:
        end()  # whatever state it is in: the next question goes to another
        raise
