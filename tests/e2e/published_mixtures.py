"""What the published code of mixtures of experts computes, in double precision and without libraries: written from
transformers' modeling_phimoe.py and modeling_gpt_oss.py, and from nothing of ours. Slow: for tiny models and short texts."""
import json
import math
import struct
from operator import mul
from pathlib import Path

from harness import read_safetensors

FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def dot(a, b):
    return math.fsum(map(mul, a, b))


def linear(rows, x, bias=None):
    y = [dot(row, x) for row in rows]
    return y if bias is None else [a + b for a, b in zip(y, bias)]


def softmax(scores):
    most = max(scores)
    weights = [math.exp(s - most) for s in scores]
    total = math.fsum(weights)
    return [w / total for w in weights]


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def rms_norm(x, weight, epsilon):
    scale = 1 / math.sqrt(math.fsum(v * v for v in x) / len(x) + epsilon)
    return [v * scale * w for v, w in zip(x, weight)]


def layer_norm(x, weight, bias, epsilon):
    mean = math.fsum(x) / len(x)
    return [v + b for v, b in zip(rms_norm([v - mean for v in x], weight, epsilon), bias)]


class Checkpoint:
    """Tensors of a folder as nested lists."""

    def __init__(self, folder):
        folder = Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.found = {}
        for path in sorted(folder.glob("*.safetensors")):
            header, data = read_safetensors(path)
            header.pop("__metadata__", None)
            for name, entry in header.items():
                begin, end = entry["data_offsets"]
                self.found[name] = (entry["dtype"], entry["shape"], data[begin:end])

    def __call__(self, name):
        dtype, shape, raw = self.found[name]
        if dtype == "U8":
            values = list(raw)
        elif dtype == "BF16":
            values = struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))
        else:
            code, width = {"F32": ("f", 4), "F16": ("e", 2)}[dtype]
            values = struct.unpack(f"<{len(raw) // width}{code}", raw)
        for width in reversed(shape[1:]):
            values = [values[i:i + width] for i in range(0, len(values), width)]
        return values


def rotated(heads, dim, position, frequencies, magnitude):
    """rotate_half of each head."""
    half, out = dim // 2, []
    for at in range(0, len(heads), dim):
        head = heads[at:at + dim]
        turn = [(math.cos(position * f) * magnitude, math.sin(position * f) * magnitude) for f in frequencies]
        out += [head[i] * c - head[i + half] * s for i, (c, s) in enumerate(turn)]
        out += [head[i + half] * c + head[i] * s for i, (c, s) in enumerate(turn)]
    return out


def attend(queries, keys, values, heads, kv_heads, dim, window=0, sinks=None):
    """Of every token; keys and values as [token][kv_heads * dim]. A sink is one more score, whose value is nothing."""
    out = []
    for t, query in enumerate(queries):
        first = max(0, t - window + 1) if window else 0
        mixed = []
        for h in range(heads):
            at = h // (heads // kv_heads) * dim
            q = query[h * dim:(h + 1) * dim]
            scores = [dot(q, keys[s][at:at + dim]) / math.sqrt(dim) for s in range(first, t + 1)]
            weights = softmax(scores + ([sinks[h]] if sinks else []))[:len(scores)]
            mixed += [math.fsum(w * values[first + i][at + d] for i, w in enumerate(weights)) for d in range(dim)]
        out.append(mixed)
    return out


def sparse_mixer(scores, jitter):
    """[(expert, weight)] of both."""
    def best_of(candidates):
        best = max(candidates)
        expert = candidates.index(best)
        kept = [c for c, s in zip(candidates, scores)
                if not (best - s) / max(abs(s), best) > 2 * jitter and c != -math.inf]
        return expert, 1 / math.fsum(math.exp(c - best) for c in kept)
    first = best_of(list(scores))
    return [first, best_of([-math.inf if e == first[0] else s for e, s in enumerate(scores)])]


