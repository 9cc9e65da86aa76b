#!/usr/bin/env python3
"""torch from PyPI is linked with CUDA's libraries, which are several gigabytes. Makes empty ones in their place, with the
symbols and versions that torch names: it then imports, and computes on the CPU.

    without_cuda.py SITE-PACKAGES/torch/lib FOLDER        (FOLDER then goes into LD_LIBRARY_PATH)
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(torch, out):
    out.mkdir(parents=True, exist_ok=True)
    needed, wanted, defined, file_of = set(), {}, set(), {}
    for library in torch.glob("*.so*"):
        needed |= set(re.findall(r"NEEDED.*\[(.*)\]", said("readelf", "-d", library)))
        file = None
        for line in said("readelf", "-VW", library).splitlines():
            if found := re.search(r"File: (\S+)", line):
                file = found[1]
            elif found := re.search(r"Name: (\S+)\s+Flags", line):
                file_of[found[1]] = file
        for line in said("nm", "-D", library).splitlines():
            name, _, version = line.split()[-1].partition("@")
            if " U " in line:
                wanted[name] = version.strip("@")
            else:
                defined.add(name)
    missing = sorted(name for name in needed if re.match(r"lib(cu|nv|nccl)", name) and not (torch / name).exists())
    symbols = {name: {} for name in missing}
    for name in wanted.keys() - defined:
        file = file_of.get(wanted[name], missing[0] if re.match(r"(cu[a-zA-Z]|nccl|nvtx|nvrtc|nvshmem)", name) else None)
        if file in symbols:
            symbols[file].setdefault(wanted[name], []).append(name)
    with tempfile.TemporaryDirectory() as scratch:
        source, versions = Path(scratch, "empty.c"), Path(scratch, "versions.map")
        for name in missing:
            source.write_text("int none;\n" + "".join(f"int {s}() {{ return 999; }}\n" for names in symbols[name].values()
                                                      for s in names))
            nodes = {v for v in symbols[name] if v} | {v for v, file in file_of.items() if file == name}
            versions.write_text("".join(f"{v} {{ global: {' '.join(s + ';' for s in symbols[name].get(v, ()))} }};\n"
                                        for v in sorted(nodes)))
            subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", out / name, source, f"-Wl,-soname,{name}",
                            *([f"-Wl,--version-script={versions}"] if nodes else [])], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
