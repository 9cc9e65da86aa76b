"""GGUF files as a test needs them, without libraries: reads keys and tensors, writes other tensors."""
import struct
from dataclasses import dataclass

F32, F16, Q4_0, Q8_0, BF16 = 0, 1, 2, 8, 30
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34), BF16: (1, 2)}
ALIGNMENT = 32


@dataclass
class Tensor:
    shape: tuple  # rows last, as GGUF has it: (cols, rows)
    kind: int
    data: bytes

    def floats(self):
        """F32 values as bytes, each exact: a Q8_0 value is an F16 times eight bits, a Q4_0 value one times four."""
        if self.kind == F32:
            return self.data
        if self.kind == BF16:
            return b"".join(b"\0\0" + self.data[i:i + 2] for i in range(0, len(self.data), 2))
        if self.kind == F16:
            values = struct.unpack(f"<{len(self.data) // 2}e", self.data)
        elif self.kind == Q4_0:
            values = [d * ((byte >> shift & 15) - 8) for d, *codes in struct.iter_unpack("<e16B", self.data)
                      for shift in (0, 4) for byte in codes]
        else:
            assert self.kind == Q8_0
            values = [d * q for d, *codes in struct.iter_unpack("<e32b", self.data) for q in codes]
        return struct.pack(f"<{len(values)}f", *values)


class Gguf:
    def __init__(self, path):
        self.raw = path.read_bytes()
        self.at = 24
        magic, version, tensors, kvs = struct.unpack_from("<4sIQQ", self.raw)
        assert (magic, version) == (b"GGUF", 3)
        self.keys = {}
        for _ in range(kvs):
            key = self.string()
            self.keys[key] = self.value(self.number("I"))
        self.kvs, self.kv_count = self.raw[24:self.at], kvs
        infos = []
        for _ in range(tensors):
            name, dims = self.string(), self.number("I")
            shape = tuple(self.number("q") for _ in range(dims))
            infos.append((name, shape, self.number("I"), self.number("Q")))
        start = -(-self.at // ALIGNMENT) * ALIGNMENT
        self.tensors = {}
        for name, shape, kind, offset in infos:
            elements, size = BLOCKS[kind]
            for n in shape:
                size *= n
            self.tensors[name] = Tensor(shape, kind,
                                        self.raw[start + offset:start + offset + size // elements])

    def number(self, code):
        (value,) = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        size = self.number("Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode()

    def value(self, kind):
        codes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.number("I"), self.number("Q")
            return [self.value(element) for _ in range(count)]
        return self.number(codes[kind])

    def write(self, path, tensors):
        """This file's keys with other tensors."""
        infos, parts, size = b"", [], 0
        for name, t in tensors.items():
            infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(t.shape))
            infos += struct.pack(f"<{len(t.shape)}q", *t.shape) + struct.pack("<IQ", t.kind, size)
            parts += [t.data, b"\0" * (-len(t.data) % ALIGNMENT)]
            size += len(parts[-2]) + len(parts[-1])
        head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), self.kv_count) + self.kvs + infos
        path.write_bytes(b"".join([head, b"\0" * (-len(head) % ALIGNMENT), *parts]))