def phimoe(folder, ids):
    """Logits of every token."""
    get = Checkpoint(folder)
    c = get.config
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
    dim, epsilon, scaling = c["hidden_size"] // heads, c["rms_norm_eps"], c["rope_scaling"] or {}
    assert len(ids) <= c["original_max_position_embeddings"], "the short factors are written down here"
    factors = scaling.get("short_factor", [1] * (dim // 2))
    frequencies = [c["rope_theta"] ** (-2 * i / dim) / f for i, f in enumerate(factors)]
    magnitude = scaling.get("short_mscale", 1)

    def norm(x, name):
        return layer_norm(x, get(name + ".weight"), get(name + ".bias"), epsilon)
    embedding = get("model.embed_tokens.weight")
    xs = [list(embedding[i]) for i in ids]
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        w = {part: (get(f"{p}self_attn.{part}_proj.weight"), get(f"{p}self_attn.{part}_proj.bias")) for part in "qkvo"}
        normed = [norm(x, p + "input_layernorm") for x in xs]
        q, k, v = ([linear(w[part][0], x, w[part][1]) for x in normed] for part in "qkv")
        q, k = ([rotated(x, dim, t, frequencies, magnitude) for t, x in enumerate(rows)] for rows in (q, k))
        for x, mixed in zip(xs, attend(q, k, v, heads, kv_heads, dim)):
            x[:] = [a + b for a, b in zip(x, linear(w["o"][0], mixed, w["o"][1]))]
        router = get(p + "block_sparse_moe.gate.weight")
        experts = [[get(f"{p}block_sparse_moe.experts.{e}.w{n}.weight") for n in (1, 2, 3)]
                   for e in range(c["num_local_experts"])]
        for x in xs:
            n = norm(x, p + "post_attention_layernorm")
            for expert, weight in sparse_mixer(linear(router, n), c["router_jitter_noise"]):
                gate, down, up = experts[expert]
                wide = [g * sigmoid(g) * u for g, u in zip(linear(gate, n), linear(up, n))]
                x[:] = [a + weight * b for a, b in zip(x, linear(down, wide))]
    head, bias = get("lm_head.weight"), get("lm_head.bias")
    return [linear(head, norm(x, "model.norm"), bias) for x in xs]


def mxfp4(blocks, scales):
    """Rows of each expert: of a byte the low half comes first; scales are powers of two."""
    return [[[FP4[byte >> shift & 15] * 2.0 ** (scale - 127) for group, scale in zip(row, row_scales)
              for byte in group for shift in (0, 4)] for row, row_scales in zip(expert, expert_scales)]
            for expert, expert_scales in zip(blocks, scales)]


def yarn(config, dim):
    """(frequencies, magnitude), with the ends of the ramp as they are (truncate false)."""
    scaling, base = config["rope_scaling"], config["rope_theta"]
    plain = [base ** (-2 * i / dim) for i in range(dim // 2)]
    if not scaling:
        return plain, 1

    def pair(turns):
        return dim * math.log(scaling["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(base))
    low, high = max(pair(scaling["beta_fast"]), 0), min(pair(scaling["beta_slow"]), dim - 1)
    ramp = [min(max((i - low) / (high - low), 0), 1) for i in range(dim // 2)]
    return [f / scaling["factor"] * r + f * (1 - r) for f, r in zip(plain, ramp)], 0.1 * math.log(scaling["factor"]) + 1


def gpt_oss(folder, ids):
    """Logits of every token."""
    get = Checkpoint(folder)
    c = get.config
    heads, kv_heads, dim, epsilon = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"], c["rms_norm_eps"]
    frequencies, magnitude = yarn(c, dim)
    embedding = get("model.embed_tokens.weight")
    xs = [list(embedding[i]) for i in ids]
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        w = {part: (get(f"{p}self_attn.{part}_proj.weight"), get(f"{p}self_attn.{part}_proj.bias")) for part in "qkvo"}
        normed = [rms_norm(x, get(p + "input_layernorm.weight"), epsilon) for x in xs]
        q, k, v = ([linear(w[part][0], x, w[part][1]) for x in normed] for part in "qkv")
        q, k = ([rotated(x, dim, t, frequencies, magnitude) for t, x in enumerate(rows)] for rows in (q, k))
        window = c["sliding_window"] if c["layer_types"][layer] == "sliding_attention" else 0
        for x, mixed in zip(xs, attend(q, k, v, heads, kv_heads, dim, window, list(get(p + "self_attn.sinks")))):
            x[:] = [a + b for a, b in zip(x, linear(w["o"][0], mixed, w["o"][1]))]
        router, router_bias = get(p + "mlp.router.weight"), get(p + "mlp.router.bias")
        e = p + "mlp.experts."
        gate_up, down = (mxfp4(get(e + part + "_proj_blocks"), get(e + part + "_proj_scales")) for part in ("gate_up", "down"))
        gate_up_bias, down_bias = get(e + "gate_up_proj_bias"), get(e + "down_proj_bias")
        norm = get(p + "post_attention_layernorm.weight")
        for x in xs:
            n = rms_norm(x, norm, epsilon)
            scores = linear(router, n, router_bias)
            chosen = sorted(range(len(scores)), key=lambda i: -scores[i])[:c["num_experts_per_tok"]]
            for expert, weight in zip(chosen, softmax([scores[i] for i in chosen])):
                both = linear(gate_up[expert], n, gate_up_bias[expert])
                gates = [min(g, 7) for g in both[0::2]]
                ups = [min(max(u, -7), 7) for u in both[1::2]]
                wide = [(u + 1) * g * sigmoid(1.702 * g) for g, u in zip(gates, ups)]
                x[:] = [a + weight * b for a, b in zip(x, linear(down[expert], wide, down_bias[expert]))]
    norm, head = get("model.norm.weight"), get("lm_head.weight")
    return [linear(head, rms_norm(x, norm, epsilon)) for x in xs]


def mean_nll(logits, ids):
    """Of each token behind the first, given those before it."""
    def one(row, token):
        most = max(row)
        return most + math.log(math.fsum(math.exp(v - most) for v in row)) - row[token]
    return math.fsum(one(row, token) for row, token in zip(logits, ids[1:])) / (len(ids) - 1)
