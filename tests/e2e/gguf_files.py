"""Reads and writes small GGUF files (docs/formats/gguf.md), for comparing tensors and for making importance files."""
import struct
from pathlib import Path

TYPES = {0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
         7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110), 12: ("q4_k", 256, 144),
         13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110),
         23: ("iq4_xs", 256, 136), 30: ("bf16", 1, 2), 39: ("mxfp4", 32, 17)}
NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
WIDTHS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def number(self, code):
        (value,) = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self):
        n = self.number("Q")
        self.at += n
        return self.raw[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.number(WIDTHS[kind])
        element, count = self.number("I"), self.number("Q")
        return [self.value(element) for _ in range(count)]


def split_gguf(path, folder, count):
    """The file as llama-gguf-split splits it: all keys in the first of `count` files, about as many tensors in each."""
    raw = Path(path).read_bytes()
    reader = Reader(raw)
    reader.at = 8
    tensors, kvs = reader.number("Q"), reader.number("Q")
    keys_at = reader.at
    for _ in range(kvs):
        reader.text()
        reader.value(reader.number("I"))
    keys, infos = raw[keys_at:reader.at], []
    for _ in range(tensors):
        at = reader.at
        reader.text()
        for _ in range(reader.number("I")):
            reader.number("Q")
        reader.number("I")
        infos.append((raw[at:reader.at], reader.number("Q")))
    begin = -(-reader.at // 32) * 32
    ends = [offset for _, offset in infos[1:]] + [len(raw) - begin]
    paths = []
    for shard in range(count):
        first, last = tensors * shard // count, tensors * (shard + 1) // count
        head = b"GGUF" + struct.pack("<IQQ", 3, last - first, kvs + 3 if shard == 0 else 3)
        head += keys if shard == 0 else b""
        for key, kind, code, value in (("split.no", 2, "H", shard), ("split.count", 2, "H", count),
                                       ("split.tensors.count", 5, "i", tensors)):
            head += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I" + code, kind, value)
        for info, offset in infos[first:last]:
            head += info + struct.pack("<Q", offset - infos[first][1])
        data = raw[begin + infos[first][1]:begin + ends[last - 1]]
        paths.append(Path(folder) / f"m-{shard + 1:05}-of-{count:05}.gguf")
        paths[-1].write_bytes(head + bytes(-len(head) % 32) + data)
    return paths


def read_gguf(path):
    """(keys, tensors): tensors by name as (type's name, dims fastest first, bytes)."""
    reader = Reader(Path(path).read_bytes())
    assert reader.raw[:4] == b"GGUF", path
    reader.at = 4
    assert reader.number("I") == 3
    tensors, kvs = reader.number("Q"), reader.number("Q")
    keys = {}
    for _ in range(kvs):
        key = reader.text()
        keys[key] = reader.value(reader.number("I"))
    infos = []
    for _ in range(tensors):
        name = reader.text()
        dims = [reader.number("Q") for _ in range(reader.number("I"))]
        infos.append((name, dims, reader.number("I"), reader.number("Q")))
    begin = -(-reader.at // 32) * 32
    out = {}
    for name, dims, number, offset in infos:
        kind, elements, size = TYPES[number]
        count = 1
        for d in dims:
            count *= d
        out[name] = (kind, dims, reader.raw[begin + offset:begin + offset + count // elements * size])
    return keys, out


def _text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def write_second_moments(path, entries, shared=()):
    """What `quantfleet calibrate --second-moments` writes; entries by tensor: the lower triangle by rows."""
    kvs = [_text("general.type") + struct.pack("<I", 8) + _text("second_moments"),
           _text("quantfleet.shared_inputs") + struct.pack("<IIQ", 9, 8, len(shared)) + b"".join(map(_text, shared))]
    infos, data = b"", b""
    for name, values in entries.items():
        infos += _text(name + ".in_xx") + struct.pack("<IQIQ", 1, len(values), 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(kvs)) + b"".join(kvs) + infos
    Path(path).write_bytes(head + bytes(-len(head) % 32) + data)


def write_importance(path, entries, keys=True, kind="imatrix"):
    """An importance file as llama-imatrix writes it; entries by tensor: (sums of squares, counts)."""
    kvs = [_text("general.type") + struct.pack("<I", 8) + _text(kind)]
    if keys:
        kvs.append(_text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + _text("some-text.txt"))
        kvs.append(_text("imatrix.chunk_count") + struct.pack("<II", 4, 3))
        kvs.append(_text("imatrix.chunk_size") + struct.pack("<II", 4, 512))
    infos, data = b"", b""
    for name, (sums, counts) in entries.items():
        for suffix, values, dims in ((".in_sum2", sums, (len(sums), 1)), (".counts", counts, (1, len(counts)))):
            infos += _text(name + suffix) + struct.pack("<IQQIQ", 2, *dims, 0, len(data))
            data += struct.pack(f"<{len(values)}f", *values)
            data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(entries), len(kvs)) + b"".join(kvs) + infos
    Path(path).write_bytes(head + bytes(-len(head) % 32) + data)
