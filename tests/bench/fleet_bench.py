"""A fleet's load on one daemon, as fleet_bench.sh says."""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from harness import BIN, DEMO, Daemon, wait_for  # noqa: E402

SCENARIOS = ("enroll", "checkins", "storm", "rollout")

# Failures come to 3 %, so each limit is exceeded at some point, and once more after it was resumed.
PLAN = """max_in_flight = {in_flight}
success_percent = 0
max_failures = {failures}
[[phase]]
percent = 1
[[phase]]
percent = 20
approval = true
[[phase]]
approval = true
"""

FULL = {"enroll": 100_000, "connections": 8000, "rates": [500, 1000, 2000], "seconds": 30, "storm": 6000, "storm_seconds": 60,
        "devices": 10_000, "interval": 30, "failures": 0.03, "pulls": 0.01, "max_in_flight": 1000, "max_failures": 100}
QUICK = {"enroll": 60, "connections": 40, "rates": [50, 100], "seconds": 1, "storm": 40, "storm_seconds": 1,
         "devices": 60, "interval": 0.5, "failures": 0.1, "pulls": 0.1, "max_in_flight": 8, "max_failures": 2}


def arguments(scenario, size, folder):
    if scenario == "enroll":
        return ["enroll", size["enroll"]]
    if scenario == "checkins":
        return ["checkins", size["connections"], "--rate", *size["rates"], "--seconds", size["seconds"]]
    if scenario == "storm":
        return ["storm", size["storm"], "--seconds", size["storm_seconds"]]
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(in_flight=size["max_in_flight"], failures=size["max_failures"]))
    return ["rollout", "demo", "--devices", size["devices"], "--plan", plan, "--interval", size["interval"],
            "--failures", size["failures"], "--pulls", size["pulls"]]


def measure(daemon, folder, scenario, size):
    done = subprocess.run([str(BIN / "quantfleet-loadgen"), "--data", str(daemon.data), "--identities",
                           str(folder / "identities.pem"), *map(str, arguments(scenario, size, folder))],
                          stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout else {"scenario": scenario, "errors": 1}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=SCENARIOS)
    parser.add_argument("--enroll", type=int)
    options = parser.parse_args()
    size = dict(QUICK if options.quick else FULL)
    if options.enroll:
        size["enroll"] = options.enroll
    wanted = ["enroll", *[s for s in SCENARIOS[1:] if not options.only or s in options.only]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemon is stopped then too
    reports = {}
    with tempfile.TemporaryDirectory(prefix="quantfleet-bench-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        folder = Path(folder)
        daemon = Daemon(folder / "daemon", "--log-level", "warning")
        try:
            daemon.start()
            daemon.cli("model", "import", "demo", DEMO)
            job = daemon.cli_json("job", "submit", "demo", "--class", "iot-int4")["name"]
            wait_for("the artifact", lambda: daemon.job(job)["done"], 120)
            for scenario in wanted:
                started = time.monotonic()
                reports[scenario] = measure(daemon, folder, scenario, size)
                print(f"{scenario}: {time.monotonic() - started:.0f} s, {reports[scenario]['errors']} errors",
                      file=sys.stderr, flush=True)
        finally:
            daemon.stop()
            if daemon.process:
                print(daemon.process.log(), end="", file=sys.stderr)
    print(json.dumps({"cores": os.cpu_count(), "size": size, "scenarios": reports}, indent=2))
    return any(report["errors"] for report in reports.values())


if __name__ == "__main__":
    sys.exit(main())
