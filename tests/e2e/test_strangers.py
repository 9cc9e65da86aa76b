"""Attacks by strangers, who have no certificate, with devices' check-ins going on beside them. Attackers come from 127.0.0.2
and the like; each test prints what it saw."""
import contextlib
import json
import re
import resource
import ssl
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import BIN, EndToEnd, SANITIZED, SLOW, status, wait_for
from http2 import Stranger, connect

ATTACKERS = [f"127.0.0.{i}" for i in range(2, 10)]
ENROLL = "/quantfleet.v1.DeviceService/Enroll"
SECONDS = 4  # of each attack
RATE = 25    # check-ins a second


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def https(daemon, path, text=False):
    """Status and seconds of a question to the HTTPS side; or what it answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.monotonic()
    try:
        with urllib.request.urlopen(f"https://{daemon.http}{path}", timeout=15, context=context) as answer:
            body = answer.read().decode()
            return body if text else (answer.status, time.monotonic() - began)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, time.monotonic() - began


@contextlib.contextmanager
def many(make):
    """Threads that do the same until the block ends; make(over) gives a thread's function."""
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,)) for work in make]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Strangers(EndToEnd):
    def setUp(self):
        super().setUp()
        self.d = self.daemon("--log-level", "warning").start()
        self.identities = self.dir / "identities.pem"
        self.loadgen("enroll", 20)

    @property
    def pid(self):
        return self.d.process.popen.pid

    def metric(self, name):
        page = https(self.d, "/metrics", text=True)
        return float(re.search(rf"^{name} (\S+)$", page, re.M)[1])

    def loadgen(self, *args):
        done = subprocess.run([str(BIN / "quantfleet-loadgen"), "--data", str(self.d.data), "--identities",
                               str(self.identities), *map(str, args)], capture_output=True, text=True, timeout=90 * SLOW)
        self.assertTrue(done.stdout, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["errors"], 0, report)
        return report

    def check_ins(self):
        """Devices connect, and check in for some seconds; the latencies in milliseconds."""
        report = self.loadgen("checkins", 20, "--rate", RATE, "--seconds", SECONDS)
        calls = report["paces"][0]["check_ins"]
        self.assertEqual(calls["calls"], RATE * SECONDS)
        return {key: value for key, value in calls.items() if key.endswith("_ms")}

    def under(self, name, attack):
        """Check-ins without and with the attack, and what the daemon took meanwhile."""
        before = self.check_ins()
        rss, cpu = status(self.pid, "VmRSS"), cpu_seconds(self.pid)
        with attack:
            during = self.check_ins()
            ready = https(self.d, "/readyz")
        self.assertTrue(self.d.process.alive())
        figures = {"check_ins_before": before, "check_ins_during": during,
                   "rss_mib": [rss >> 20, status(self.pid, "VmHWM") >> 20],
                   "cpu_seconds": round(cpu_seconds(self.pid) - cpu, 2), "readyz": ready}
        print(f"{name}: {json.dumps(figures)}", flush=True)
        self.assertEqual(ready[0], 200)
        self.assertLess(status(self.pid, "VmHWM") - rss, (1024 if SANITIZED else 256) << 20)
        return figures

    def test_messages_of_empty_sub_messages(self):
        """Eight connections, 4 MiB each, again and again."""
        message = b"\x32\x00" * (2 << 20)
        sent = []

        def attacker(source):
            def work(over):
                while not over.is_set():
                    with contextlib.suppress(OSError), Stranger(self.d.grpc, source) as stranger:
                        sent.append(stranger.call(ENROLL, message))
            return work
        self.under("messages", many([attacker(source) for source in ATTACKERS]))
        self.assertTrue(sent)
        self.assertGreater(self.metric("quantfleet_grpc_strangers_cut_total"), 0)

    def test_padding_of_headers(self):
        frames = []

        def attacker(source):
            def work(over):
                while not over.is_set():
                    with contextlib.suppress(OSError), Stranger(self.d.grpc, source) as stranger:
                        frames.append(stranger.padded_headers(1 << 20))
            return work
        figures = self.under("padding", many([attacker(source) for source in ATTACKERS[:2]]))
        self.assertTrue(frames)
        self.assertLess(max(frames), 1 << 20)
        self.assertGreater(self.metric("quantfleet_grpc_strangers_cut_total"), 0)
        if not SANITIZED:
            self.assertLess(figures["cpu_seconds"], SECONDS * SLOW, "less than one core")

    def silent(self, address, count):
        """Connections that say nothing, made anew as they are cut."""
        def attacker(source):
            def work(over):
                open_ones = []
                while not over.is_set():
                    with contextlib.suppress(OSError):
                        open_ones.append(connect(address, source, timeout=1))
                    if len(open_ones) >= count // len(ATTACKERS):
                        open_ones.pop(0).close()
                        over.wait(0.05)
                for one in open_ones:
                    one.close()
            return work
        return many([attacker(source) for source in ATTACKERS])

    def test_silent_connections_to_grpc(self):
        self.under("silent, gRPC", self.silent(self.d.grpc, 1200))

    def test_silent_connections_to_https(self):
        with self.silent(self.d.http, 1600):
            time.sleep(0.1)
            worst = 0
            for _ in range(10):
                live, seconds = https(self.d, "/livez")
                self.assertEqual(live, 200)
                worst = max(worst, seconds)
            self.under("silent, HTTPS", contextlib.nullcontext())
        print(f"silent, HTTPS: /livez within {worst:.2f} s", flush=True)
        self.assertLess(worst, 5 * SLOW)

    @unittest.skipIf(SANITIZED, "without descriptors, UBSan cannot look at memory and takes every object for a wrong one")
    def test_no_descriptors_for_a_while(self):
        """As CVE-2023-4785: whoever came then must not be the last."""
        self.check_ins()
        limits = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{self.pid}/fd").iterdir())), limits[1]))
        waiting = [connect(self.d.grpc, source) for source in ATTACKERS * 10]
        with self.assertRaises(OSError), Stranger(self.d.grpc, "127.0.0.1", timeout=2):
            pass
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, limits)
        for one in waiting:
            one.close()
        self.check_ins()
        wait_for("readiness", lambda: https(self.d, "/readyz")[0] == 200)


if __name__ == "__main__":
    unittest.main()
