"""Writes weights as quantized checkpoints have them, and says what they stand for: straight from the definitions of
the formats, in exact arithmetic, for comparing with what quantfleet reads.

Each function takes a source of randomness, a weight's name ("x.weight"), its rows and columns, and returns the tensors,
{name: (dtype, shape, bytes)}, and the weight's rows, rounded once to F32.
"""
import struct

FP4 = (0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x):
    return struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", x))[0] & 0xFFFF0000))[0]


def floats(values, dtype):
    if dtype == "BF16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack(f"<{len(values)}" + {"F32": "f", "F16": "e"}[dtype], *values)


def scale(rng, dtype):
    """A scale that the type holds."""
    value = f32(rng.uniform(.001, .02))
    return {"F32": lambda: value, "BF16": lambda: bf16(value),
            "F16": lambda: struct.unpack("<e", struct.pack("<e", value))[0]}[dtype]()


def stream(codes, bits):
    """Codes of so many bits one after the other, the first in the lowest, as whole words of 32."""
    number = sum(code << i * bits for i, code in enumerate(codes))
    return number.to_bytes(-(-len(codes) * bits // 32) * 4, "little")


def down(columns, bits):
    """The same of each column, word by word: the first words of all, then the second ones."""
    words = [[c[i:i + 4] for i in range(0, len(c), 4)] for c in (stream(column, bits) for column in columns)]
    return b"".join(w for line in zip(*words) for w in line)


def awq_words(codes):
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return stream([codes[at + order[i]] for at in range(0, len(codes), 8) for i in range(8)], 4)


def e4m3(code):
    sign, exponent, fraction = -1 if code & 128 else 1, code >> 3 & 15, code & 7
    return sign * (fraction / 8 * 2 ** -6 if exponent == 0 else (1 + fraction / 8) * 2 ** (exponent - 7))


def small(rng):
    """A code of FP8 that is not one of its two NaN."""
    return rng.choice([c for c in range(256) if c & 127 != 127])


def fp8(rng, name, rows, cols, scales, dtype="F32", suffix="_scale"):
    """`scales`: "tensor", "channel", or (rows, columns) of a block."""
    codes = [[small(rng) for _ in range(cols)] for _ in range(rows)]
    tall, wide = {"tensor": (rows, cols), "channel": (1, cols)}.get(scales, scales)
    table = [[scale(rng, dtype) for _ in range(-(-cols // wide))] for _ in range(-(-rows // tall))]
    shape = {"tensor": [], "channel": [rows, 1]}.get(scales, [len(table), len(table[0])])
    tensors = {name: ("F8_E4M3", [rows, cols], b"".join(map(bytes, codes))),
               name + suffix: (dtype, shape, floats(sum(table, []), dtype))}
    return tensors, [tuple(f32(e4m3(c) * table[r // tall][k // wide]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def int8(rng, name, rows, cols, scales, points=False, dtype="BF16", order=False):
    """compressed-tensors' int-quantized. `scales`: "tensor", "channel", or the columns of a group."""
    group = scales if isinstance(scales, int) else cols
    groups = 1 if scales == "tensor" else -(-cols // group)
    lines = 1 if scales == "tensor" else rows
    codes = [[rng.randrange(-128, 128) for _ in range(cols)] for _ in range(rows)]
    table = [[scale(rng, dtype) for _ in range(groups)] for _ in range(lines)]
    zeros = [[rng.randrange(-128, 128) if points else 0 for _ in range(groups)] for _ in range(lines)]
    of = [k // group for k in range(cols)]
    shape = [1] if scales == "tensor" else [rows, groups]
    tensors = {name: ("I8", [rows, cols], struct.pack(f"<{rows * cols}b", *sum(codes, []))),
               name + "_scale": (dtype, shape, floats(sum(table, []), dtype))}
    if points:
        tensors[name + "_zero_point"] = ("I8", shape, struct.pack(f"<{lines * groups}b", *sum(zeros, [])))
    if order:
        rng.shuffle(of)
        tensors[name + "_g_idx"] = ("I32", [cols], struct.pack(f"<{cols}i", *of))
    return tensors, [tuple(f32((c - zeros[r % lines][of[k]]) * table[r % lines][of[k]]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def compressed(rng, name, rows, cols, bits, group, dtype="BF16", points=False, order=False):
    group = group or cols
    groups = -(-cols // group)
    codes = [[rng.randrange(1 << bits) for _ in range(cols)] for _ in range(rows)]
    table = [[scale(rng, dtype) for _ in range(groups)] for _ in range(rows)]
    zeros = [[rng.randrange(1 << bits) if points else 1 << bits - 1 for _ in range(groups)] for _ in range(rows)]
    of = [k // group for k in range(cols)]
    tensors = {name + "_packed": ("I32", [rows, -(-cols * bits // 32)], b"".join(stream(row, bits) for row in codes)),
               name + "_scale": (dtype, [rows, groups], floats(sum(table, []), dtype)),
               name + "_shape": ("I64", [2], struct.pack("<2q", rows, cols))}
    if points:
        tensors[name + "_zero_point"] = ("I32", [-(-rows * bits // 32), groups],
                                         down([[row[g] for row in zeros] for g in range(groups)], bits))
    if order:
        rng.shuffle(of)
        tensors[name + "_g_idx"] = ("I32", [cols], struct.pack(f"<{cols}i", *of))
    return tensors, [tuple(f32((c - zeros[r][of[k]]) * table[r][of[k]]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def gptq(rng, name, rows, cols, bits, group, order=False, first_version=True, dtype="F16"):
    module, groups = name.removesuffix(".weight"), cols // group
    codes = [[rng.randrange(1 << bits) for _ in range(cols)] for _ in range(rows)]
    table = [[scale(rng, dtype) for _ in range(rows)] for _ in range(groups)]
    zeros = [[rng.randrange(1 << bits) for _ in range(rows)] for _ in range(groups)]
    of = [k // group for k in range(cols)]
    if order:
        rng.shuffle(of)
    stored = [[(z - 1) % (1 << bits) if first_version else z for z in line] for line in zeros]
    tensors = {module + ".qweight": ("I32", [cols * bits // 32, rows], down(codes, bits)),
               module + ".qzeros": ("I32", [groups, rows * bits // 32], b"".join(stream(line, bits) for line in stored)),
               module + ".scales": (dtype, [groups, rows], floats(sum(table, []), dtype)),
               module + ".g_idx": ("I32", [cols], struct.pack(f"<{cols}i", *of))}
    return tensors, [tuple(f32((c - zeros[of[k]][r]) * table[of[k]][r]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def awq(rng, name, rows, cols, group):
    module, groups = name.removesuffix(".weight"), cols // group
    codes = [[rng.randrange(16) for _ in range(cols)] for _ in range(rows)]
    table = [[scale(rng, "F16") for _ in range(rows)] for _ in range(groups)]
    zeros = [[rng.randrange(16) for _ in range(rows)] for _ in range(groups)]
    tensors = {module + ".qweight": ("I32", [cols, rows // 8], b"".join(awq_words(line) for line in zip(*codes))),
               module + ".qzeros": ("I32", [groups, rows // 8], b"".join(awq_words(line) for line in zeros)),
               module + ".scales": ("F16", [groups, rows], floats(sum(table, []), "F16"))}
    return tensors, [tuple(f32((c - zeros[k // group][r]) * table[k // group][r]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def mlx(rng, name, rows, cols, bits, group, dtype="BF16"):
    module, groups = name.removesuffix(".weight"), cols // group
    codes = [[rng.randrange(1 << bits) for _ in range(cols)] for _ in range(rows)]
    table = [[scale(rng, dtype) for _ in range(groups)] for _ in range(rows)]
    biases = [[-8 * scale(rng, dtype) for _ in range(groups)] for _ in range(rows)]
    tensors = {name: ("U32", [rows, cols * bits // 32], b"".join(stream(row, bits) for row in codes)),
               module + ".scales": (dtype, [rows, groups], floats(sum(table, []), dtype)),
               module + ".biases": (dtype, [rows, groups], floats(sum(biases, []), dtype))}
    return tensors, [tuple(f32(c * table[r][k // group] + biases[r][k // group]) for k, c in enumerate(row))
                     for r, row in enumerate(codes)]


def mxfp4(rng, rows, cols):
    """Codes as a stream of bytes, exponents of groups of 32, and the values."""
    codes = [[rng.randrange(16) for _ in range(cols)] for _ in range(rows)]
    exponents = [[rng.randrange(115, 125) for _ in range(cols // 32)] for _ in range(rows)]
    return (b"".join(stream(row, 4) for row in codes), b"".join(map(bytes, exponents)),
            [tuple(FP4[c] * 2. ** (exponents[r][k // 32] - 127) for k, c in enumerate(row))
             for r, row in enumerate(codes)])
