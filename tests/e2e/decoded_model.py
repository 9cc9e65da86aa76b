"""Models whose weights are what a format or a type keeps of another model's, as F32 safetensors: our engine runs them
where it does not run the format or the type."""
import math
import shutil
import tempfile
from pathlib import Path

from harness import read_safetensors, run, write_safetensors


def write_values(source, folder, values):
    """A copy of the Hugging Face folder with these values of each tensor, the bytes of F32, in place of its weights."""
    shutil.copytree(source, folder)
    header, _ = read_safetensors(folder / "model.safetensors")
    header.pop("__metadata__", None)
    new, at = {}, 0
    for name, told in header.items():
        assert len(values[name]) == 4 * math.prod(told["shape"]), name
        new[name] = {"dtype": "F32", "shape": told["shape"], "data_offsets": [at, at + len(values[name])]}
        at += len(values[name])
    write_safetensors(folder / "model.safetensors", new, b"".join(values[name] for name in header))
    return folder


def widened(dtype, raw):
    """BF16 as F32."""
    assert dtype == "BF16", dtype
    out = bytearray(2 * len(raw))
    out[2::4], out[3::4] = raw[::2], raw[1::2]
    return bytes(out)


def kept(kind, cols, raw):
    """What `kind` keeps of rows of F32: encoded and decoded by codec_tool."""
    with tempfile.TemporaryDirectory(prefix="quantfleet-codec-") as folder:
        rows, blocks = Path(folder) / "rows.f32", Path(folder) / "blocks"
        rows.write_bytes(raw)
        run("codec_tool", "encode", kind, cols, rows, blocks)
        run("codec_tool", "decode", kind, cols, blocks, rows)
        return rows.read_bytes()


def decoded_model(source, folder, body, head, tied, others=None):
    """Writes the folder: matrices as `body` keeps them, the head (or the tied embedding) as `head` does, norms and
    biases as they are. `others` has the types of matrices that end so."""
    header, data = read_safetensors(source / "model.safetensors")
    rows = {}  # (type, columns): names and values of what is encoded together
    values = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        begin, end = told["data_offsets"]
        values[name] = widened(told["dtype"], data[begin:end])
        if len(told["shape"]) > 1:
            is_head = name == ("model.embed_tokens.weight" if tied else "lm_head.weight")
            kind = next((kind for end, kind in (others or {}).items() if name.endswith(end)), head if is_head else body)
            rows.setdefault((kind, told["shape"][1]), []).append(name)
    for (kind, cols), names in rows.items():
        together, at = kept(kind, cols, b"".join(values[name] for name in names)), 0
        for name in names:
            size = len(values[name])
            values[name], at = together[at:at + size], at + size
    return write_values(source, folder, values)
