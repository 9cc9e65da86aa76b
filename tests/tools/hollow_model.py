"""Folders with the shapes of published models and no weights: a config.json as it was published, and a safetensors file whose
header names every tensor and whose bytes are a hole. For what looks at shapes alone: plans, memory, chunks.

    write("phi-3.5-mini", folder)       # 7.6 GB to read, some KB on the disk
"""
import json
import math
import struct
from pathlib import Path


def _phi3(hidden, intermediate, layers, heads, kv_heads, vocab, context, **more):
    return {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu", "rms_norm_eps": 1e-05,
            "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocab,
            "max_position_embeddings": context, "torch_dtype": "bfloat16", "bos_token_id": 1, "rope_theta": 10000.0,
            "tie_word_embeddings": False, **more}


def _long(pairs):
    return {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * pairs,
                             "long_factor": [1.0 + i for i in range(pairs)]},
            "original_max_position_embeddings": 4096, "sliding_window": 262144}


SHAPES = {
    "phi-3-mini": _phi3(3072, 8192, 32, 32, 32, 32064, 4096, sliding_window=2047),
    "phi-3.5-mini": _phi3(3072, 8192, 32, 32, 32, 32064, 131072, **_long(48)),
    "phi-4": _phi3(5120, 17920, 40, 40, 10, 100352, 16384, rope_theta=250000),
    "phi-4-mini": _phi3(3072, 8192, 32, 24, 8, 200064, 131072, partial_rotary_factor=0.75, **_long(48))
    | {"tie_word_embeddings": True},
}


def tensors(config):
    """Names and shapes as HF has them, in the order of the file."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    dim = hidden // config["num_attention_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        yield at + "self_attn.qkv_proj.weight", (hidden + 2 * config["num_key_value_heads"] * dim, hidden)
        yield at + "self_attn.o_proj.weight", (hidden, hidden)
        yield at + "post_attention_layernorm.weight", (hidden,)
        yield at + "mlp.gate_up_proj.weight", (2 * wide, hidden)
        yield at + "mlp.down_proj.weight", (hidden, wide)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def write(shape, folder):
    config, folder = SHAPES[shape], Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, at = {}, 0
    for name, dims in tensors(config):
        header[name] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [at, at := at + 2 * math.prod(dims)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + at)
    return config
