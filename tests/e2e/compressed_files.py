"""Reads a folder of safetensors as transformers and vLLM do, from the layouts alone (docs/formats/safetensors.md): floats, and
compressed-tensors' pack-quantized and int-quantized weights, in plain Python. Shares nothing with the writer."""
import json
import re
import struct
from pathlib import Path

WIDTHS = {"I64": 8, "I32": 4, "F32": 4, "F16": 2, "BF16": 2, "I8": 1}


def floats(dtype, raw):
    if dtype == "BF16":
        return struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))
    return struct.unpack(f"<{len(raw) // WIDTHS[dtype]}" + {"F16": "e", "F32": "f"}[dtype], raw)


class HfFolder:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.config = json.loads((self.folder / "config.json").read_text())
        self.tensors, index = {}, self.folder / "model.safetensors.index.json"  # name: (dtype, shape, bytes)
        where = json.loads(index.read_text())["weight_map"] if index.exists() else {}
        for shard in sorted(set(where.values())) or ["model.safetensors"]:
            names = self._read(shard)
            if where and names != {name for name, at in where.items() if at == shard}:
                raise ValueError(f"{shard} has other tensors than the index says")
        self.how = self.config.get("quantization_config")

    def _read(self, shard):
        raw = (self.folder / shard).read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        header, at = json.loads(raw[8:8 + length]), 0
        if header.pop("__metadata__") != {"format": "pt"}:
            raise ValueError(f"{shard}: metadata does not say pt")
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            size = width = WIDTHS[entry["dtype"]]
            for dim in entry["shape"]:
                size *= dim
            if begin != at or end - begin != size or begin % width or name in self.tensors:
                raise ValueError(f"{shard}: {name} lies at {begin}..{end}, {size} bytes behind {at} are due")
            at = end
            self.tensors[name] = entry["dtype"], entry["shape"], raw[8 + length + begin:8 + length + end]
        if 8 + length + at != len(raw):
            raise ValueError(f"{shard}: {len(raw) - 8 - length - at} bytes belong to nothing")
        return set(header)

    def scheme(self, module):
        """The config group of a product, as compressed-tensors finds it: by name, else by class; None: not quantized."""
        if not self.how or any(module == i or i.startswith("re:") and re.match(i[3:], module) for i in self.how["ignore"]):
            return None
        groups = self.how["config_groups"].values()
        for targets in ([module], ["Linear"]):
            for group in groups:
                if set(targets) & set(group["targets"]):
                    return group
        return None

    def rows(self, name):
        """The weight's rows as floats; a vector is one row."""
        module = name.removesuffix(".weight")
        scheme = self.scheme(module) if name + "_scale" in self.tensors else None
        if scheme is None:
            dtype, shape, raw = self.tensors[name]
            values = floats(dtype, raw)
            return [values[i:i + shape[-1]] for i in range(0, len(values), shape[-1])]
        weights = scheme["weights"]
        kind, (height, groups), raw = self.tensors[name + "_scale"]
        scales = floats(kind, raw)
        if (scheme["format"], weights["num_bits"]) == ("int-quantized", 8):
            dtype, (_, cols), raw = self.tensors[name]
            if dtype != "I8" or weights["strategy"] != "channel" or groups != 1:
                raise ValueError(f"{name}: {dtype}, {weights}")
            codes = struct.unpack(f"<{len(raw)}b", raw)
        else:
            dtype, shape, raw = self.tensors[name + "_packed"]
            rows, cols = struct.unpack("<2q", self.tensors[name + "_shape"][2])
            bits = weights["num_bits"]
            if dtype != "I32" or shape != [rows, cols * bits // 32] or groups != cols // weights["group_size"]:
                raise ValueError(f"{name}: {dtype} {shape}, {weights}")
            codes = [(word >> at & (1 << bits) - 1) - (1 << bits - 1) for word in struct.unpack(f"<{len(raw) // 4}I", raw)
                     for at in range(0, 32, bits)]
        each = cols // groups
        values = [scales[i // each] * code for i, code in enumerate(codes)]
        return [tuple(values[r * cols:r * cols + cols]) for r in range(height)]

    def weights(self):
        """Names of all weights and biases."""
        return {re.sub(r"_(scale|packed|shape)$", "", name) for name in self.tensors}
