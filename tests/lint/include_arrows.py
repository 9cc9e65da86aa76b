#!/usr/bin/python3
"""Fails on an #include that goes against the arrows of the design (docs/architecture.md).

A folder may include itself, and what its line below names. The longest matching folder counts.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MESSAGES = ["quantfleet/v1/manifest", "quantfleet/v1/trust", "quantfleet/v1/types"]
PROTO = ["quantfleet/v1"]
FORMATS = ["pipeline/format", "pipeline/model", "pipeline/tensor"]

ALLOWED = {
    "common/base": [],
    "common/trust": ["common/base"] + MESSAGES,
    "common/net": ["common/base", "common/trust"],  # docs/decisions/0001
    "pipeline/tensor": ["common/base"],
    "pipeline/model": ["common/base", "pipeline/tensor"],
    "pipeline/format": ["common/base", "pipeline/model", "pipeline/tensor", "quantfleet/v1/manifest"],
    "pipeline/artifact": ["common/base", "quantfleet/v1/manifest", "quantfleet/v1/trust"],
    "pipeline/stage": ["common/base", "pipeline/artifact", "quantfleet/v1/manifest"] + FORMATS,
    "text/template": ["common/base"],
    "agent/runtime": ["common/base", "pipeline/artifact", "pipeline/format/layout", "quantfleet/v1/manifest", "text/template", "pipeline/format/gguf", "pipeline/model", "pipeline/tensor"],
    "agent/platform": ["common/base"] + MESSAGES,
    "agent/identity": ["common", "agent/platform"] + PROTO,
    "agent/update": ["common", "agent/platform", "agent/identity", "agent/runtime", "pipeline/artifact"] + FORMATS + PROTO,
    "agent/serve": ["common", "text/template", "agent/platform", "agent/runtime", "pipeline/artifact"] + FORMATS + PROTO,
    "agent/external": ["common", "agent/serve", "agent/update", "quantfleet/v1/trust"],
    "agent/self": ["common", "agent/platform", "agent/identity", "agent/update", "agent/external", "pipeline/artifact",
                   "pipeline/format/elf"] + PROTO,
    "agent": ["agent", "common", "text", "pipeline/artifact"] + FORMATS + PROTO,
    "daemon": ["daemon", "agent/runtime", "pipeline", "common"] + PROTO,
    "cli": ["common", "pipeline", "text"] + PROTO,
}

# Only these speak gRPC, HTTP or Asio; the rest of the tree knows neither.
WIRE = ("grpc", "boost/asio", "boost/beast")
WIRE_ALLOWED = ["common/net", "daemon/api", "daemon/http", "agent/identity", "agent/update", "agent/serve", "agent/external", "cli"]
# Services are gRPC's; whoever includes them speaks it.
SERVICE_HEADER = re.compile(r"\.grpc\.pb\.h$")


def folder_of(path, table):
    best = None
    for folder in table:
        if str(path).startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def main():
    wrong, read = [], 0
    for path in sorted(p for top in ("common", "text", "pipeline", "agent", "daemon", "cli") for p in (ROOT / top).rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        read += 1
        here = path.relative_to(ROOT)
        owner = folder_of(here, ALLOWED)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
            if not match:
                continue
            target = match[1]
            at = f"{here}:{number}: includes {target}"
            if target.startswith(WIRE) or SERVICE_HEADER.search(target):
                if folder_of(here, WIRE_ALLOWED) is None:
                    wrong.append(f"{at}: only {', '.join(WIRE_ALLOWED)} speak gRPC and HTTP")
                elif here.suffix == ".h":
                    wrong.append(f"{at}: gRPC, Asio and Beast stay out of headers (6 to 11 s each to compile)")
            if target.split("/")[0] not in ("common", "text", "pipeline", "agent", "daemon", "cli", "quantfleet", "tests"):
                continue
            if not any(target.startswith(f) for f in [owner + "/"] + ALLOWED[owner]):
                wrong.append(f"{at}: {owner} may include only {', '.join(ALLOWED[owner]) or 'itself'}")
    if read == 0:
        wrong.append("no source file was found: the test looks at the wrong place")
    print("\n".join(wrong) if wrong else f"include arrows: {read} files, all arrows as designed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
