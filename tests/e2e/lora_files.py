"""LoRA adapters as peft saves them, of random values, and what they add to weights: for tests, and for asking peft itself
(tests/judges/peft)."""
import json
import math
import random

from harness import read_safetensors, run, write_safetensors
from hf_weights import decoded
from packed_weights import bf16, f32, floats


def write_base(folder, family):
    """A tiny model, always the same; returns its weights' exact values, {name: rows}."""
    run("tiny_model", folder, family)
    header, data = read_safetensors(folder / "model.safetensors")
    return {name: decoded("bf16", t["shape"][::-1], data[slice(*t["data_offsets"])])
            for name, t in header.items() if name != "__metadata__"}


def matrix(rng, rows, cols, dtype):
    narrow = {"F32": f32, "BF16": bf16}[dtype]
    return [[narrow(rng.uniform(-.3, .3)) for _ in range(cols)] for _ in range(rows)]


def write_adapter(folder, rng, weights, modules, rank, alpha, dtype="F32", ranks=None, **config):
    """For the modules, {module: (A, B)} of whose matrices is returned; `ranks` has those of some that differ."""
    folder.mkdir()
    out, raw, made = {}, b"", {}
    for module in modules:
        rows = weights[module + ".weight"]
        r, embedding = (ranks or {}).get(module, rank), module.endswith("embed_tokens")
        wide, tall = (len(rows), len(rows[0])) if embedding else (len(rows[0]), len(rows))
        made[module] = matrix(rng, r, wide, dtype), matrix(rng, tall, r, dtype)
        for part, values in zip("AB", made[module]):
            content = floats(sum(values, []), dtype)
            name = f"lora_embedding_{part}" if embedding else f"lora_{part}.weight"
            out[f"base_model.model.{module}.{name}"] = {"dtype": dtype, "shape": [len(values), len(values[0])],
                                                        "data_offsets": [len(raw), len(raw) + len(content)]}
            raw += content
    write_safetensors(folder / "adapter_model.safetensors", out, raw)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "target_modules": sorted(modules),
         "bias": "none", "fan_in_fan_out": False, "modules_to_save": None, "rank_pattern": ranks or {}, **config}))
    return made


def products(made):
    """B * A of each weight, in double precision."""
    out = {}
    for module, (a, b) in made.items():
        columns = list(zip(*a))
        product = [[math.fsum(x * y for x, y in zip(line, column)) for column in columns] for line in b]
        out[module + ".weight"] = list(zip(*product)) if module.endswith("embed_tokens") else product
    return out


Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
QKV, GATE_UP = "model.layers.0.self_attn.qkv_proj", "model.layers.1.mlp.gate_up_proj"

# What peft was asked: family, and the adapters that are merged one after the other.
CASES = {
    "rank and alpha": ("llama", [dict(modules=[Q, DOWN, "lm_head"], rank=4, alpha=6)]),
    "scaled by the root of the rank": ("llama", [dict(modules=[Q, "model.embed_tokens"], rank=8, alpha=3, use_rslora=True)]),
    "fused, with patterns": ("phi3", [dict(modules=[QKV, GATE_UP], rank=4, alpha=8, ranks={QKV: 2},
                                           alpha_pattern={"gate_up_proj": 5})]),
    "several, one in BF16": ("phi3", [dict(modules=[QKV], rank=4, alpha=6),
                                      dict(modules=[QKV, GATE_UP], rank=3, alpha=2, dtype="BF16", use_rslora=True)]),
}


def write_case(folder, name):
    """folder/base and folder/1, folder/2, ...; returns the weights' names that the adapters change."""
    family, adapters = CASES[name]
    weights, rng = write_base(folder / "base", family), random.Random(name)
    changed = set()
    for number, adapter in enumerate(adapters, 1):
        write_adapter(folder / str(number), rng, weights, **adapter)
        changed |= {module + ".weight" for module in adapter["modules"]}
    return sorted(changed), len(adapters)


def sample(rows, cols):
    """Places in a weight at which its values are compared: (row, column) of 24."""
    rng = random.Random(f"{rows} {cols}")
    return [(rng.randrange(rows), rng.randrange(cols)) for _ in range(24)]
