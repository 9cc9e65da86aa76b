"""What BERT's definition makes of token ids, in Python's own doubles: slow, and nobody's code but this file's.

    BertReference(folder).embed(ids, "mean") -> a vector of length 1
"""
import json
import math
import operator
import struct
from array import array
from pathlib import Path


def dot(a, b):
    return sum(map(operator.mul, a, b))


def of_length_one(x):
    length = math.sqrt(dot(x, x))
    return [value / length for value in x]


class BertReference:
    """Of a Hugging Face folder whose weights are F32, in one file."""

    def __init__(self, folder):
        self.config = json.loads((Path(folder) / "config.json").read_text())
        data = (Path(folder) / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        self.header, self.data = json.loads(data[8:8 + length]), data[8 + length:]

    def vector(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        return array("f", self.data[begin:end])

    def rows(self, name):
        values, (rows, width) = self.vector(name), self.header[name]["shape"]
        return [values[r * width:(r + 1) * width] for r in range(rows)]

    def linear(self, name, x):
        return [list(map(operator.add, (dot(row, v) for row in w), b))
                for w, b in [(self.rows(name + ".weight"), self.vector(name + ".bias"))] for v in x]

    def norm(self, name, x):
        weight, bias = self.vector(name + ".weight"), self.vector(name + ".bias")
        out = []
        for v in x:
            mean = sum(v) / len(v)
            centered = [value - mean for value in v]
            root = math.sqrt(dot(centered, centered) / len(v) + self.config["layer_norm_eps"])
            out.append([value / root * w + b for value, w, b in zip(centered, weight, bias)])
        return out

    def attention(self, prefix, x):
        heads = self.config["num_attention_heads"]
        dim = len(x[0]) // heads
        q, k, v = (self.linear(f"{prefix}.self.{part}", x) for part in ("query", "key", "value"))
        out = [[] for _ in x]
        for at in range(0, heads * dim, dim):
            for t, row in enumerate(q):
                scores = [dot(row[at:at + dim], key[at:at + dim]) / math.sqrt(dim) for key in k]
                powers = [math.exp(score - max(scores)) for score in scores]
                columns = zip(*(value[at:at + dim] for value in v))
                out[t] += [dot(powers, column) / sum(powers) for column in columns]
        return out

    def states(self, ids):
        names = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
        words, positions, types = map(self.rows, names)
        x = self.norm("embeddings.LayerNorm",
                      [[a + b + c for a, b, c in zip(words[id], positions[t], types[0])] for t, id in enumerate(ids)])
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"encoder.layer.{layer}"

            def added(name, y, x=x, prefix=prefix):
                return self.norm(f"{prefix}.{name}.LayerNorm", [
                    list(map(operator.add, a, b)) for a, b in zip(self.linear(f"{prefix}.{name}.dense", y), x)])
            x = added("attention.output", self.attention(f"{prefix}.attention", x))
            wide = [[0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in row]
                    for row in self.linear(f"{prefix}.intermediate.dense", x)]
            x = added("output", wide, x)
        return x

    def embed(self, ids, pooling):
        states = self.states(ids)
        if pooling == "cls":
            return of_length_one(states[0])
        return of_length_one([sum(column) for column in zip(*states)])
