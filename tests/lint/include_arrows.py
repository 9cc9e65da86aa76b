#!/usr/bin/python3
"""Fails on an #include that goes against the arrows of the design (docs/architecture.md).

The arrows are CMake's own: build/<preset>/rooms.txt, written when a build is configured, has a line for each library with its
folder and the libraries that it links. A folder may include itself and the folders of the libraries that it links *itself*: what
it gets through another one is not its own to use.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("common", "text", "pipeline", "engine", "agent", "daemon", "cli")

# Only these libraries' folders speak gRPC, HTTP or Asio; the rest of the tree knows neither.
WIRE = ("grpc", "boost/asio", "boost/beast")
# Headers that show Asio to the .cc files of their own folder, and to nobody else.
PRIVATE = "_asio.h"
# Services are gRPC's; whoever includes them speaks it.
SERVICE_HEADER = re.compile(r"\.grpc\.pb\.h$")
WIRE_LIBRARIES = ("PkgConfig::grpcpp", "Boost::headers", "qf_services", "qf_net")


def read_rooms(path):
    """Of each library its folder, and what it links itself, as configured."""
    folders, links = {}, {}
    for line in path.read_text().splitlines():
        name, folder, linked = line.split("|")
        folders[name], links[name] = folder, [item for item in linked.split(";") if item]
    return folders, links


def cycle_in(links):
    """The libraries of a cycle, first and last the same; None where there is none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done or name not in links:
            return None
        path.append(name)
        found = next(filter(None, (visit(linked) for linked in links[name])), None)
        path.pop()
        done.add(name)
        return found

    return next(filter(None, (visit(name) for name in links)), None)


def included(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line):
            yield number, match[1]


def wrong_arrows(root, folders, links):
    """All wrong includes as lines for people, and how many files were read."""
    owners = {folder: name for name, folder in folders.items()}
    wrong, read = [], 0
    for path in sorted(p for top in TOPS for p in (root / top).rglob("*") if p.suffix in (".h", ".cc")):
        read += 1
        here = path.relative_to(root)
        owner = owners.get(str(here.parent))
        if owner is None:
            wrong.append(f"{here}: no library of CMake's is made of this folder")
            continue
        allowed = [folders[linked] for linked in links[owner] if linked in folders]
        for number, target in included(path):
            at = f"{here}:{number}: includes {target}"
            if target.startswith(WIRE) or SERVICE_HEADER.search(target):
                if not any(linked in WIRE_LIBRARIES for linked in links[owner]):
                    wrong.append(f"{at}: {owner} links none of {', '.join(WIRE_LIBRARIES)}")
                elif here.suffix == ".h" and not here.name.endswith(PRIVATE):
                    wrong.append(f"{at}: gRPC, Asio and Beast stay out of headers (6 to 11 s each to compile)")
            folder, _, header = target.rpartition("/")
            if header.endswith(PRIVATE):
                if folder != str(here.parent):
                    wrong.append(f"{at}: it is private to {folder}")
                elif here.suffix == ".h" and not here.name.endswith(PRIVATE):
                    wrong.append(f"{at}: that would show it to other folders")
            if folder == "quantfleet/v1":
                needed = "qf_services" if SERVICE_HEADER.search(header) else "qf_proto"
                if needed not in links[owner] and not (needed == "qf_proto" and "qf_services" in links[owner]):
                    wrong.append(f"{at}: {owner} does not link {needed}")
            elif target.split("/")[0] in TOPS + ("tests",) and folder != str(here.parent) and folder not in allowed:
                wrong.append(f"{at}: {owner} may include only {', '.join(sorted(allowed)) or 'itself'}; "
                             f"what else it needs it has to link itself")
    return wrong, read


def newest_rooms():
    """Of the build that was configured last; None where none is."""
    return max(ROOT.glob("build/*/rooms.txt"), key=lambda p: p.stat().st_mtime, default=None)


def main():
    rooms = newest_rooms()
    if rooms is None:
        print("include arrows: no build is configured; run `cmake --preset release` first")
        return 1
    folders, links = read_rooms(rooms)
    wrong, read = wrong_arrows(ROOT, folders, links)
    if cycle := cycle_in({name: [l for l in linked if l in folders] for name, linked in links.items()}):
        wrong.append(f"{rooms}: libraries link each other in a circle: {' -> '.join(cycle)}")
    if read == 0:
        wrong.append("no source file was found: the test looks at the wrong place")
    print("\n".join(wrong) if wrong else f"include arrows: {read} files, all arrows as designed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
