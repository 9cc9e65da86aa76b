"""Whom a device trusts changes by signed statements alone; and what others may read or change is refused, with the command
that mends it."""
import json
import os
import shutil
import stat
import unittest

from harness import DEMO, IOT, SANITIZED, EndToEnd, run, wait_for
from test_recovery import FAKETIME, at

NEEDS_FAKETIME = unittest.skipUnless(FAKETIME and not SANITIZED, "libfaketime is absent, or cannot be mixed with a sanitizer")


class Trust(EndToEnd):
    def prepare(self):
        """A daemon with an artifact, and a device that enrolled and then was away."""
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.wait_job(self.d, self.d.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        self.a = self.agent("device", IOT)
        self.a.enroll(self.d, self.d.token())
        self.device = self.a.device_id

    def keys(self, *words, **more):
        return run("quantfleetd", "keys", *words, "--data", self.d.data, **more)

    def identity(self):
        return json.loads((self.a.state / "identity.json").read_text())

    def shown(self, daemon, when):
        return daemon.cli_json("device", "show", self.device, env=at(when))

    def wait_model(self, daemon, when, phase):
        def reached():
            models = self.shown(daemon, when).get("models", [])
            return next((m for m in models if m["model"] == "m" and m["phase"] == phase), None)
        return wait_for(f"the model to be {phase}", reached)

    @NEEDS_FAKETIME
    def test_a_server_with_the_tls_key_but_not_the_signing_key_owns_no_device(self):
        self.prepare()
        before = self.identity()
        self.d.stop()
        # The thief has all that the daemon has, its CA too, and one key that is their own.
        other = self.daemon(name="other").start()
        other.stop()
        thief = self.daemon(name="thief")
        shutil.rmtree(thief.data)
        shutil.copytree(self.d.data, thief.data)
        (thief.data / "keys/roots.b64").unlink()
        own = (other.data / "keys/signing.pem").read_text().split("\n", 1)[1]
        (thief.data / "keys/signing.pem").write_text("# trust root 7\n" + own)
        thief.ports = self.d.ports
        thief.start(env=at("+6d"))
        self.assertEqual(thief.grpc, self.d.grpc)
        thief.cli("rollout", "create", "m", env=at("+6d"))
        self.a.start(env=at("+6d"))
        status = self.wait_model(thief, "+6d", "FAILED")
        self.assertEqual(status["reason"], "assignment_refused")
        now = self.identity()
        self.assertNotEqual(now["certificate_pem"], before["certificate_pem"], "it never renewed: nothing was tried")
        self.assertEqual(now["trust_root"], before["trust_root"])
        self.assertEqual(self.shown(thief, "+6d")["trust_root_version"], 1)
        thief.stop()
        self.d.start(env=at("+6d"))
        self.d.cli("rollout", "create", "m", env=at("+6d"))
        self.wait_model(self.d, "+6d", "HEALTHY")
        self.assertEqual(self.identity()["trust_root"], before["trust_root"])

    @NEEDS_FAKETIME
    def test_an_expired_device_comes_back_after_the_signing_key_was_changed(self):
        self.prepare()
        self.d.stop()
        self.keys("rotate")
        self.keys("retire", "--force")  # before the device has heard of anything
        self.d.start(env=at("+30d"))
        self.d.cli("rollout", "create", "m", env=at("+30d"))
        self.a.start(env=at("+30d"))
        self.wait_model(self.d, "+30d", "HEALTHY")
        self.assertEqual(self.shown(self.d, "+30d")["trust_root_version"], 3)
        self.assertNotIn("refused", self.a.process.log())

    @NEEDS_FAKETIME
    def test_an_expired_device_comes_back_while_the_ca_is_changed(self):
        self.prepare()
        self.d.stop()
        self.keys("rotate", "--ca")
        self.d.start(env=at("+30d"))
        self.a.start(env=at("1970-01-02 00:00:00"))
        wait_for("a certificate of the new CA", lambda: self.shown(self.d, "+30d").get("certificate_root_version") == 2)
        self.d.stop()
        self.keys("retire", env=at("+30d"))
        self.d.start(env=at("+30d"))
        self.d.cli("rollout", "create", "m", env=at("+30d"))
        self.wait_model(self.d, "+30d", "HEALTHY")


class Access(EndToEnd):
    def refused(self, path, mode, command, *words):
        """What `words` say while `path` has that mode; afterwards it is as before."""
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        done = run(*words, check=False)
        path.chmod(before)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{mode:04o}", done.stderr)
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
        enroll = ("quantfleet-agent", "enroll", "--server", daemon.grpc, "--state", agent.state, "--token-file", token)
        self.refused(token, 0o644, "chmod 600", *enroll)
        self.refused(pem, 0o640, "chmod 600", *enroll, "--certificate", pem, "--key", pem)
        self.assertFalse((agent.state / "device.key").exists())
        run(*enroll)

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
