"""Every way in with real processes: token, list, operator's approval, a customer's certificate; first boot without
hands; re-flashed machines; what leaks or is banned."""
import shutil
import socket
import ssl
import subprocess
import unittest
from pathlib import Path

from harness import IOT, run, take_port, wait_for
from kill import QUEUE_POINTS, DaemonKills


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Enrollment(DaemonKills):
    def open(self, *options):
        self.d = self.daemon(*options).start()
        self.ca = self.d.cli_json("status")["ca_sha256"]
        return self.d

    def ask(self, agent, *options, check=True):
        """An enrollment that does not wait; with the agent's key alone unless the options say more."""
        return run("quantfleet-agent", "enroll", "--server", self.d.grpc, "--ca", self.ca, "--no-wait", "--state",
                   agent.state, *agent.facts, *options, check=check)

    def refused(self, agent, *options):
        done = self.ask(agent, *options, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def device(self, agent):
        return self.d.cli_json("device", "show", agent.identity()["device_id"])

    def pending(self):
        return {p["device_id"]: p for p in self.d.cli_json("device", "pending").get("devices", [])}

    def wait_checked_in(self, agent):
        wait_for("a check-in", lambda: "checked in as" in agent.process.log(), 30)

    def test_list_of_expected_devices(self):
        self.open()
        by_id, by_key, by_file = self.agent("id"), self.agent("key"), self.agent("file")
        ids = [a.identity() for a in (by_id, by_key, by_file)]
        self.assertIn("quantfleet device allow " + ids[0]["device_id"], self.refused(by_id))
        self.d.cli("device", "allow", ids[0]["device_id"], ids[1]["public_key_sha256"], "--label", "site=lab")
        listed = self.dir / "list"
        listed.write_text(f"# shelf 3\n{ids[2]['device_id']} site=field\n")
        self.d.cli("device", "allow", "--file", listed)
        self.assertEqual(len(self.d.cli_json("device", "allowed")["devices"]), 3)
        for agent, site in ((by_id, "lab"), (by_key, "lab"), (by_file, "field")):
            self.assertIn("enrolled with", self.ask(agent).stdout)
            self.assertEqual(self.device(agent)["labels"], {"site": site})
            self.assertEqual(self.device(agent)["admitted_by"], "list")
        self.assertEqual(self.d.cli_json("device", "allowed").get("devices", []), [])
        # Its disk was wiped but for the key; then it is banned.
        (by_id.state / "identity.json").unlink()
        self.ask(by_id)
        self.d.cli("device", "revoke", ids[0]["device_id"])
        (by_id.state / "identity.json").unlink()
        self.assertIn("revoked", self.refused(by_id))

    def test_an_operator_decides_and_the_agent_goes_on_by_itself(self):
        self.open("--enrollment-queue", "2")
        good, bad = self.agent("good"), self.agent("bad")
        for agent in (good, bad):
            agent.start("--server", self.d.grpc, "--ca", self.ca)
        wait_for("two requests", lambda: len(self.pending()) == 2)
        self.assertIn("nothing admits", self.d.cli("device", "pending").stdout)
        self.assertEqual(self.d.cli_json("status")["devices_pending"], "2")
        third = self.agent("third")
        self.assertIn("devices are already waiting", self.refused(third))
        self.d.stop()
        self.d.start()
        self.assertEqual(len(self.pending()), 2, "a restart forgets nobody")
        self.d.cli("device", "approve", good.identity()["device_id"])
        self.d.cli("device", "reject", bad.identity()["device_id"])
        self.wait_checked_in(good)
        wait_for("the refusal", lambda: "PERMISSION_DENIED" in bad.process.log(), 30)
        self.assertTrue(bad.process.alive())
        self.assertIn("waits for an operator", good.process.log())
        self.assertIn("revoked", self.refused(self.stopped(bad), "--token", self.d.token()))

    def stopped(self, agent):
        self.assertEqual(agent.stop(), 0)
        return agent

    def test_approval_survives_a_daemon_that_is_killed(self):
        for point in QUEUE_POINTS:
            with self.subTest(point):
                agent = self.agent("agent-" + point)
                self.d = self.daemon("--enrollment-queue", "1", name=point)
                self.start_armed(self.d, point)
                self.ca = self.d.cli_json("status")["ca_sha256"]
                self.assertIn("waits for an operator", self.refused(agent))
                device = agent.identity()["device_id"]
                self.survive(self.d, lambda: self.d.cli("device", "approve", device))
                self.assertEqual(self.kills, 1, "the point was never reached")
                self.ask(agent)
                self.assertEqual(self.device(agent)["state"], "ACTIVE")
                self.d.stop()

    @unittest.skipUnless(shutil.which("openssl"), "the openssl command is absent")
    def test_certificate_of_the_customers_own_ca(self):
        pki = self.dir / "pki"
        pki.mkdir()
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        for ca in ("ca", "foreign"):
            openssl("req", "-x509", *ec, "-keyout", pki / f"{ca}.key", "-out", pki / f"{ca}.pem", "-subj", f"/CN={ca}",
                    "-days", "2")
        rsa = ("-newkey", "rsa:2048", "-nodes")
        for name, ca, key in (("board", "ca", ec), ("rsa", "ca", rsa), ("stranger", "foreign", ec)):
            openssl("req", *key, "-keyout", pki / f"{name}.key", "-out", pki / f"{name}.csr",
                    "-subj", f"/O=Acme/CN={name}")
            (pki / f"{name}.key").chmod(0o600)
            openssl("x509", "-req", "-in", pki / f"{name}.csr", "-CA", pki / f"{ca}.pem", "-CAkey", pki / f"{ca}.key",
                    "-CAcreateserial", "-out", pki / f"{name}.pem", "-days", "1")
        own = lambda name: ("--certificate", pki / f"{name}.pem", "--key", pki / f"{name}.key")
        self.open("--enrollment-ca", pki / "ca.pem")
        first, second, third = self.agent("first"), self.agent("second"), self.agent("third")
        self.ask(first, *own("board"))
        self.assertEqual(self.device(first)["admitted_by"], "certificate CN=board,O=Acme")
        self.ask(second, *own("rsa"))
        self.assertIn("not issued by the CA", self.refused(third, *own("stranger")))
        # The same certificate with another key is the same device set up anew, or a copy: an operator decides.
        self.assertIn("waits for an operator", self.refused(third, *own("board")))
        self.d.cli("device", "approve", third.identity()["device_id"])
        self.ask(third, *own("board"))
        self.assertEqual(self.device(first)["state"], "REVOKED")
        self.d.cli("device", "revoke", third.identity()["device_id"])
        self.assertIn("revoked", self.refused(self.agent("fourth"), *own("board")))

    def test_tokens_rate_approval_class_and_leak(self):
        self.open()
        one, two, three = self.agent("one"), self.agent("two"), self.agent("three")
        leaked = self.d.cli_json("token", "create", "--uses", "0", "--rate", "1", "--class", "ai-pc-int8")
        self.ask(one, "--token", leaked["secret"])
        one.start()
        self.assertIn("1 devices in an hour", self.refused(two, "--token", leaked["secret"]))
        self.assertIn("ai-pc-int8 (pinned by its token)", self.device(one)["class_reason"])
        asking = self.d.token("--approval", "--label", "site=lab")
        self.assertIn("requires approval", self.refused(three, "--token", asking))
        self.assertEqual(list(self.pending()), [three.identity()["device_id"]])
        self.d.cli("device", "approve", three.identity()["device_id"])
        self.ask(three, "--token", asking)
        self.assertEqual(self.device(three)["labels"], {"site": "lab"})
        self.d.cli("token", "revoke", leaked["token"]["id"])
        self.assertIn("revoked", self.refused(two, "--token", leaked["secret"]))
        seen = int(self.device(one)["last_seen_ms"])
        wait_for("another check-in", lambda: int(self.device(one)["last_seen_ms"]) > seen, 20)
        self.assertEqual(self.device(one)["state"], "ACTIVE")

    def test_a_reflashed_machine_replaces_itself_only_with_approval(self):
        self.open()
        board = {**IOT, "hardware_id": "board-7"}
        old, new = self.agent("old", board), self.agent("new", board)
        self.ask(old, "--token", self.d.token())
        old.start()
        self.wait_checked_in(old)
        self.d.cli("device", "label", old.device_id, "shelf=3")
        new_id = new.identity()["device_id"]  # makes the key, for which an agent that runs would hold the folder
        new.start("--server", self.d.grpc, env={"QUANTFLEET_TOKEN": self.d.token()})
        waiting = wait_for("the request", lambda: self.pending().get(new_id))
        self.assertEqual(waiting["replaces"], old.device_id)
        self.assertEqual(self.device(old)["state"], "ACTIVE")
        self.d.cli("device", "approve", waiting["device_id"])
        self.wait_checked_in(new)
        wait_for("the old one to hear of it", lambda: "revoked" in old.process.log(), 20)
        self.assertEqual(self.device(new)["labels"], {"shelf": "3"})

    def test_first_boot_without_hands(self):
        self.open()
        nothing = self.dir / "cmdline-empty"
        nothing.write_text("quiet\n")
        done = run("quantfleet-agent", "start", "--state", self.dir / "none", "--kernel-command-line", nothing,
                   check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("quantfleet-agent enroll", done.stderr)

        kernel, late = self.agent("kernel"), self.agent("late")
        cmdline = self.dir / "cmdline"
        cmdline.write_text(f"ro quiet quantfleet.server={self.d.grpc} quantfleet.token={self.d.token()}\n")
        kernel.start("--kernel-command-line", cmdline)
        token_file = self.dir / "token"
        late.start("--token-file", token_file, "--kernel-command-line", nothing, env={"QUANTFLEET_SERVER": self.d.grpc})
        self.wait_checked_in(kernel)
        wait_for("the wait for the file", lambda: "does not contain a token yet" in late.process.log(), 20)
        token_file.touch(mode=0o600)
        token_file.write_text(self.d.token() + "\n")
        self.wait_checked_in(late)
        # Enrolled, it goes on as it is, whatever stands there now.
        self.stopped(late).process.log_path.unlink()
        token_file.write_text("rubbish")
        late.start("--token-file", token_file)
        self.wait_checked_in(late)
        self.assertEqual(len(self.d.cli_json("device", "list")["devices"]), 2)

    def test_a_listener_of_the_fleet_alone(self):
        def connected(port):
            """Whether somebody is connected to that port of this machine."""
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            return any(local == f"0100007F:{port:04X}" and state == "01" for _, local, _, state, *_ in rows)

        def seen():
            return int(self.d.cli_json("device", "list")["devices"][0]["last_seen_ms"])

        port = take_port()
        self.open("--fleet-listen", f"127.0.0.1:{port}")
        agent = self.agent("agent")
        agent.enroll(self.d, self.d.token())
        agent.start()
        self.wait_checked_in(agent)
        wait_for("a call to the fleet's listener", lambda: connected(port), 20)
        # Without a certificate nobody gets past its handshake.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with context.wrap_socket(plain) as stranger:
                    stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
                    while stranger.recv(4096):
                        pass
                    raise ConnectionError("closed")
        # Once it is gone, the device goes on at the address that it enrolled with.
        self.d.stop()
        self.d.extra = ()
        self.d.start()
        before = seen()
        wait_for("check-ins at the first address", lambda: seen() > before, 30)
        self.assertFalse(connected(port))


if __name__ == "__main__":
    unittest.main()
