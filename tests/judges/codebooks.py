#!/usr/bin/python3
"""Prints the codebooks of ggml's IQ1, IQ2 and IQ3 types as pipeline/tensor/codebooks.cc holds them: asks ggml's own decoder what
each code means, and writes down which points of the grid of all combinations of levels there are.

    tests/judges/codebooks.py LIBGGML_BASE
"""
import ctypes
import itertools
import struct
import sys

ONE = struct.pack("<e", 1)
# Of each codebook: a type that has it, its number of points and of coordinates, the levels, and a block (of scale 1) whose first
# point is number n and has no negative signs. What is decoded is the level times the factor, plus the shift.
BOOKS = {
    "kIq2XxsBits": ("iq2_xxs", 256, 8, (8, 25, 43), 1 / 8, 0, lambda n: ONE + bytes([n]) + bytes(63)),
    "kIq2XsBits": ("iq2_xs", 512, 8, (8, 25, 43), 1 / 8, 0, lambda n: ONE + struct.pack("<H", n) + bytes(70)),
    "kIq2SBits": ("iq2_s", 1024, 8, (8, 25, 43), 1 / 8, 0,
                  lambda n: ONE + bytes([n & 255]) + bytes(63) + bytes([n >> 8]) + bytes(15)),
    "kIq3XxsBits": ("iq3_xxs", 256, 4, (4, 12, 20, 28, 36, 44, 52, 62), 1 / 4, 0, lambda n: ONE + bytes([n]) + bytes(95)),
    "kIq3SBits": ("iq3_s", 512, 4, (1, 3, 5, 7, 9, 11, 13, 15), 1, 0,
                  lambda n: ONE + bytes([n & 255]) + bytes(63) + bytes([n >> 8]) + bytes(43)),
    "kIq1Bits": ("iq1_s", 2048, 8, (-1, 0, 1), 1, 1 / 8,
                 lambda n: ONE + bytes([n & 255]) + bytes(31) + struct.pack("<H", n >> 8) + bytes(14)),
}


def points(ggml, kind, count, width, factor, shift, block):
    for n in range(count):
        values = (ctypes.c_float * 256)()
        getattr(ggml, f"dequantize_row_{kind}")(block(n), values, ctypes.c_int64(256))
        yield tuple((value - shift) / factor for value in values[:width])


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    for name, (kind, count, width, levels, factor, shift, block) in BOOKS.items():
        found = list(points(ggml, kind, count, width, factor, shift, block))
        wanted = set(found)
        grid = [p[::-1] for p in itertools.product(levels, repeat=width)]  # the first coordinate is the fastest
        assert found == [p for p in grid if p in wanted], f"{kind}: its points are not in the order of the grid"
        bits = [p in wanted for p in grid]
        digits = "".join(f"{sum(bit << i for i, bit in enumerate(bits[at:at + 4])):x}" for at in range(0, len(bits), 4))
        print(f"constexpr std::string_view {name} =")
        print("\n".join(f'    "{digits[at:at + 92]}"' for at in range(0, len(digits), 92)) + ";")


if __name__ == "__main__":
    main()
