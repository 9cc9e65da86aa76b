"""The daemon is killed at every durable step of a rollout in phases: nobody is told twice, no gate is passed, it ends."""
import shutil
import unittest

from harness import DEMO, IOT, THOROUGH, wait_for
from kill import PHASE_POINTS, DaemonKills

# A point that is passed several times is killed at each of the first few: the rollout is in another state then.
PASSES = {"phase-before-entered": 6, "phase-after-entered": 3, "phase-before-assigned": 3, "phase-before-action": 3,
          "phase-before-approved": 2, "phase-after-approved": 2, "phase-after-report": 2}
ALL_KILLS = [f"{point}:{n}" for point in PHASE_POINTS for n in range(1, PASSES.get(point, 1) + 1)]
KILLS = ALL_KILLS if THOROUGH else ALL_KILLS[::3]


class KillDuringRollout(DaemonKills):
    def test_there_are_fail_points(self):
        self.assertGreaterEqual(len(PHASE_POINTS), 10, PHASE_POINTS)

    def prepare(self):
        """A daemon with two devices that run version 1, stopped, so that each kill begins from a copy."""
        daemon = self.daemon(name="prepared").start()
        daemon.cli("model", "import", "m", DEMO)
        self.wait_job(daemon, daemon.cli_json("job", "submit", "m", "--class", "iot-int4", "--calibration", "none")["name"])
        agents = [self.agent(f"agent-{n}", IOT) for n in range(2)]
        for agent in agents:
            agent.enroll(daemon, daemon.token())
            agent.start()
        first = daemon.cli_json("rollout", "create", "m")["name"]
        wait_for("version 1", lambda: daemon.cli_json("rollout", "status", first)["state"] == "COMPLETED")
        for agent in agents:
            agent.stop()
        daemon.stop()
        return daemon, agents

    def until(self, daemon, name, *states):
        def reached():
            rollout = self.survive(daemon, lambda: daemon.cli_json("rollout", "status", name))
            return rollout if rollout["state"] in states else None
        return wait_for(f"{name} to be {' or '.join(states)}", reached, 40)

    def act(self, daemon, *words):
        self.survive(daemon, lambda: daemon.cli("rollout", *words))

    def test_daemon_killed_at_each_step_of_the_phases(self):
        prepared, agents = self.prepare()
        for kill in KILLS:
            with self.subTest(kill):
                point = kill.replace(":", "-")
                shutil.copytree(prepared.data, self.dir / point)
                daemon = self.daemon(name=point)
                daemon.ports = prepared.ports  # where the devices look for it
                mine = []
                for n, agent in enumerate(agents):
                    shutil.copytree(agent.state, self.dir / f"{point}-{n}", symlinks=True)
                    mine.append(self.agent(f"{point}-{n}", IOT))
                self.start_armed(daemon, kill)
                try:
                    for agent in mine:
                        agent.start()
                    self.go_through(daemon, mine)
                    self.assertEqual(self.kills, 1, "the point was never reached")
                finally:
                    for process in [*mine, daemon]:
                        process.stop()

    def go_through(self, daemon, agents):
        """A draft, a canary that soaks, a gate, a pause, the rest, a late device, and the way back."""
        plan = self.dir / "plan.toml"
        plan.write_text("dynamic = true\n[[phase]]\ncount = 1\nsoak_seconds = 1\n[[phase]]\napproval = true\n")
        name = self.survive(daemon, lambda: daemon.cli_json("rollout", "create", "m", "--plan", plan, "--draft",
                                                            "--request-id", "two"))["name"]
        self.act(daemon, "approve", name, "--phase", 1)
        waiting = self.until(daemon, name, "AWAITING_APPROVAL")
        self.assertEqual(sorted(d["state"] for d in waiting["devices"]), ["HEALTHY", "QUEUED"])
        self.act(daemon, "pause", name)
        self.assertEqual(sorted(d["state"] for d in self.until(daemon, name, "PAUSED")["devices"]), ["HEALTHY", "QUEUED"])
        self.act(daemon, "resume", name)
        self.until(daemon, name, "AWAITING_APPROVAL")
        self.act(daemon, "approve", name, "--phase", 2)
        done = self.until(daemon, name, "COMPLETED", "FAILED")
        self.assertEqual([(d["state"], int(d["release"])) for d in done["devices"]], [("HEALTHY", 2)] * 2)
        late = self.agent(daemon.data.name + "-late", IOT)
        agents.append(late)
        token = self.survive(daemon, daemon.token)
        self.survive(daemon, lambda: late.enroll(daemon, token))
        late.start()
        wait_for("the late device", lambda: [d["state"] for d in self.survive(daemon, lambda: daemon.cli_json(
            "rollout", "status", name))["devices"]] == ["HEALTHY"] * 3, 40)
        self.until(daemon, name, "COMPLETED")
        self.act(daemon, "rollback", name)
        back = self.until(daemon, name, "ROLLED_BACK")
        releases = {d["device_id"]: int(d["release"]) for d in back["devices"]}
        self.assertEqual(releases, {a.device_id: 2 if a is late else 3 for a in agents})
        self.assertEqual({d["state"] for d in back["devices"]}, {"ROLLED_BACK"})


if __name__ == "__main__":
    unittest.main()
