#!/usr/bin/env python3
"""Guides and unit files name the same folders and files: each path below /etc/quantfleet and /var/lib/quantfleet* in a page
stands in a unit of deploy/systemd, or lies below one that does."""
import re
import sys
from pathlib import Path

PATH = re.compile(r"/(?:etc/quantfleet|var/lib/quantfleet[\w-]*)(?:/[\w.-]*[\w-])*")


def named(text):
    return set(PATH.findall(text))


def paths_of_units(root):
    found = set()
    for unit in sorted((root / "deploy/systemd").glob("*.service")):
        text = unit.read_text()
        found |= named(text) | {f"/var/lib/{name}" for name in re.findall(r"^StateDirectory=(\S+)$", text, re.M)}
    return found


def wrong_paths(root):
    units, wrong = paths_of_units(root), []
    for page in [*sorted(root.glob("docs/**/*.md")), root / "README.md"]:
        if not page.exists():
            continue
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for path in sorted(named(line)):
                if path not in units and not any(path.startswith(unit + "/") for unit in units):
                    wrong.append(f"{page.relative_to(root)}:{number}: {path} is in no unit of deploy/systemd")
    return wrong


if __name__ == "__main__":
    problems = wrong_paths(Path(__file__).resolve().parents[2])
    print("\n".join(problems) or "service paths: guides and unit files agree")
    sys.exit(bool(problems))
