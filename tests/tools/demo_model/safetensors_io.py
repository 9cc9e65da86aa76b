"""Reads and writes safetensors by hand: u64 header length, JSON header, tensors back to back."""

import json
import struct

import numpy
import torch

_BITS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_NAMES = {dtype: name for name, dtype in _BITS.items()}


def save(path, tensors):
    """Writes {name: tensor}, sorted by name: the same tensors give the same file."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        integers = torch.int32 if tensor.dtype == torch.float32 else torch.int16
        blob = tensor.view(integers).numpy().tobytes()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format's own padding: the data starts 8-aligned
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for blob in blobs:
            out.write(blob)


def load(path):
    """{name: tensor} in the dtypes of the file."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        dtype = _BITS[info["dtype"]]
        integers = numpy.int32 if dtype == torch.float32 else numpy.int16
        array = numpy.frombuffer(data[begin:end], integers).copy()
        tensors[name] = torch.from_numpy(array).view(dtype).view(info["shape"])
    return tensors
