"""GGUF files as a test needs them, without libraries: reads tensors, writes a file again with other ones."""
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
        """F32 values as bytes, each exact: a Q8_0 value is an F16 times eight bits."""
        if self.kind == F32:
            return self.data
        if self.kind == BF16:
            return b"".join(b"\0\0" + self.data[i:i + 2] for i in range(0, len(self.data), 2))
        if self.kind == F16:
            values = struct.unpack(f"<{len(self.data) // 2}e", self.data)
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
        for _ in range(kvs):
            self.string()
            self.skip(self.number("I"))
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
            self.tensors[name] = Tensor(shape, kind, self.raw[start + offset:start + offset + size // elements])

    def number(self, code):
        (value,) = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        size = self.number("Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode()

    def skip(self, kind):
        sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
        if kind == 8:
            self.string()
        elif kind == 9:
            element, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip(element)
        else:
            self.at += sizes[kind]

    def write(self, path, tensors):
        """This file's keys with other tensors."""
        infos, data = b"", b""
        for name, t in tensors.items():
            infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(t.shape))
            infos += struct.pack(f"<{len(t.shape)}q", *t.shape) + struct.pack("<IQ", t.kind, len(data))
            data += t.data + b"\0" * (-len(t.data) % ALIGNMENT)
        head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), self.kv_count) + self.kvs + infos
        path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)
