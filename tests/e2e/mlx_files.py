"""Reads an MLX folder from its layout alone (docs/formats/mlx.md), as mlx-lm loads it: config.json, the index, the
shards; dequantizes modules in plain Python. And quantizes as mlx.core.quantize does. Shares nothing with the writer."""
import json
import struct
from array import array
from pathlib import Path

WIDTHS = {"U32": 4, "F16": 2, "BF16": 2}


def halves(raw):
    return struct.unpack(f"<{len(raw) // 2}e", raw)


def quantized(values, group, bits):
    """(scale, bias, codes) of each group of so many F32 values, as mlx.core.quantize finds them: every step in F32, codes
    from the scale and bias before those are rounded to F16. The end of larger magnitude is the bias, and the scale is
    such that 0 is a whole number of steps from it."""
    def f32(*numbers):
        return array("f", numbers)
    most, out = (1 << bits) - 1, []
    for at in range(0, len(values), group):
        ws = array("f", values[at:at + group])
        low, high = min(ws), max(ws)
        scale = max(f32(f32(high - low)[0] / most)[0], f32(1e-7)[0])
        edge, scale = (low, scale) if abs(low) > abs(high) else (high, -scale)
        steps = round(f32(edge / scale)[0])
        bias = edge if steps else 0.0
        scale = f32(edge / steps)[0] if steps else scale
        offsets = f32(*(w - bias for w in ws))
        codes = [min(max(round(q), 0), most) for q in f32(*(o / scale for o in offsets))]
        out.append((*halves(struct.pack("<2e", scale, bias)), codes))
    return out


class MlxFolder:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.config = json.loads((self.folder / "config.json").read_text())
        index = json.loads((self.folder / "model.safetensors.index.json").read_text())
        self.metadata, self.weight_map = index["metadata"], index["weight_map"]
        self.shards = sorted(set(self.weight_map.values()))
        self.tensors = {}  # name: (dtype, shape, bytes)
        for shard in self.shards:
            self._read(shard)
        if set(self.tensors) != set(self.weight_map):
            raise ValueError("index and shards name different tensors")
        if self.metadata["total_size"] != sum(len(data) for _, _, data in self.tensors.values()):
            raise ValueError("total_size is not the size of the tensors")

    def _read(self, shard):
        raw = (self.folder / shard).read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        header = json.loads(raw[8:8 + length])
        if header.pop("__metadata__") != {"format": "mlx"}:
            raise ValueError(f"{shard}: metadata does not say mlx")
        at = 0  # the reference reader wants neither holes nor overlaps
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            size = WIDTHS[entry["dtype"]]
            for dim in entry["shape"]:
                size *= dim
            if begin != at or end - begin != size or begin % WIDTHS[entry["dtype"]]:
                raise ValueError(f"{shard}: {name} lies at {begin}..{end}, {size} bytes behind {at} are due")
            if self.weight_map[name] != shard:
                raise ValueError(f"{name} is in {shard}, the index says {self.weight_map[name]}")
            at = end
            self.tensors[name] = (entry["dtype"], entry["shape"], raw[8 + length + begin:8 + length + end])
        if 8 + length + at != len(raw):
            raise ValueError(f"{shard}: {len(raw) - 8 - length - at} bytes belong to nothing")

    def quantization(self, path):
        """(group size, bits) of a module, as mlx-lm finds them: its own entry, else the common one."""
        common = self.config["quantization"]
        if self.config["quantization_config"] != common or common["mode"] != "affine":
            raise ValueError("the two quantization blocks differ, or are not affine")
        own = common.get(path, common)
        return own["group_size"], own["bits"]

    def groups(self, path):
        """(scale, bias, codes) of each group of a quantized module, row by row."""
        dtype, shape, data = self.tensors[path + ".weight"]
        group, bits = self.quantization(path)
        if dtype != "U32" or group not in (32, 64, 128):
            raise ValueError(f"{path} has scales for groups of {group} and is {dtype}")
        cols = shape[-1] * 32 // bits
        for part in (".scales", ".biases"):
            if self.tensors[path + part][:2] != ("F16", [*shape[:-1], cols // group]):
                raise ValueError(f"{path}{part} is {self.tensors[path + part][:2]}")
        scales, biases = (halves(self.tensors[path + part][2]) for part in (".scales", ".biases"))
        words, per_word = struct.unpack(f"<{len(data) // 4}I", data), 32 // bits
        mask, shifts, each = (1 << bits) - 1, range(0, 32, bits), group // per_word
        return [(scales[g], biases[g], [word >> s & mask for word in words[g * each:g * each + each] for s in shifts])
                for g in range(len(scales))]

    def rows(self, path):
        """The module's weight as rows of floats; a vector is one row."""
        dtype, shape, data = self.tensors[path + ".weight"]
        cols = shape[-1]
        if path + ".scales" not in self.tensors:
            if dtype == "F16":
                values = halves(data)
            else:
                values = struct.unpack(f"<{len(data) // 2}f",
                                       b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)))
            return [values[i:i + cols] for i in range(0, len(values), cols)]
        cols = cols * 32 // self.quantization(path)[1]
        values = [scale * code + bias for scale, bias, codes in self.groups(path) for code in codes]
        return [tuple(values[i:i + cols]) for i in range(0, len(values), cols)]
