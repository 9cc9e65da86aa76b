"""The judges that answer questions. One process answers all that a test file asks: its start takes longer than most answers."""
import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
import unittest

from harness import BIN, ROOT, SLOW

JUDGES = ROOT / "tests/judges"
NODE = JUDGES / "node_modules/.bin/node"
LLAMA_CPP = JUDGES / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"  # its libraries
RUNTIMES = JUDGES / "runtimes"
TRANSFORMERS = JUDGES / "transformers"
HAS_ONNX = (JUDGES / "node_modules/onnxruntime-node").exists()
HAS_TRANSFORMERS_JS = (JUDGES / "node_modules/@huggingface/transformers").exists()
MOST_SECONDS = 200  # for one answer


class Judge:
    """`script` below tests/judges, which `interpreter` runs, with what further words it wants at its start."""

    def __init__(self, interpreter, script, *more, **env):
        self.interpreter, self.script, self.more, self.process = interpreter, script, more, None
        self.env = {**os.environ, **env}
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
            self.process = subprocess.Popen([self.interpreter, JUDGES / self.script, *self.more], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=self.errors, env=self.env)
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


llama_cpp = Judge(NODE, "llama_cpp.mjs")


def llama_nll(gguf, *args):
    """How likely llama.cpp finds a text, as the head of tests/judges/llama_nll.cc describes it."""
    made = subprocess.run([BIN / "llama_nll", LLAMA_CPP, gguf, *map(str, args)], capture_output=True, text=True,
                          timeout=MOST_SECONDS * SLOW, stdin=subprocess.DEVNULL)
    if made.returncode != 0:
        raise AssertionError(made.stderr)
    return json.loads(made.stdout)


onnx_runtime = Judge(NODE, "onnx_runtime.mjs")
transformers_js = Judge(NODE, "transformers_js.mjs")
# The runtimes for which we make folders, each asked by runtimes/runtime.py, once install_runtimes was called.
runtimes = {name: Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/runtime.py", name)
            for name in ("onnx", "openvino", "mlx")}
# ONNX Runtime on a CPU, of the graphs for Qualcomm's NPU.
fixed_graphs = Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/runtime.py", "qnn")
# The same, of embedding models.
embedding_runtimes = {name: Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/embeddings.py", name)
                      for name in ("onnx", "openvino", "mlx")}
# transformers, once install_runtimes(..., TRANSFORMERS) was called.
transformers = Judge(TRANSFORMERS / "installed/venv/bin/python", "runtimes/runtime.py", "transformers", HF_HUB_OFFLINE="1",
                     LD_LIBRARY_PATH=str(TRANSFORMERS / "installed/empty"))


# Older releases of ONNX Runtime GenAI, once they are installed with `older`.
older_genai = {release: Judge(RUNTIMES / "installed/venv/bin/python", "runtimes/runtime.py", "onnx",
                              RUNTIMES / "installed/genai" / release)
               for release in sorted(file.stem for file in (RUNTIMES / "genai").glob("*.txt"))}


def install_runtimes(download, older=False, judges=RUNTIMES):
    """Brings the runtimes, from the network only if `download`; skips the caller's tests where they cannot be had."""
    if not download and not (judges / "installed").exists():
        raise unittest.SkipTest(f"the runtimes are not installed ({(judges / 'install.sh').relative_to(ROOT)})")
    command = [judges / "install.sh", *(["--older"] if older else [])]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=1800, stdin=subprocess.DEVNULL)
    if installed.returncode != 0:
        raise unittest.SkipTest(f"the runtimes cannot be installed here: {installed.stderr.strip().splitlines()[-1:]}")


def hold_against(case, title, said, limits):
    """Prints what a runtime's "compare" said of the logits, and holds it against the greatest difference and KL."""
    print(f"{title}: " + ", ".join(f"{way} {d['max']:.1e} / {d['kl']:.1e}" for way, d in said.items()), file=sys.stderr)
    for way in ("whole", "parts", "single"):
        case.assertLess(said[way]["max"], limits[0], way)
        case.assertLess(said[way]["kl"], limits[1], way)
