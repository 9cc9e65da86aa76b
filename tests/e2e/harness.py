"""Runs the real binaries for the end-to-end tests: a daemon, agents and the operator's CLI, each in a folder of its own.

Environment: QUANTFLEET_BIN is the folder of binaries (default build/release/bin), QUANTFLEET_SHARED the optional folder
of reference material. Waiting is always for a condition with a deadline, never a fixed sleep.
"""
import atexit
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("QUANTFLEET_BIN", ROOT / "build/release/bin"))
SHARED = Path(os.environ["QUANTFLEET_SHARED"]) if os.environ.get("QUANTFLEET_SHARED") else None
DEMO = ROOT / "tests/data/demo-model"
HELD_OUT = ROOT / "tests/data/eval/held-out.txt"
os.umask(os.umask(0) | 0o022)  # our programs refuse folders that others may write
# Sanitizers slow everything down; deadlines follow.
SLOW = float(os.environ.get("QUANTFLEET_TEST_SLOWNESS", "1"))
if os.geteuid() != 0:
    os.environ["QUANTFLEET_DEBUG"] = "1"  # or a test could not look at the memory and descriptors of its own processes
SANITIZED = bool(os.environ.get("QUANTFLEET_SANITIZED"))
# Whether there is time to try everything; else a part of what is alike.
THOROUGH = bool(os.environ.get("QUANTFLEET_THOROUGH"))
MATRIX = os.environ.get("QUANTFLEET_MATRIX", "")  # what takes minutes and is run by hand; see docs/extend/tests.md

IOT = {"form": "iot", "memory_total_bytes": 2 << 30}
AI_PC = {"form": "pc", "memory_total_bytes": 16 << 30}
EDGE = {"form": "edge", "memory_total_bytes": 32 << 30}


def wait_for(what, condition, seconds=60.0):
    """Polls until the condition is true and returns its value; fails naming what was waited for. Ever less often: most
    conditions start a process, and many tests wait at once."""
    deadline = time.monotonic() + seconds * SLOW
    pause = 0.1
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"gave up waiting for {what}")
        time.sleep(pause)
        pause = min(1.4 * pause, 0.8)


def run(*args, check=True, env=None, timeout=300):
    """Runs a binary of ours; returns the CompletedProcess with text output."""
    command = [str(BIN / args[0]), *map(str, args[1:])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout * SLOW,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def run_json(*args, **kwargs):
    return json.loads(run(*args, **kwargs).stdout)


# Below those that the kernel gives to whoever asks for any: no client and no server of "port 0" ever has one of these.
PORTS = range(20000, 32000)
held_ports = {}


@atexit.register
def give_ports_back():
    for lock in held_ports.values():
        lock.close()


def take_port():
    """A port that is this process's as long as it lives, whatever other files of tests run beside it: a daemon that is killed
    finds it free when it is started again. The lock of its file says whose it is."""
    folder = Path(tempfile.gettempdir()) / f"quantfleet-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for i in range(len(PORTS)):
        port = PORTS[(os.getpid() * 61 + i) % len(PORTS)]
        if port in held_ports:
            continue
        lock = open(folder / str(port), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:  # another process of tests has it, or something else on this machine
            lock.close()
            continue
        held_ports[port] = lock
        return port
    raise AssertionError(f"every port of {PORTS} is taken")


def status(pid, key):
    """A size that /proc/PID/status tells, in bytes; 0 where the process has none any more."""
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) << 10 if found else 0


class Watch(threading.Thread):
    """The most that a process held while it was watched. A child's ru_maxrss is no measure of that: what its parent held when it
    started counts too."""

    def __init__(self, pid, key="RssAnon"):
        super().__init__()
        self.pid, self.key, self.most, self.over = pid, key, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, status(self.pid, self.key))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def memory_said(gguf, kv_type, context):
    """Bytes that the engine says it takes for the context, beside the file."""
    bench = run_json("quantfleet-agent", "bench", gguf, "--tokens", 1, "--prompt-tokens", 1, "--rounds", 1, "--threads", 1,
                     "--kv-type", kv_type, "--context", context, "--json")
    return bench["cache_bytes"] + bench["buffer_bytes"]


def refusal(case, out, source, target, *options):
    """What `quantize` says when it refuses the target, before it has written anything to `out`."""
    done = run("quantfleet", "quantize", source, "--target", target, *options, "--out", out, check=False)
    case.assertEqual(done.returncode, 1, done.stderr)
    case.assertFalse(out.exists())
    return done.stderr


