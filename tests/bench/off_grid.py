#!/usr/bin/env python3
"""Moves weights that were published in few bits off their old grid, by noise: quantized again as they are, they would find the
very grid that they come from, and every figure would be too good.

usage: off_grid.py IN.gguf OUT.gguf [SEED]

IN.gguf has F16 weights (`quantfleet quantize --target gguf:f16`). Each block of 32 gets uniform noise of one step, half up and
half down; the step is the least distance of two of its values. Needs numpy."""
import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from gguf_io import F16, Gguf  # noqa: E402

BLOCK = 32


def moved(values, rng):
    blocks = values.astype(numpy.float32).reshape(-1, BLOCK)
    apart = numpy.diff(numpy.sort(blocks, 1), axis=1)
    step = numpy.where(apart > 0, apart, numpy.inf).min(1, keepdims=True)
    step[numpy.isinf(step)] = 0
    return (blocks + rng.uniform(-.5, .5, blocks.shape) * step).astype("<f2")


def main(given, out, seed=1):
    gguf, rng = Gguf(Path(given)), numpy.random.default_rng(int(seed))
    for tensor in gguf.tensors.values():
        if tensor.kind == F16 and len(tensor.shape) > 1:
            tensor.data = moved(numpy.frombuffer(tensor.data, "<f2"), rng).tobytes()
    gguf.write(Path(out), gguf.tensors)


main(*sys.argv[1:])
