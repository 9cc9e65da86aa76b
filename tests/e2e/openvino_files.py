"""Reads an OpenVINO folder from the format alone (docs/formats/openvino.md) and checks the graph: every port wired once,
every constant inside the .bin and aligned, every operation of its opset with its required attributes, and shapes and
types inferred anew through the whole graph for given sizes of batch, step and past. Dequantizes weights in plain
Python. Shares nothing with the writer."""
import math
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# Bits and the name that ports spell.
TYPES = {"f32": (32, "FP32"), "f16": (16, "FP16"), "i64": (64, "I64"), "i32": (32, "I32"), "i8": (8, "I8"),
         "u8": (8, "U8"), "i4": (4, "I4"), "u4": (4, "U4"), "boolean": (8, "BOOL")}
BY_PORT = {port: name for name, (_, port) in TYPES.items()}
FLOATS = ("f32", "f16")
# What the graph is walked with: batch, tokens of the step, tokens in the state.
STEPS = ((1, 7, 0), (3, 1, 5), (2, 4, 11))


class Bad(ValueError):
    pass


def need(condition, *what):
    if not condition:
        raise Bad(" ".join(map(str, what)))


def integer(text, what):
    need(text is not None and text.lstrip("-").isdigit(), what, "is no number:", text)
    return int(text)


def sizes(text):
    """ "2, ?, 8" with None for what is known at run time."""
    return [None if d.strip() in ("?", "-1") else integer(d.strip(), "a size") for d in text.split(",")] if text else []


def broadcast(a, b, what):
    out = []
    for i in range(max(len(a), len(b))):
        x = a[-1 - i] if i < len(a) else 1
        y = b[-1 - i] if i < len(b) else 1
        need(x == y or 1 in (x, y), what, "does not broadcast", a, "with", b)
        out.insert(0, y if x == 1 else x)
    return out


class Value:
    """What one output is for given sizes: type, shape, and the integers where they are known."""

    def __init__(self, kind, shape, ints=None):
        self.kind, self.shape, self.ints = kind, list(shape), ints


class Port:
    def __init__(self, element, where):
        self.kind = BY_PORT.get(element.get("precision"))
        need(self.kind, where, "has the precision", element.get("precision"))
        self.shape = [integer(d.text, f"{where}: a dimension") for d in element.findall("dim")]
        self.names = element.get("names")
        need({c.tag for c in element} <= {"dim"}, where, "has other children than dim")


class Layer:
    def __init__(self, element):
        self.id = integer(element.get("id"), "a layer's id")
        self.name, self.op = element.get("name"), element.get("type")
        self.opset = element.get("version")
        need(self.name and self.op, "layer", self.id, "has no name or type")
        self.data = dict(element.find("data").attrib) if element.find("data") is not None else {}
        self.decompression = any(a.get("name") == "decompression" for a in element.iterfind("rt_info/attribute"))
        self.inputs, self.outputs = {}, {}
        for tag, ports in (("input", self.inputs), ("output", self.outputs)):
            for port in element.iterfind(f"{tag}/port"):
                number = integer(port.get("id"), f"{self}: a port")
                need(number == len(self.inputs) + (0 if tag == "input" else len(ports)), self, "has port", number)
                ports[number] = Port(port, f"{self} port {number}")
        self.sources = {}  # input port: (layer id, port)

    def __str__(self):
        return f"layer '{self.name}' ({self.op})"

    def attribute(self, name, *allowed):
        need(name in self.data, self, "lacks", name)
        need(not allowed or self.data[name] in allowed, self, "has", name, "=", self.data[name])
        return self.data[name]


