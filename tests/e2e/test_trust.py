"""What others may read or change is refused, with the command that mends it."""
import os
import stat
import unittest

from harness import EndToEnd, run


class Access(EndToEnd):
    def refused(self, path, mode, command, *words):
        """What `words` say while `path` has that mode; afterwards it is as before."""
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        done = run(*words, check=False)
        path.chmod(before)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"has mode {mode:04o}", done.stderr)
        self.assertIn(f"`{command} {path}`", done.stderr)

    def test_keys_and_state_that_others_may_change_are_refused(self):
        daemon = self.daemon().start()
        agent = self.agent("a")
        agent.enroll(daemon, daemon.token())
        key, record = agent.state / "device.key", agent.state / "identity.json"
        start = ("quantfleet-agent", "start", "--once", "--state", agent.state)
        for mode in (0o666, 0o640):
            self.refused(key, mode, "chmod 600", *start)
        self.refused(record, 0o666, "chmod go-w", *start)
        for words in (start, ("quantfleet-agent", "identity", "--state", agent.state)):
            self.refused(agent.state, 0o777, "chmod go-w", *words)
        self.refused(daemon.data / "admin.json", 0o644, "chmod 600", "quantfleet", "--credential", daemon.data / "admin.json",
                     "status")
        daemon.cli("status")
        run(*start)

        daemon.stop()
        start = ("quantfleetd", "--dev", "--data", daemon.data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.refused(daemon.data, 0o777, "chmod go-w", *start)
        self.refused(daemon.data / "state.db", 0o666, "chmod go-w", *start)
        for name in ("ca", "signing", "server", "admin"):
            self.refused(daemon.data / f"keys/{name}.pem", 0o644, "chmod 600", *start)
        self.refused(daemon.data / "keys/signing.pem", 0o640, "chmod 600",
                     "quantfleetd", "keys", "rotate", "--data", daemon.data)
        daemon.start()

    def test_tokens_and_keys_that_are_given_are_for_the_agent_alone(self):
        daemon = self.daemon().start()
        agent = self.agent("a")
        token, pem = self.dir / "token", self.dir / "own.pem"
        for path in (token, pem):
            path.write_text(daemon.token())
            path.chmod(0o600)
        enrol = ("quantfleet-agent", "enroll", "--server", daemon.grpc, "--state", agent.state, "--token-file", token)
        self.refused(token, 0o644, "chmod 600", *enrol)
        self.refused(pem, 0o640, "chmod 600", *enrol, "--certificate", pem, "--key", pem)
        self.assertFalse((agent.state / "device.key").exists())
        run(*enrol)

    def test_what_our_programs_make_passes_whatever_the_umask(self):
        for mask in (0o000, 0o002, 0o022, 0o077):
            before = os.umask(mask)
            try:
                folder = self.dir / f"umask-{mask:03o}"
                daemon = self.daemon(name=f"daemon-{mask:03o}")
                daemon.data.rmdir()  # the daemon makes it
                daemon.start()
                state = folder / "state"
                run("quantfleet-agent", "enroll", "--server", daemon.grpc, "--state", state, "--token", daemon.token())
                run("quantfleet-agent", "start", "--once", "--state", state)
                run("quantfleet-agent", "identity", "--state", state)
                daemon.stop()
                run("quantfleetd", "backup", folder / "backup", "--data", daemon.data)
                run("quantfleetd", "restore", folder / "backup", "--data", folder / "restored")
                run("quantfleetd", "keys", "rotate", "--data", folder / "restored")
                daemon.start()
                daemon.cli("status")
                daemon.stop()
            finally:
                os.umask(before)
            for path in (state, folder / "restored", daemon.data):
                for at_path in (path, *path.rglob("*")):
                    if at_path.is_symlink() or at_path.is_socket():
                        continue
                    self.assertEqual(at_path.stat().st_mode & 0o022, 0, at_path)


if __name__ == "__main__":
    unittest.main()
