"""Operators and their rights, the audit log, and what the daemon's log tells: with real processes, over the network."""
import json
import shutil
import sqlite3
import unittest

from harness import BIN, DEMO, EDGE, EndToEnd, Process, run, wait_for
from test_strangers import https

NOT_PERMITTED, NOT_FOUND = 4, 5


def hours_ahead(hours):
    return {"LD_PRELOAD": str(BIN.parent / "lib/libwrong_clock.so"), "WRONG_CLOCK_SECONDS": str(hours * 3600)}


class Operators(EndToEnd):
    def path(self, who):
        return self.dir / f"{who}.json"

    def create(self, name, role, *options):
        return self.d.cli("operator", "create", name, "--role", role, *options).stdout.strip()

    def login(self, who, *options, check=True):
        return run("quantfleet", "--credential", self.path(who), "login", self.d.grpc, *options, check=check)

    def act(self, who, *args, check=True, env=None):
        return run("quantfleet", "--credential", self.path(who), *args, check=check, env=env)

    def refused(self, code, *args, **kwargs):
        done = self.act(*args, check=False, **kwargs)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stderr

    def audit(self, *filters):
        return [entry["decoded"] for entry in self.d.cli_json("audit", "list", *filters)["entries"]]

    def draft(self):
        """A rollout that waits for somebody, of the demo model's plain artifact."""
        self.d.cli("model", "import", "demo", DEMO)
        job = self.d.cli_json("job", "submit", "demo", "--class", "edge-fp16")["name"]
        self.assertEqual(self.wait_job(self.d, job)["state"], "SUCCEEDED")
        rollout = self.d.cli_json("rollout", "create", "demo", "--draft", "--dynamic", "--reason", "for the lab")["name"]
        return job, rollout

    def test_codes_roles_and_revocation(self):
        self.d = self.daemon().start()
        code = self.create("alice", "publisher")
        self.login("alice", "--code", code)
        self.assertEqual(self.path("alice").stat().st_mode & 0o777, 0o600)
        self.assertEqual(json.loads(self.act("alice", "operator", "show", "--json").stdout)["role"], "publisher")

        # A code is for one use, is bound to its daemon, and what is there is not overwritten by mistake.
        again = self.login("mallory", "--code", code, check=False)
        self.assertEqual(again.returncode, NOT_PERMITTED, again.stderr)
        self.assertIn(code.split(".")[1], again.stderr)
        self.assertNotIn(code.split(".")[2], again.stderr)
        self.assertFalse(self.path("mallory").exists())
        self.assertIn("--replace", self.login("alice", "--code", code, check=False).stderr)
        other = self.daemon(name="other").start()
        stranger = run("quantfleet", "--credential", self.path("x"), "login", other.grpc, "--code", code, check=False)
        self.assertEqual(stranger.returncode, NOT_PERMITTED, stranger.stderr)
        expired = self.create("late", "viewer", "--code-ttl", "1s")
        wait_for("the code to expire",
                 lambda: "code expired" in self.d.cli("operator", "list").stdout, 10)
        self.assertIn("quantfleet operator rotate late", self.login("late", "--code", expired, check=False).stderr)

        # Roles: viewers may read and try, not do.
        self.login("vic", "--code", self.create("vic", "viewer"))
        self.act("vic", "status")
        self.assertIn("publisher", self.refused(NOT_PERMITTED, "vic", "rollout", "create", "demo"))
        self.refused(NOT_FOUND, "vic", "rollout", "create", "demo", "--dry-run")
        self.act("vic", "artifact", "collect", "--dry-run")
        for command in (("token", "create"), ("operator", "list"), ("audit", "list")):
            wanted = 0 if command == ("operator", "list") else NOT_PERMITTED
            self.assertEqual(self.act("alice", *command, check=False).returncode, wanted, command)

        # A request instead of a code: nothing secret travels at all.
        self.login("carol", "--request", self.dir / "carol.csr")
        self.assertEqual(self.login("carol", "--ca", "0" * 64, check=False).returncode, NOT_PERMITTED)
        self.d.cli("operator", "create", "carol", "--role", "viewer", "--csr", self.dir / "carol.csr")
        ca = self.d.cli_json("status")["ca_sha256"]
        self.login("carol", "--ca", ca)
        self.act("carol", "status")
        self.assertFalse((self.dir / "carol.json.pending").exists())

        # Rotating ends the old key at once, and gives a code for the next.
        shutil.copy(self.path("carol"), self.path("stolen"))
        code = self.d.cli("operator", "rotate", "carol", "--reason", "laptop lost").stdout.strip()
        self.refused(NOT_PERMITTED, "carol", "status")
        self.login("carol", "--code", code, "--replace")
        self.act("carol", "status")
        self.refused(NOT_PERMITTED, "stolen", "status")

        # Revoking ends what is watched, and every call from then on; also after a restart.
        _, rollout = self.draft()
        watch = Process(self.dir / "watch.log", "quantfleet", "--credential", self.path("vic"), "rollout", "watch", rollout,
                        "--json")
        self.addCleanup(lambda: watch.alive() and watch.kill())
        shutil.copy(self.path("vic"), self.path("vic2"))
        wait_for("the watch to be open", lambda: "quantfleet_grpc_connections 1" in https(self.d, "/metrics", text=True), 10)
        self.d.cli("operator", "revoke", "vic", "--reason", "left")
        self.assertEqual(watch.wait(20), NOT_PERMITTED, watch.log())
        self.assertIn("vic was revoked", watch.log())
        self.refused(NOT_PERMITTED, "vic", "status")
        self.d.stop()
        self.d.start()
        self.refused(NOT_PERMITTED, "vic", "status")
        self.act("alice", "status")

        # The one who may create others is not lost by mistake, and can be brought back on the daemon's machine.
        self.assertIn("last admin", self.d.cli("operator", "revoke", "admin", check=False).stderr)
        self.login("root", "--code", self.create("root", "admin"))
        self.act("root", "operator", "revoke", "admin")
        self.assertEqual(self.d.cli("status", check=False).returncode, NOT_PERMITTED)
        self.d.stop()
        self.d.start()
        self.assertFalse((self.d.data / "admin.json").exists())
        self.d.stop()
        run("quantfleetd", "operators", "restore-admin", "--data", self.d.data)
        self.d.start()
        self.d.cli("audit", "verify")
        self.assertIn("RestoreAdmin", [record["method"] for record in self.audit()])

    def test_certificates_are_renewed(self):
        self.d = self.daemon().start()
        self.login("alice", "--code", self.create("alice", "viewer", "--ttl", "30d"))
        held = json.loads(self.path("alice").read_text())
        self.act("alice", "status")
        self.assertEqual(json.loads(self.path("alice").read_text()), held)
        # By itself, shortly before its end: for a computer on which 20 of its 24 hours are over.
        self.act("alice", "status", env=hours_ahead(20))
        renewed = json.loads(self.path("alice").read_text())
        self.assertNotEqual(renewed["certificate_pem"], held["certificate_pem"])
        self.assertEqual(renewed["private_pem"], held["private_pem"])
        # And after its end.
        self.d.stop()
        self.d.start(env=hours_ahead(30))
        self.act("alice", "status", env=hours_ahead(30))
        self.assertNotEqual(json.loads(self.path("alice").read_text())["certificate_pem"], renewed["certificate_pem"])
        self.act("alice", "login", "--renew", env=hours_ahead(30))
        # Without the daemon, what holds is kept.
        self.d.stop()
        self.assertEqual(self.act("alice", "status", check=False, env=hours_ahead(50)).returncode, 3)

    def test_what_was_done_is_recorded_and_told(self):
        self.d = self.daemon("--log-format", "json").start()
        hostile = 'x\n{"level":"error","event":"forged"}\n" reason="y'
        job, rollout = self.draft()
        device = self.agent("edge-1", {**EDGE, "form": "edge"})
        device.enroll(self.d, self.d.token())
        device.start()
        self.d.cli("rollout", "approve", rollout, "--reason", "measured in the lab")
        self.wait_phase(self.d, device.device_id, "demo", "HEALTHY", 60)
        self.d.cli("rollout", "pause", rollout, "--reason", hostile, check=False)
        self.login("vic", "--code", self.create("vic", "viewer"))
        self.refused(NOT_PERMITTED, "vic", "device", "revoke", device.device_id)
        bad = self.agent("bad-1")
        withdrawn = self.d.token()
        self.d.cli("token", "revoke", withdrawn.split(".")[1])
        self.assertNotEqual(bad.enroll(self.d, withdrawn, check=False).returncode, 0)

        # The rollout's own page names who and why; the audit log has all of it.
        history = self.d.cli_json("rollout", "status", rollout)["history"]
        self.assertEqual([(act["operator"], act["action"], act["reason"]) for act in history[:2]],
                         [("admin", "CreateRollout", "for the lab"), ("admin", "ApproveRollout", "measured in the lab")])
        self.assertIn("measured in the lab", self.d.cli("rollout", "status", rollout).stdout)
        by_vic = self.audit("--operator", "vic")
        self.assertEqual([(r["method"], r["code"]) for r in by_vic], [("RevokeDevice", "PERMISSION_DENIED"), ("Login", "OK")])
        self.assertEqual(by_vic[0]["object"], f"devices/{device.device_id}")
        self.assertEqual(by_vic[0]["address"], "127.0.0.1")
        self.assertEqual([r["method"] for r in self.audit("--object", job)], ["SubmitJob"])
        self.assertEqual(len(self.audit("--limit", "1")), 1)
        self.assertEqual(self.audit("--since", "2030-01-01T00:00:00Z"), [])
        self.assertEqual(self.d.cli("audit", "list", "--since", "yesterday", check=False).returncode, 2)
        self.assertNotIn("\n{", self.d.cli("audit", "list").stdout)

        # It can be taken elsewhere, and checked there.
        checked = self.d.cli_json("audit", "verify")
        export = self.dir / "audit.jsonl"
        lines = self.d.cli("audit", "export").stdout
        self.assertEqual(len(lines.splitlines()), int(checked["entries"]))
        export.write_text(lines)
        noted = f'{checked["last"]}:{checked["digest"]}'
        run("quantfleet", "audit", "verify", "--file", export, "--noted", noted)
        export.write_text(lines.replace("ApproveRollout", "ApproveRollouT", 1))
        self.assertEqual(run("quantfleet", "audit", "verify", "--file", export, check=False).returncode, 1)

        # The log: an object a line, and ids that lead from the device to the rollout, its artifact and the job.
        events = [json.loads(line) for line in self.d.process.log().splitlines()]
        self.assertTrue(all(event["level"] in ("info", "warning") for event in events))
        self.assertFalse(any(event.get("event") == "forged" for event in events))

        def told(event, **values):
            return [e for e in events if e.get("event") == event and all(e.get(k) == v for k, v in values.items())]
        id_ = f"devices/{device.device_id}"
        self.assertEqual(len(told("enrollment", device=id_, result="OK")), 1)
        self.assertGreaterEqual(len([e for e in told("enrollment") if e["result"] != "OK"]), 1)
        healthy = wait_for("the device to be told", lambda: self.told_now("device", device=id_, state="HEALTHY"), 20)[0]
        self.assertEqual(healthy["rollout"], rollout)
        made = told("job", state="SUCCEEDED")[0]
        self.assertEqual((made["job"], made["artifacts"]), (job, healthy["artifact"]))
        self.assertIn("RUNNING", [e["state"] for e in told("rollout", rollout=rollout)])
        self.assertEqual(told("call", method="ApproveRollout")[0]["reason"], "measured in the lab")
        self.assertEqual(told("call", method="RevokeDevice", by="operators/vic")[0]["result"], "PERMISSION_DENIED")

        # Who writes into the database is found.
        self.d.stop()
        with sqlite3.connect(self.d.data / "state.db") as database:
            database.execute("DELETE FROM audit WHERE position = 2")
        database.close()
        self.d.start()
        broken = self.d.cli("audit", "verify", check=False)
        self.assertEqual(broken.returncode, 1)
        self.assertIn("entry 3 follows entry 1", broken.stderr)

    def told_now(self, event, **values):
        events = [json.loads(line) for line in self.d.process.log().splitlines()]
        return [e for e in events if e.get("event") == event and all(e.get(k) == v for k, v in values.items())]


if __name__ == "__main__":
    unittest.main()
