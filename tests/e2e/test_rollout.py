"""Rollouts in phases with real devices: canary, soak time, approval, limits, groups, priorities, the way back, and
restarts in between."""
import json
import signal
import subprocess
import unittest
from datetime import datetime, timedelta, timezone

from harness import BIN, DEMO, IOT, SLOW, EndToEnd, Process, unhealthy_model, wait_for

OVER = ("COMPLETED", "FAILED", "ABORTED", "ROLLED_BACK")


class Rollouts(EndToEnd):
    """Three devices that run version 1; version 2 is there, and on demand one that does not work."""

    def setUp(self):
        super().setUp()
        self.d = self.daemon().start()
        self.d.cli("model", "import", "m", DEMO)
        self.quantize()
        self.agents = {}
        for name in ("a", "b", "c"):
            agent = self.agent(name, IOT)
            agent.enroll(self.d, self.d.token())
            self.agents[agent.device_id] = agent.start()
        self.first = self.artifact()
        self.end(self.create(), "COMPLETED")

    def quantize(self, model="m"):
        job = self.d.cli_json("job", "submit", model, "--class", "iot-int4", "--calibration", "none")
        self.assertEqual(self.wait_job(self.d, job["name"])["state"], "SUCCEEDED")

    def artifact(self):
        return self.d.cli_json("artifact", "list", "--model", "m")["artifacts"][0]["name"]

    def break_model(self):
        self.d.cli("model", "import", "m", unhealthy_model(self.dir / "unhealthy"))
        self.quantize()
        self.assertNotEqual(self.artifact(), self.first)

    def create(self, *args):
        return self.d.cli_json("rollout", "create", "m", *args)["name"]

    def get(self, name):
        return self.d.cli_json("rollout", "status", name)

    def act(self, verb, name, *args):
        return self.d.cli_json("rollout", verb, name, *args)

    def devices(self, rollout, state):
        return [d for d in rollout["devices"] if d["state"] == state]

    def leave_watching(self, name):
        """Without a terminal a watch prints a line an event; Ctrl-C ends it, and not the rollout."""
        with subprocess.Popen([BIN / "quantfleet", "--credential", self.d.data / "admin.json", "rollout", "watch", name],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as watch:
            self.assertIn("PAUSED", watch.stderr.readline())
            watch.send_signal(signal.SIGINT)
            self.assertIn(f"the rollout goes on; follow it with `quantfleet rollout watch {name}`", watch.stderr.read())
            self.assertEqual(watch.wait(), 130)

    def until(self, name, state, seconds=60):
        def reached():
            rollout = self.get(name)
            if rollout["state"] == state:
                return rollout
            self.assertNotIn(rollout["state"], OVER, rollout)
        return wait_for(f"{name} to be {state}", reached, seconds)

    def end(self, name, state, seconds=60):
        rollout = wait_for(f"{name} to end", lambda: (lambda r: r if r["state"] in OVER else None)(self.get(name)), seconds)
        self.assertEqual(rollout["state"], state, rollout)
        return rollout

    def restart(self):
        self.d.process.kill()
        self.d.start()

    def active(self, device):
        return self.model_status(self.d, device, "m")

    def test_canary_soak_approval_and_a_restart_in_each(self):
        name = self.create("--phase", "1", "--soak", "2s", "--approve", "--draft")
        self.restart()
        self.assertEqual(self.get(name)["state"], "DRAFT")
        self.act("approve", name)
        self.restart()
        soaking = self.until(name, "SOAKING")
        self.assertEqual(len(self.devices(soaking, "HEALTHY")), 1)
        self.assertEqual(len(self.devices(soaking, "QUEUED")), 2)
        self.restart()
        waiting = self.until(name, "AWAITING_APPROVAL")
        self.assertEqual(len(self.devices(waiting, "QUEUED")), 2)
        self.restart()
        self.act("pause", name, "--reason", "lunch")
        self.restart()
        self.assertEqual((self.get(name)["state"], self.get(name)["reason"]), ("PAUSED", "lunch"))
        self.leave_watching(name)
        self.act("resume", name)
        self.assertEqual(self.until(name, "AWAITING_APPROVAL")["phase"], 1)
        self.act("approve", name)
        done = self.end(name, "COMPLETED")
        self.assertEqual([int(d["release"]) for d in done["devices"]], [2, 2, 2])

    def test_a_failing_canary_pauses_and_the_others_keep_their_version(self):
        self.break_model()
        name = self.create("--phase", "1")
        paused = self.until(name, "PAUSED")
        self.assertIn("0 of 1", paused["reason"])
        (failed,) = self.devices(paused, "FAILED")
        self.assertEqual(failed["code"], "HEALTH_FAILED")
        self.assertEqual(len(self.devices(paused, "QUEUED")), 2)
        done = self.d.cli("rollout", "abort", name)
        self.assertIn("ABORTED", done.stdout)
        for device in self.agents:
            self.assertEqual(int(self.active(device)["release"]), 2 if device == failed["device_id"] else 1)
        watched = self.d.cli("rollout", "watch", name, check=False)
        self.assertEqual(watched.returncode, 7, watched.stderr)

    def test_too_many_failures_roll_back_by_themselves(self):
        self.break_model()
        done = self.d.cli("rollout", "create", "m", "--phase", "2", "--max-failures", "1", "--on-failure", "rollback",
                          "--watch", "--json", check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        rollout = json.loads(done.stdout)
        self.assertEqual(rollout["state"], "ROLLED_BACK")
        self.assertRegex(rollout["reason"], r"\b2\b.*limit of 1\b")
        back = self.devices(rollout, "ROLLED_BACK")
        self.assertEqual([d["previous_artifact"] for d in back], [self.first] * 2)
        for device in back:
            status = self.active(device["device_id"])
            self.assertEqual((status["phase"], int(status["release"])), ("HEALTHY", 3), status)
            self.assertEqual(status["active_manifest"], status["assigned_manifest"])

    def test_a_finished_rollout_goes_back_over_a_restart(self):
        name = self.create("--max-in-flight", "1")
        self.end(name, "COMPLETED")
        self.act("rollback", name)
        self.restart()
        rollout = self.end(name, "ROLLED_BACK")
        self.assertEqual(len(self.devices(rollout, "ROLLED_BACK")), 3)

    def test_an_offline_device_times_out_and_labels_choose(self):
        offline, online, _ = self.agents
        self.agents[offline].stop()
        for device in (offline, online):
            self.d.cli("device", "label", device, "ring=early")
        self.assertEqual(self.d.cli_json("device", "show", online)["labels"], {"ring": "early"})
        # Far more than the other device needs, however busy the machine.
        name = self.create("--selector", "ring=early", "--device-timeout", f"{int(20 * SLOW)}s")
        self.restart()
        failed = self.end(name, "FAILED")
        self.assertEqual({d["device_id"]: (d["state"], d["code"]) for d in failed["devices"]},
                         {offline: ("FAILED", "TIMED_OUT"), online: ("HEALTHY", "CODE_UNSPECIFIED")})
        watched = self.d.cli("rollout", "watch", name, check=False)
        self.assertEqual(watched.returncode, 1, watched.stderr)

    def test_a_dry_run_and_refused_plans_make_nothing(self):
        text = self.d.cli("rollout", "create", "m", "--phase", "1", "--phase", "50%", "--dry-run").stdout
        for word in ("iot-int4", "to download", "the rest", "(3)", *self.agents):
            self.assertIn(word, text)
        estimate = self.d.cli_json("rollout", "create", "m", "--max-in-flight", "1", "--dry-run")["estimate"]
        self.assertEqual(estimate["phases"][0]["devices"], "3")
        self.assertGreater(estimate["seconds"], 0)
        plan = self.dir / "plan.toml"
        plan.write_text('max_in_flight = 2\n[[phase]]\ncount = 1\n[[phase]]\npercentage = 5\n')
        refused = self.d.cli("rollout", "create", "m", "--plan", plan, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"line 5: .*\bpercentage\b")
        self.assertEqual(self.d.cli("rollout", "create", "m", "--phase", "many", check=False).returncode, 2)
        self.assertEqual(self.d.cli("rollout", "pause", "rollouts/none", check=False).returncode, 5)
        self.assertEqual(len(self.d.cli_json("rollout", "list")["rollouts"]), 1)

    def test_a_plan_file_and_a_device_that_comes_later(self):
        plan = self.dir / "plan.toml"
        plan.write_text('dynamic = true\nmax_in_flight = 1\n[[phase]]\ncount = 1\nsoak_seconds = 1\n')
        name = self.create("--plan", plan)
        self.end(name, "COMPLETED")
        late = self.agent("late", IOT)
        late.enroll(self.d, self.d.token())
        late.start()
        self.wait_phase(self.d, late.device_id, "m", "HEALTHY")
        wait_for("the late device's row", lambda: [d for d in self.get(name)["devices"]
                                                   if d["device_id"] == late.device_id and d["state"] == "HEALTHY"])
        self.end(name, "COMPLETED")

    def test_a_closed_window_tells_nobody(self):
        def plan(from_now, hours):
            begin = datetime.now(timezone.utc) + timedelta(hours=from_now)
            end = begin + timedelta(hours=hours)
            path = self.dir / "window.toml"
            path.write_text(f'[[window]]\nfrom = "{begin:%H:%M}"\nto = "{end:%H:%M}"\n')
            return path
        closed = self.create("--plan", plan(2, 1))
        for device in self.agents:
            for _ in range(2):  # check-ins that would have told it
                seen = self.d.cli_json("device", "show", device)["last_seen_ms"]
                wait_for("a check-in", lambda d=device, s=seen: self.d.cli_json("device", "show", d)["last_seen_ms"] != s)
        rollout = self.get(closed)
        self.assertEqual((rollout["state"], len(self.devices(rollout, "QUEUED"))), ("RUNNING", 3), rollout)
        self.assertEqual({int(self.active(d)["release"]) for d in self.agents}, {1})
        self.act("abort", closed)
        self.end(self.create("--plan", plan(-1, 2)), "COMPLETED")
        self.assertEqual({int(self.active(d)["release"]) for d in self.agents}, {2})

    def test_a_newer_rollout_takes_the_devices_over(self):
        old = self.create("--phase", "1", "--approve")
        self.until(old, "AWAITING_APPROVAL")
        new = self.create()
        taken = self.get(old)
        self.assertEqual({d["code"] for d in self.devices(taken, "SKIPPED")}, {"SUPERSEDED"})
        self.end(new, "COMPLETED")
        # Nobody is left behind its gate.
        self.end(old, "COMPLETED")


    def test_a_group_is_a_phase_and_a_watch_lasts_over_a_restart(self):
        first, second, third = self.agents
        self.d.cli("group", "apply", "lab", "--selector", "site=lab", "--device", second)
        self.d.cli("device", "label", first, "site=lab")
        self.assertEqual(self.d.cli_json("group", "show", "lab")["members"], sorted([first, second]))
        self.assertEqual(self.d.cli("rollout", "create", "m", "--phase", "group:moon", check=False).returncode, 5)
        name = self.create("--phase", "group:lab", "--approve")
        refused = self.d.cli("group", "delete", "lab", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(name, refused.stderr)
        watch = Process(self.dir / "watch.json", "quantfleet", "--credential", self.d.data / "admin.json",
                        "rollout", "watch", name, "--json")
        self.addCleanup(watch.stop)
        waiting = self.until(name, "AWAITING_APPROVAL")
        self.assertEqual({d["device_id"]: d["phase"] for d in waiting["devices"]}, {first: 0, second: 0, third: 1})
        self.restart()
        self.act("approve", name)
        self.assertEqual(watch.wait(), 0, watch.log())
        seen = json.loads(watch.log()[watch.log().index("{"):])  # behind the events, which are on stderr
        self.assertEqual((seen["state"], len(self.devices(seen, "HEALTHY"))), ("COMPLETED", 3))
        self.d.cli("group", "delete", "lab")
        self.assertEqual(self.d.cli_json("group", "list")["groups"], [])

    def test_a_device_is_told_by_one_rollout_at_a_time(self):
        busy = next(iter(self.agents))
        self.agents[busy].stop()
        self.d.cli("model", "import", "n", DEMO)
        self.quantize("n")
        under_way = self.create("--priority", "1")
        refused = self.d.cli("rollout", "create", "m", "--device", busy, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(under_way, refused.stderr)
        waits = self.d.cli_json("rollout", "create", "n")["name"]
        rollout = wait_for("the other devices", lambda: (lambda r: r if len(self.devices(r, "HEALTHY")) == 2 else None)(
            self.get(waits)))
        (row,) = self.devices(rollout, "QUEUED")
        self.assertEqual((row["device_id"], row["reason"]), (busy, f"waits: the device is in flight in {under_way}"))
        self.agents[busy].start()
        self.end(under_way, "COMPLETED")
        self.end(waits, "COMPLETED")


class Watching(EndToEnd):
    def test_help_tells_the_exit_codes(self):
        text = subprocess.run([BIN / "quantfleet", "--help"], capture_output=True, text=True).stdout
        self.assertRegex(text, r"\b6 .*rolled back.*\b7 .*aborted")


if __name__ == "__main__":
    unittest.main()