def post(url, body, timeout=60):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout * SLOW) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def read_safetensors(path):
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    return json.loads(raw[8:8 + n]), raw[8 + n:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def unhealthy_model(folder):
    """The demo model with a final norm so large that it quantizes well and yields NaN when it runs."""
    shutil.copytree(DEMO, folder)
    header, data = read_safetensors(folder / "model.safetensors")
    begin, end = header["model.norm.weight"]["data_offsets"]
    largest = struct.pack("<H", 0x7f7f)  # the greatest finite BF16
    write_safetensors(folder / "model.safetensors", header,
                      data[:begin] + largest * ((end - begin) // 2) + data[end:])
    return folder


def tree_digest(folder):
    """SHA-256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Process:
    """A process of ours with its log in a file; always ended by stop()."""

    def __init__(self, log, *args, env=None):
        self.log_path = Path(log)
        self.args = [str(a) for a in args]
        with open(log, "ab") as out:
            self.popen = subprocess.Popen([str(BIN / self.args[0]), *self.args[1:]], stdout=out, stderr=out,
                                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def wait(self, seconds=60):
        return self.popen.wait(seconds * SLOW)

    def kill(self):
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, seconds=20):
        """SIGTERM; returns the exit code. A process that does not go is a failure, but never left behind."""
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.args[0]} did not stop on SIGTERM:\n{self.log()[-4000:]}")
        return self.popen.returncode


class Daemon:
    def __init__(self, data, *extra):
        self.data = Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        # Every job's artifacts are measured: here that has to happen, not to be exact.
        self.extra = extra if "--evaluation-tokens" in extra else (*extra, "--evaluation-tokens", "32")
        self.process = None
        # Agents know the address: a restart keeps the ports.
        self.ports = tuple(f"127.0.0.1:{take_port()}" for _ in range(2))

    def start(self, env=None, wait=True, extra=()):
        ends = self.data / "endpoints.json"
        ends.unlink(missing_ok=True)
        self.process = Process(self.data.parent / (self.data.name + ".log"), "quantfleetd", "--dev", "--data", self.data,
                               "--listen", self.ports[0], "--http", self.ports[1], "--check-in", "0.3",
                               *self.extra, *extra, env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if not self.process.alive():
                raise AssertionError(f"the daemon ended with {self.process.popen.returncode}:\n"
                                     f"{self.process.log()[-4000:]}")
            return (self.data / "endpoints.json").exists()
        wait_for("the daemon's endpoints", ready, 30)
        ends = json.loads((self.data / "endpoints.json").read_text())
        self.ports = (ends["grpc"], ends["http"])

    @property
    def grpc(self):
        return self.ports[0]

    @property
    def http(self):
        return self.ports[1]

    def cli(self, *args, **kwargs):
        return run("quantfleet", "--credential", self.data / "admin.json", *args, **kwargs)

    def cli_json(self, *args, **kwargs):
        return json.loads(self.cli(*args, "--json", **kwargs).stdout)

    def token(self, *args):
        return self.cli_json("token", "create", *args)["secret"]

    def job(self, name):
        return self.cli_json("job", "show", name)

    def stop(self):
        if self.process:
            return self.process.stop()


class Agent:
    def __init__(self, state, facts):
        self.state = Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        # All agents run on one machine; each is to be a machine of its own.
        facts = {"hardware_id": self.state.name[-64:], **facts}
        self.facts = [x for k, v in facts.items() for x in ("--fact", f"{k}={v}")]
        self.process = None

    def enroll(self, daemon, token, check=True, env=None):
        return run("quantfleet-agent", "enroll", "--server", daemon.grpc, "--token", token, "--state", self.state,
                   *self.facts, check=check, env=env)

    def start(self, *options, env=None):
        self.process = Process(self.state.parent / (self.state.name + ".log"), "quantfleet-agent", "start", "--state",
                               self.state, *self.facts, *options, env=env)
        return self

    def identity(self):
        return run_json("quantfleet-agent", "identity", "--state", self.state, "--json")

    def status(self):
        return run_json("quantfleet-agent", "status", "--state", self.state, "--json")

    @property
    def device_id(self):
        return self.status()["device_id"]

    def endpoint(self):
        path = self.state / "endpoint.json"
        return json.loads(path.read_text())["endpoint"] if path.exists() else None

    def stop(self):
        if self.process:
            return self.process.stop()


class EndToEnd(unittest.TestCase):
    """A temporary folder, and whatever was started is stopped, whatever happened."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-e2e-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def daemon(self, *extra, name="daemon"):
        daemon = Daemon(self.dir / name, *extra)
        self.addCleanup(daemon.stop)
        return daemon

    def agent(self, name, facts=IOT):
        agent = Agent(self.dir / name, facts)
        self.addCleanup(agent.stop)
        return agent

    def wait_job(self, daemon, name, seconds=120):
        return wait_for(f"job {name}", lambda: (lambda j: j if j["done"] else None)(daemon.job(name)), seconds)

    def model_status(self, daemon, device_id, model):
        device = daemon.cli_json("device", "show", device_id)
        return next((m for m in device.get("models", []) if m["model"] == model), None)

    def wait_phase(self, daemon, device_id, model, phase, seconds=60, release=None):
        def reached():
            status = self.model_status(daemon, device_id, model)
            if not status or (release is not None and int(status["release"]) < release):
                return None
            if status["phase"] == phase:
                return status
            return None
        try:
            return wait_for(f"{device_id} to be {phase} with {model}", reached, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.model_status(daemon, device_id, model)}") from error
