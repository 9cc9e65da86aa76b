"""Exact values of stored weights under Hugging Face's names, for comparing formats: of a GGUF, and of an ONNX folder."""
import struct
from pathlib import Path

from gguf_files import read_gguf

MODULES = {"attn_qkv": "self_attn.qkv_proj", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
           "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
           "attn_output": "self_attn.o_proj", "attn_norm": "input_layernorm",
           "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}
INTERLEAVED = ("llama", "granite", "smollm3")  # whose rows of q and k GGUF has in pairs
PHI2 = {"attn_output": "self_attn.dense", "ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2",
        "output_norm": "model.final_layernorm"}
GEMMA2 = {"post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
          "post_ffw_norm": "post_feedforward_layernorm"}
QWEN3_MOE = {"ffn_gate_inp": "mlp.gate", **{f"ffn_{part}_exps": f"mlp.switch_mlp.{part}_proj" for part in ("gate", "up", "down")}}
PHIMOE = {name: path.replace("mlp.", "block_sparse_moe.", 1) for name, path in QWEN3_MOE.items()}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def module_of(name, architecture):
    """(module's path, "weight" or "bias") of a GGUF tensor."""
    parts = name.split(".")
    own = {"phi3": {"ffn_up": "mlp.gate_up_proj"}, "phi2": PHI2, "gemma2": GEMMA2, "gemma3": GEMMA2,
           "qwen3moe": QWEN3_MOE, "phimoe": PHIMOE}.get(architecture, {})
    if parts[0] != "blk":
        return {**OUTSIDE, **own}[parts[0]], parts[1]
    module = {**MODULES, **own}[parts[2]]
    return f"model.layers.{parts[1]}.{module}", parts[3]


def decoded(kind, dims, data):
    """Rows of exact values."""
    if kind == "f32":
        values = struct.unpack(f"<{len(data) // 4}f", data)
    elif kind == "f16":
        values = struct.unpack(f"<{len(data) // 2}e", data)
    elif kind == "bf16":
        values = struct.unpack(f"<{len(data) // 2}f",
                               b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)))
    elif kind == "q8_0":
        values = [d * q for d, *codes in struct.iter_unpack("<e32b", data) for q in codes]
    else:
        assert kind == "q4_0", kind
        values = []
        for d, *codes in struct.iter_unpack("<e16B", data):
            values += [d * ((c & 15) - 8) for c in codes] + [d * ((c >> 4) - 8) for c in codes]
    return [tuple(values[i:i + dims[0]]) for i in range(0, len(values), dims[0])]


def straightened(rows, head):
    """From GGUF's interleaved rows of each head back to halves."""
    return [rows[at + 2 * i + h] for at in range(0, len(rows), head) for h in (0, 1) for i in range(head // 2)]


def gguf_rows(path):
    """{"model.norm.weight": rows} of a GGUF, in Hugging Face's order of rows; Phi-3's q, k, v and gate, up are fused."""
    keys, tensors = read_gguf(path)
    architecture = keys["general.architecture"]
    out = {}
    for name, (kind, dims, data) in tensors.items():
        if name.startswith("rope"):
            continue
        rows = decoded(kind, dims, data)
        if architecture in INTERLEAVED and name.split(".")[-2] in ("attn_q", "attn_k"):
            rows = straightened(rows, keys[f"{architecture}.attention.key_length"])
        module, what = module_of(name, architecture)
        out[f"{module}.{what}"] = rows
    return out


def fields(raw):
    """Protobuf's wire format: (number, value) of each field; varints as numbers, the rest as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value
    while at < len(raw):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, raw[at:at + size]
        at += size


def onnx_rows(folder):
    """The same of an ONNX folder in F32; q, k and v are one weight there."""
    graph, = [value for number, value in fields((Path(folder) / "model.onnx").read_bytes()) if number == 7]
    data = (Path(folder) / "model.onnx.data").read_bytes()
    tensors, bits = {}, {}
    for number, value in fields(graph):
        parts = list(fields(value)) if number in (1, 5) else []
        if number == 1:  # a node: what it reads says how wide the codes are
            numbers = {a[1]: a[3] for a in (dict(fields(v)) for n, v in parts if n == 5) if 3 in a}
            for name in (v.decode().rsplit(".", 1) for n, v in parts if n == 1):
                if name[-1] in ("codes", "blocks"):
                    bits[name[0]] = numbers[b"bits"]
        if number == 5:
            name, = [v.decode() for n, v in parts if n == 8]
            at = {}
            for entry in (dict(fields(v)) for n, v in parts if n == 13):
                at[entry[1].decode()] = entry[2].decode()
            if at:
                offset = int(at["offset"])
                tensors[name] = ([v for n, v in parts if n == 1], data[offset:offset + int(at["length"])])
    out = {}
    for name, (dims, raw) in tensors.items():
        if name.endswith(".codes"):
            weight = name[:-len(".codes")]
            scales = struct.unpack(f"<{len(tensors[weight + '.scales'][1]) // 4}f", tensors[weight + ".scales"][1])
            codes, middle = unpacked(raw, dims[0], bits[weight]), 1 << bits[weight] - 1
            group, per_row = len(codes) // len(scales), len(scales) // dims[0]
            points = [middle] * len(scales)
            if weight + ".zero_points" in tensors:
                rows = unpacked(tensors[weight + ".zero_points"][1], dims[0], bits[weight])
                each = len(rows) // dims[0]  # the last half of a byte may be no group's
                points = [p for at in range(0, len(rows), each) for p in rows[at:at + per_row]]
            values = [scales[i // group] * (c - points[i // group]) for i, c in enumerate(codes)]
            cols = group * per_row
            out[weight] = [tuple(values[i:i + cols]) for i in range(0, len(values), cols)]
        elif not name.endswith((".scales", ".blocks", ".zero_points")) and not name.startswith(("cos_", "sin_")):
            out[name] = decoded("f32", dims[::-1], raw)
    return out


def unpacked(raw, rows, bits):
    """Numbers of 4 or 8 bits, the lower half of a byte first."""
    assert len(raw) % rows == 0 and bits in (4, 8)
    return raw if bits == 8 else [n for b in raw for n in (b & 15, b >> 4)]
