"""The README's tour, pasted whole into a shell."""
import os
import re
import signal
import socket
import subprocess
import unittest

from harness import BIN, ROOT, SLOW, EndToEnd


def tour():
    text = (ROOT / "README.md").read_text()
    return re.search(r"^## A ten-minute tour\n+```sh\n(.*?)^```$", text, re.M | re.S)[1]


def taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class Readme(EndToEnd):
    @unittest.skipIf(taken(7443) or taken(7444), "the daemon's own ports are taken on this machine")
    def test_tour_pasted_whole(self):
        block = tour()
        self.assertIn("export PATH=$PWD/build/release/bin:$PATH\n", block)
        # The folders of this test and the programs under test; all else as it stands.
        block = block.replace("$PWD/build/release/bin", str(BIN)).replace("/tmp/", f"{self.dir}/")
        shell = subprocess.Popen(["bash", "-e", "-o", "pipefail", "-c", block], cwd=ROOT, text=True, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = shell.communicate(timeout=120 * SLOW)
        except subprocess.TimeoutExpired:
            self.fail("the tour did not end")
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
                said, _ = shell.communicate()
            print(said[-3000:] if shell.returncode else "", end="")
        self.assertEqual(shell.returncode, 0)
        self.assertIn('"text":', said, "the device's answer")
        self.assertEqual([path.name for path in self.dir.iterdir() if path.name in ("qf", "qfd", "board")], [], "it cleans up")
