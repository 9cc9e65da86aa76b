"""Outlier channels, which large models have and a small one trained for minutes does not.

In large models a few channels of a matrix carry much larger weights than their neighbours, and a
block that holds one quantizes coarsely: much of what INT4 costs real models comes from there. Here
such channels are made without changing the function: what a norm's gain loses, the matrix behind it
gains, by a power of two, so that no mantissa changes, in BF16 either.
"""

import random

import torch

BLOCK = 32  # the group of weights that shares one scale in Q4_0 and Q8_0
# A norm and the matrix that reads its output, and by how much one channel of each block stands out.
_PAIRS = (("input_layernorm.weight", "self_attn.qkv_proj.weight", 8.0),
          ("post_attention_layernorm.weight", "mlp.gate_up_proj.weight", 16.0))


def with_outliers(state, layers, seed=1):
    """A copy of the state dict that computes the same function. Deterministic in `seed`."""
    out = dict(state)
    rng = random.Random(f"outliers:{seed}")
    for layer in range(layers):
        for norm, matrix, factor in _PAIRS:
            norm, matrix = f"model.layers.{layer}.{norm}", f"model.layers.{layer}.{matrix}"
            gain = torch.ones_like(state[norm])
            for block in range(0, gain.numel(), BLOCK):
                gain[block + rng.randrange(BLOCK)] = factor
            out[norm] = state[norm] / gain
            out[matrix] = state[matrix] * gain
    return out
