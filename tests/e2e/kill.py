"""What the kill tests share: the fail points that the programs list, and a daemon that dies at one of them."""
import contextlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from harness import DEMO, EndToEnd, run, run_json, wait_for

CLASSES = {"iot-int4": "iq4_nl", "ai-pc-int8": "q8_0", "edge-fp16": "f16"}
# What `quantized` makes; kills while it calibrates are test_calibrated_jobs.py's.
ORDER = [*(x for c in CLASSES for x in ("--class", c)), "--calibration", "none"]


def fail_points(program):
    """Every name that the program lists: a new fail point is tested without anybody thinking of it."""
    return sorted(line.split("\t")[0] for line in run(program, "--list-fail-points").stdout.splitlines())


DAEMON_POINTS = fail_points("quantfleetd")
AGENT_POINTS = fail_points("quantfleet-agent")
PIPELINE_POINTS = [p for p in DAEMON_POINTS if p.split("-")[0] in ("authority", "push", "job", "slab", "blob")]
# Renewal needs a certificate near its end: test_recovery.py renews one, tests/daemon/fleet stops in between.
RENEWAL_POINTS = [p for p in DAEMON_POINTS if "certificate" in p]
# Phases, gates and the way back: test_kill_rollout.py.
PHASE_POINTS = [p for p in DAEMON_POINTS if p.startswith("phase-")]
GARBAGE_POINTS = [p for p in DAEMON_POINTS if p.startswith("garbage-")]  # test_evaluation.py
SCRUB_POINTS = [p for p in DAEMON_POINTS if p.startswith("scrub-")]  # test_damage.py
DOWNLOAD_POINTS = [p for p in DAEMON_POINTS if p.startswith("download-")]  # test_limits.py
MAINTENANCE_POINTS = [p for p in DAEMON_POINTS if p.startswith("maintenance-")]  # test_maintenance.py
QUEUE_POINTS = [p for p in DAEMON_POINTS if p.startswith("queue-")]  # test_enrollment.py
ELSEWHERE = (PIPELINE_POINTS + RENEWAL_POINTS + PHASE_POINTS + GARBAGE_POINTS + SCRUB_POINTS + DOWNLOAD_POINTS +
             MAINTENANCE_POINTS + QUEUE_POINTS)
FLEET_POINTS = [p for p in DAEMON_POINTS if p not in ELSEWHERE]
ENROLL_POINTS = [p for p in AGENT_POINTS if p.startswith("enroll-")]
UPDATE_POINTS = [p for p in AGENT_POINTS if p.startswith("update-")]
STEP_DOWN_POINTS = [p for p in AGENT_POINTS if p.startswith("step-down-")]  # test_limits.py
SELF_UPDATE_POINTS = [p for p in AGENT_POINTS if p.startswith("self-update-")]  # test_self_update.py
REPAIR_POINTS = [p for p in AGENT_POINTS if p.startswith("repair-")]  # test_damage.py
ROLLBACK_POINTS = [p for p in AGENT_POINTS if p.startswith("rollback-")]


class DaemonKills(EndToEnd):
    @staticmethod
    def quantized(out, model):
        """recipe -> manifest digest, as the CLI makes them undisturbed."""
        made = run_json("quantfleet", "quantize", model, *[x for r in CLASSES.values() for x in ("--target", f"gguf:{r}")],
                        "--out", out, "--json")
        shutil.rmtree(out)
        return {t["name"].removeprefix("gguf-"): t["manifest_digest"] for t in made["targets"]}

    def digests(self, daemon):
        return {a["recipe"]: a["name"].removeprefix("artifacts/") for a in daemon.cli_json("artifact", "list")["artifacts"]}

    def survive(self, daemon, action):
        """The action's result; when the daemon was killed under it, the daemon is restarted and the action repeated."""
        while True:
            try:
                return action()
            except AssertionError:
                # A killed process's connections are cut a moment before its end can be seen.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.process.wait(5)
                if daemon.process.alive():
                    raise
                self.restart_if_killed(daemon)

    def restart_if_killed(self, daemon):
        if not daemon.process.alive():
            self.assertEqual(daemon.process.popen.returncode, -9, daemon.process.log()[-2000:])
            self.kills += 1
            daemon.start()

    def push(self, daemon, model):
        """One push, which waits for a daemon that dies under it and goes on where it was."""
        with ThreadPoolExecutor() as pool:
            pushed = pool.submit(daemon.cli, "model", "push", "m", model)
            wait_for("the push", lambda: self.restart_if_killed(daemon) or pushed.done())
            pushed.result()

    def start_armed(self, daemon, point):
        self.kills = 0
        daemon.start(env={"QUANTFLEET_FAIL_POINT": point}, wait=False)
        self.survive(daemon, daemon.wait_ready)

    def push_and_quantize(self, daemon, want):
        self.push(daemon, DEMO)
        job = self.survive(daemon, lambda: daemon.cli_json("job", "submit", "m", *ORDER, "--request-id", "one"))["name"]
        self.assertEqual(self.survive(daemon, lambda: self.wait_job(daemon, job))["state"], "SUCCEEDED")
        self.assertEqual(self.digests(daemon), want)