class IrModel:
    """The graph of FOLDER/openvino_model.xml; raises Bad for what is no sound model."""

    def __init__(self, folder):
        folder = Path(folder)
        self.bin = (folder / "openvino_model.bin").read_bytes()
        net = ElementTree.fromstring((folder / "openvino_model.xml").read_text())
        need(net.tag == "net" and net.get("version") == "11", "not a net of version 11")
        self.layers, names = {}, set()
        for element in net.findall("layers/layer"):
            layer = Layer(element)
            need(layer.id not in self.layers, "two layers have the id", layer.id)
            need(layer.name not in names, "two layers are called", layer.name)
            names.add(layer.name)
            self.layers[layer.id] = layer
        self._wire(net)
        self.order = self._sorted()
        self.by_name = {layer.name: layer for layer in self.layers.values()}
        self._variables()

    def _wire(self, net):
        read = set()
        for edge in net.findall("edges/edge"):
            a, b, c, d = (integer(edge.get(k), "an edge") for k in ("from-layer", "from-port", "to-layer", "to-port"))
            need(a in self.layers and c in self.layers, "an edge joins", a, "and", c, "which are not both there")
            source, sink = self.layers[a], self.layers[c]
            need(b in source.outputs, source, "has no output", b)
            need(d in sink.inputs, sink, "has no input", d)
            need(d not in sink.sources, sink, "input", d, "is wired twice")
            sink.sources[d] = (a, b)
            read.add((a, b))
            x, y = source.outputs[b], sink.inputs[d]
            need((x.kind, x.shape) == (y.kind, y.shape), sink, "input", d, "says", y.kind, y.shape, "and gets", x.kind,
                 x.shape)
        for layer in self.layers.values():
            need(len(layer.sources) == len(layer.inputs), layer, "has inputs that nothing feeds")
            for port in layer.outputs:
                need((layer.id, port) in read or layer.op == "Assign", layer, "output", port, "is read by nothing")

    def _sorted(self):
        """Layers so that each stands behind those it reads: there is no circle."""
        done, order = set(), []
        for start in self.layers:
            stack = [start]
            opened = set()
            while stack:
                at = stack[-1]
                todo = [s for s, _ in self.layers[at].sources.values() if s not in done]
                if at in done or not todo:
                    stack.pop()
                    if at not in done:
                        done.add(at)
                        order.append(self.layers[at])
                    continue
                need(at not in opened, self.layers[at], "reads itself")
                opened.add(at)
                stack.append(todo[-1])
        return order

    def _variables(self):
        self.variables = {}
        assigned = set()
        for layer in self.order:
            if layer.op not in ("ReadValue", "Assign"):
                continue
            name = layer.attribute("variable_id")
            if layer.op == "Assign":
                need(name not in assigned, name, "is assigned twice")
                assigned.add(name)
            else:
                need(name not in self.variables, name, "is read twice")
                self.variables[name] = (layer.attribute("variable_type", *TYPES), sizes(layer.attribute("variable_shape")))
        need(assigned == set(self.variables), "variables are read and not assigned, or assigned and not read:",
             sorted(assigned ^ set(self.variables)))

    def parameters(self):
        return {p.names: layer for layer in self.order if layer.op == "Parameter" for p in layer.outputs.values()}

    def results(self):
        return {self.layers[a].outputs[b].names: layer for layer in self.order if layer.op == "Result"
                for a, b in layer.sources.values()}

    def infer(self, inputs, past):
        """Walks the graph with these shapes of inputs ({name: shape}); `past` tokens are in the state, 0: none.
        Checks each layer and each declared port; returns the values by layer's name."""
        from openvino_ops import check  # beside this file
        values, out = {}, {}
        for layer in self.order:
            ins = [values[layer.sources[i]] for i in layer.inputs]
            if layer.op == "Parameter":
                shape = inputs[layer.outputs[0].names]
                declared = sizes(layer.attribute("shape"))
                need(len(declared) == len(shape) and all(d in (None, s) for d, s in zip(declared, shape)), layer,
                     "takes", declared, "not", shape)
                made = [Value(layer.attribute("element_type", *TYPES), shape)]
            else:
                made = check(self, layer, ins, past, inputs)
            need(len(made) == len(layer.outputs), layer, "has", len(layer.outputs), "outputs, not", len(made))
            for (number, port), value in zip(layer.outputs.items(), made):
                need(port.kind == value.kind, layer, "declares", port.kind, "and makes", value.kind)
                fits = len(port.shape) == len(value.shape) and all(d in (-1, s) for d, s in zip(port.shape, value.shape))
                # What is empty at first is declared as what it becomes.
                need(fits, layer, "declares", port.shape, "and makes", value.shape)
                values[layer.id, number] = value
            out[layer.name] = made
        return out

    def step(self, batch, now, past):
        """Walks a decoder's graph with so many texts, tokens of this step, and tokens in the state."""
        return self.infer({"input_ids": [batch, now], "attention_mask": [batch, past + now],
                           "position_ids": [batch, now], "beam_idx": [batch]}, past)

    def constant(self, layer):
        """(element type, shape, bytes) of a Const, which lies in the .bin on a multiple of its elements."""
        kind, shape = layer.attribute("element_type", *TYPES), sizes(layer.attribute("shape"))
        need(None not in shape, layer, "has a shape that is not known")
        offset, size = (integer(layer.attribute(k), f"{layer}: {k}") for k in ("offset", "size"))
        need(0 <= offset and offset + size <= len(self.bin), layer, "lies outside of the .bin")
        bits = TYPES[kind][0]
        need(size == (math.prod(shape) * bits + 7) // 8, layer, "of", kind, shape, "has", size, "bytes")
        need(offset % max(bits // 8, 1) == 0, layer, "lies at", offset)
        return kind, shape, self.bin[offset:offset + size]

    def rows(self, weight):
        """Exact values of the weight of that name, [rows][cols], whether it is a float or codes and scales."""
        layer = self.by_name[weight]
        kind, shape, raw = self.constant(layer)
        flat = decoded(kind, raw)
        if kind in FLOATS:
            cols = shape[-1]
            return [tuple(flat[i:i + cols]) for i in range(0, len(flat), cols)]
        (rows, groups, group), zeros = shape, [0] * (shape[0] * shape[1])
        last, = self.readers(layer)
        need(last.op == "Convert", layer, "is not widened")
        step, = self.readers(last)
        if step.op == "Subtract":
            zeros = self._each(step, last, [rows, groups, 1], kind, "Convert")
            last, (step,) = step, self.readers(step)
        need(step.op == "Multiply", layer, "is not scaled")
        scales = self._each(step, last, [rows, groups, 1], "f16")
        reshape, = self.readers(step)
        need(reshape.op == "Reshape", reshape, "is no Reshape")
        values = [(code - zeros[i // group]) * scales[i // group] for i, code in enumerate(flat)]
        return [tuple(values[i:i + groups * group]) for i in range(0, len(values), groups * group)]

    def _each(self, layer, first, shape, kind, *between):
        """The constant that `layer` has as its second input, beside `first`, behind operations of those names."""
        (a, _), (b, _) = (layer.sources[i] for i in (0, 1))
        need(a == first.id, layer, "does not begin with", first)
        other = self.layers[b]
        for op in between:
            need(other.op == op, other, "is no", op)
            other = self.layers[other.sources[0][0]]
        found = self.constant(other)
        need(found[:2] == (kind, shape), other, "is of", *found[:2])
        return decoded(kind, found[2])

    def readers(self, layer):
        return [other for other in self.layers.values() if any(a == layer.id for a, _ in other.sources.values())]


def decoded(kind, raw):
    """The values of a constant; of 4 bits the lower half of a byte comes first."""
    if kind in ("i4", "u4"):
        nibbles = [n for b in raw for n in (b & 15, b >> 4)]
        return [n - 16 if n > 7 else n for n in nibbles] if kind == "i4" else nibbles
    letter = {"f32": "f", "f16": "e", "i64": "q", "i32": "i", "i8": "b", "u8": "B", "boolean": "?"}[kind]
    return list(struct.unpack(f"<{len(raw) * 8 // TYPES[kind][0]}{letter}", raw))
