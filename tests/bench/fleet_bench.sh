#!/usr/bin/env bash
# A fleet's load on one daemon, both on this machine: enrollment, check-ins over many live connections, a storm of new ones, and a
# rollout with gates and failures. JSON on stdout; nothing is left running. Figures and aims: docs/measured.md.
#
# usage: tests/bench/fleet_bench.sh [--quick] [--only SCENARIO]... [--enroll N]
#   --quick          a few devices and seconds, to see that everything works
#   --only SCENARIO  enroll, checkins, storm or rollout; may be repeated (enroll always runs)
#   --enroll N        so many devices in place of 100,000
# 10,000 connections need as many open files, for the daemon and for the generator: `ulimit -Hn` at least 11,000.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deploy/install-deps.sh --test
cmake --preset release >/dev/null
cmake --build --preset release --target quantfleetd quantfleet quantfleet-loadgen >&2
exec python3 tests/bench/fleet_bench.py "$@"
