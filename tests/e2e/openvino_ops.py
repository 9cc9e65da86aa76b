"""OpenVINO's operations as its specification has them, as far as the checker needs them: opset, inputs, required
attributes, and what type and shape comes out. Integers are followed where shapes depend on them."""
import math
from itertools import product

from openvino_files import FLOATS, TYPES, Value, broadcast, need, sizes

OPS = {}


def op(name, opset, *inputs):
    """Registers the rule of one operation; `inputs` are the allowed numbers of inputs."""
    def register(rule):
        need(name not in OPS, name, "has two rules")
        OPS[name] = (opset, inputs, rule)
        return rule
    return register


def check(model, layer, ins, past, sizes_of_inputs):
    need(layer.op in OPS, layer, "is an operation that no rule is known of")
    opset, inputs, rule = OPS[layer.op]
    need(layer.opset == opset, layer, "is of", layer.opset, "not", opset)
    need(len(ins) in inputs, layer, "has", len(ins), "inputs")
    return rule(layer, ins, Context(model, past, sizes_of_inputs))


class Context:
    def __init__(self, model, past, inputs):
        self.model, self.past, self.inputs = model, past, inputs


def known(layer, value):
    need(value.ints is not None, layer, "depends on numbers that are not known")
    return value.ints


def axes_of(layer, value, rank):
    axes = [a + rank if a < 0 else a for a in known(layer, value)]
    need(len(set(axes)) == len(axes) and all(0 <= a < rank for a in axes), layer, "has the axes", axes, "of", rank)
    return axes


def same_kind(layer, ins):
    need(len({v.kind for v in ins}) == 1, layer, "mixes", [v.kind for v in ins])
    return ins[0].kind


def spread(ints, shape, target):
    """Numpy's broadcasting of known integers."""
    if ints is None or math.prod(target) > 4096:
        return None
    shape = [1] * (len(target) - len(shape)) + shape
    out = []
    for at in product(*map(range, target)):
        flat = 0
        for i, size in zip(at, shape):
            flat = flat * size + (i if size > 1 else 0)
        out.append(ints[flat])
    return out


@op("Const", "opset1", 0)
def const(layer, _, context):
    from openvino_files import decoded
    kind, shape, raw = context.model.constant(layer)
    return [Value(kind, shape, decoded(kind, raw) if kind in ("i64", "i32") and len(raw) <= 4096 else None)]


@op("Result", "opset1", 1)
def result(*_):
    return []


@op("Convert", "opset1", 1)
def convert(layer, ins, _):
    need(not layer.decompression or ins[0].kind in ("f16", "bf16"), layer, "decompresses", ins[0].kind)
    return [Value(layer.attribute("destination_type", *TYPES), ins[0].shape)]


def elementwise(name, apply):
    @op(name, "opset1", 2)
    def rule(layer, ins, _):
        layer.attribute("auto_broadcast", "numpy")
        if name == "Divide":
            layer.attribute("m_pythondiv", "true", "false")
        kind = same_kind(layer, ins)
        need(kind != "boolean", layer, "calculates with booleans")
        shape = broadcast(ins[0].shape, ins[1].shape, layer)
        a, b = (spread(v.ints, v.shape, shape) for v in ins)
        return [Value(kind, shape, [apply(x, y) for x, y in zip(a, b)] if apply and None not in (a, b) else None)]


elementwise("Add", lambda x, y: x + y)
elementwise("Subtract", lambda x, y: x - y)
elementwise("Multiply", lambda x, y: x * y)
elementwise("Divide", None)
elementwise("Power", None)
elementwise("Maximum", None)
elementwise("Minimum", None)


def comparison(name, booleans, opset="opset1"):
    @op(name, opset, 2)
    def rule(layer, ins, _):
        layer.attribute("auto_broadcast", "numpy")
        need((same_kind(layer, ins) == "boolean") == booleans, layer, "compares", ins[0].kind)
        return [Value("boolean", broadcast(ins[0].shape, ins[1].shape, layer))]


comparison("LessEqual", False)
comparison("Greater", False)
comparison("Equal", False)
comparison("LogicalAnd", True)
comparison("LogicalOr", True)
comparison("BitwiseAnd", True, "opset13")  # of booleans alone


def of_floats(name, opset):
    @op(name, opset, 1)
    def rule(layer, ins, _):
        need(ins[0].kind in FLOATS, layer, "takes", ins[0].kind)
        return [Value(ins[0].kind, ins[0].shape)]


for operation in ("Sqrt", "Cos", "Sin", "Tanh", "Abs", "Exp"):
    of_floats(operation, "opset1")


@op("Swish", "opset4", 1, 2)
def swish(layer, ins, _):
    need(same_kind(layer, ins) in FLOATS and all(v.shape == [] for v in ins[1:]), layer, "takes", [v.shape for v in ins])
    return [Value(ins[0].kind, ins[0].shape)]


@op("Clamp", "opset1", 1)
def clamp(layer, ins, _):
    need(float(layer.attribute("min")) <= float(layer.attribute("max")), layer, "has no range")
    need(ins[0].kind in FLOATS, layer, "takes", ins[0].kind)
    return [Value(ins[0].kind, ins[0].shape)]


@op("Gelu", "opset7", 1)
def gelu(layer, ins, _):
    layer.attribute("approximation_mode", "ERF", "TANH")
    need(ins[0].kind in FLOATS, layer, "takes", ins[0].kind)
    return [Value(ins[0].kind, ins[0].shape)]


@op("Select", "opset1", 3)
def select(layer, ins, _):
    layer.attribute("auto_broadcast", "numpy")
    need(ins[0].kind == "boolean", layer, "selects by", ins[0].kind)
    kind = same_kind(layer, ins[1:])
    return [Value(kind, broadcast(ins[0].shape, broadcast(ins[1].shape, ins[2].shape, layer), layer))]


@op("ReduceMax", "opset1", 2)
@op("ReduceMean", "opset1", 2)
@op("ReduceSum", "opset1", 2)
def reduced(layer, ins, _):
    keep = layer.attribute("keep_dims", "true", "false") == "true"
    axes = axes_of(layer, ins[1], len(ins[0].shape))
    shape = [1 if i in axes else d for i, d in enumerate(ins[0].shape) if keep or i not in axes]
    return [Value(ins[0].kind, shape)]


@op("TopK", "opset11", 2)
def top_k(layer, ins, _):
    rank = len(ins[0].shape)
    axis = int(layer.attribute("axis")) % rank
    layer.attribute("mode", "max", "min"), layer.attribute("sort", "value", "index", "none")
    layer.attribute("stable", "true", "false")
    need(ins[0].kind in FLOATS and ins[1].shape == [], layer, "takes", ins[0].kind, ins[1].shape)
    count, = known(layer, ins[1])
    need(0 < count <= ins[0].shape[axis], layer, "chooses", count, "of", ins[0].shape[axis])
    shape = ins[0].shape[:axis] + [count] + ins[0].shape[axis + 1:]
    return [Value(ins[0].kind, shape), Value(layer.attribute("index_element_type", "i64", "i32"), shape)]


@op("ScatterElementsUpdate", "opset3", 4)
def scatter_elements(layer, ins, _):
    data, indices, updates, at = ins
    need(data.kind == updates.kind and indices.kind in ("i64", "i32"), layer, "mixes", [v.kind for v in ins])
    need(indices.shape == updates.shape and len(indices.shape) == len(data.shape), layer, "puts", updates.shape, "at",
         indices.shape, "of", data.shape)
    axis, = axes_of(layer, at, len(data.shape))
    need(all(a <= b for i, (a, b) in enumerate(zip(indices.shape, data.shape)) if i != axis), layer, "puts", updates.shape,
         "into", data.shape)
    return [Value(data.kind, data.shape)]


@op("Tile", "opset1", 2)
def tile(layer, ins, _):
    repeats = known(layer, ins[1])
    need(len(repeats) == len(ins[0].shape) and min(repeats) > 0, layer, "repeats", ins[0].shape, repeats, "times")
    return [Value(ins[0].kind, [d * n for d, n in zip(ins[0].shape, repeats)])]


@op("Softmax", "opset8", 1)
def softmax(layer, ins, _):
    need(layer.attribute("axis") == "-1" and ins[0].kind in FLOATS, layer, "is not of the last axis of floats")
    return [Value(ins[0].kind, ins[0].shape)]


@op("MatMul", "opset1", 2)
def matmul(layer, ins, _):
    kind = same_kind(layer, ins)
    need(kind in FLOATS, layer, "multiplies", kind)
    a, b = list(ins[0].shape), list(ins[1].shape)
    need(len(a) >= 2 and len(b) >= 2, layer, "multiplies vectors")
    for which, shape in (("transpose_a", a), ("transpose_b", b)):
        if layer.attribute(which, "true", "false") == "true":
            shape[-1], shape[-2] = shape[-2], shape[-1]
    need(a[-1] == b[-2], layer, "multiplies", ins[0].shape, "by", ins[1].shape)
    return [Value(kind, broadcast(a[:-2], b[:-2], layer) + [a[-2], b[-1]])]


@op("Reshape", "opset1", 2)
def reshape(layer, ins, _):
    zero = layer.attribute("special_zero", "true", "false") == "true"
    need(len(ins[1].shape) == 1, layer, "takes no list")
    shape = []
    for i, d in enumerate(known(layer, ins[1])):
        need(d >= -1 and not (d == 0 and zero and i >= len(ins[0].shape)), layer, "reshapes to", ins[1].ints)
        shape.append(ins[0].shape[i] if d == 0 and zero else d)
    total = math.prod(ins[0].shape)
    if -1 in shape:
        rest = math.prod(d for d in shape if d != -1)
        need(shape.count(-1) == 1 and rest and total % rest == 0, layer, "makes", ins[0].shape, "into", shape)
        shape[shape.index(-1)] = total // rest
    need(math.prod(shape) == total, layer, "makes", ins[0].shape, "into", shape)
    return [Value(ins[0].kind, shape, ins[0].ints)]


@op("Transpose", "opset1", 2)
def transpose(layer, ins, _):
    order = known(layer, ins[1])
    need(sorted(order) == list(range(len(ins[0].shape))), layer, "orders", order)
    return [Value(ins[0].kind, [ins[0].shape[i] for i in order])]


@op("Unsqueeze", "opset1", 2)
def unsqueeze(layer, ins, _):
    axes = axes_of(layer, ins[1], len(ins[0].shape) + len(known(layer, ins[1])))
    shape = list(ins[0].shape)
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return [Value(ins[0].kind, shape, ins[0].ints)]


@op("VariadicSplit", "opset1", 3)
def variadic_split(layer, ins, _):
    need(ins[1].shape == [], layer, "has an axis of shape", ins[1].shape)
    axis, = axes_of(layer, ins[1], len(ins[0].shape))
    lengths = known(layer, ins[2])
    need(min(lengths) >= 0 and sum(lengths) == ins[0].shape[axis], layer, "cuts", ins[0].shape[axis], "into", lengths)
    return [Value(ins[0].kind, ins[0].shape[:axis] + [n] + ins[0].shape[axis + 1:]) for n in lengths]


@op("Concat", "opset1", *range(1, 9))
def concat(layer, ins, _):
    kind, rank = same_kind(layer, ins), len(ins[0].shape)
    text = layer.attribute("axis")
    need(text.lstrip("-").isdigit() and -rank <= int(text) < rank, layer, "joins along", text)
    axis = int(text) % rank
    for v in ins:
        need(len(v.shape) == rank and all(a == b for i, (a, b) in enumerate(zip(v.shape, ins[0].shape)) if i != axis),
             layer, "joins", [v.shape for v in ins])
    ints = None
    if rank == 1 and all(v.ints is not None for v in ins):
        ints = [i for v in ins for i in v.ints]
    shape = list(ins[0].shape)
    shape[axis] = sum(v.shape[axis] for v in ins)
    return [Value(kind, shape, ints)]


@op("Slice", "opset8", 5)
def slice_(layer, ins, _):
    start, stop, step = (known(layer, v) for v in ins[1:4])
    shape = list(ins[0].shape)
    for axis, *of in zip(axes_of(layer, ins[4], len(shape)), start, stop, step):
        shape[axis] = len(range(shape[axis])[slice(*of)])
    return [Value(ins[0].kind, shape)]


@op("Gather", "opset8", 3)
def gather(layer, ins, _):
    layer.attribute("batch_dims", "0")
    data, indices, at = ins
    need(indices.kind in ("i64", "i32"), layer, "has indices of", indices.kind)
    axis, = axes_of(layer, at, len(data.shape))
    shape = data.shape[:axis] + indices.shape + data.shape[axis + 1:]
    ints = None
    if data.ints is not None and indices.ints is not None and len(data.shape) == 1:
        need(all(-data.shape[0] <= i < data.shape[0] for i in indices.ints), layer, "looks outside")
        ints = [data.ints[i] for i in indices.ints]
    return [Value(data.kind, shape, ints)]


@op("ShapeOf", "opset3", 1)
def shape_of(layer, ins, _):
    return [Value(layer.attribute("output_type", "i64", "i32"), [len(ins[0].shape)], list(ins[0].shape))]


@op("Range", "opset4", 3)
def range_(layer, ins, _):
    kind = layer.attribute("output_type", "i64", "i32")
    need(all(v.shape == [] for v in ins), layer, "takes what is no scalar")
    start, stop, step = (known(layer, v)[0] for v in ins)
    need(step != 0, layer, "has no step")
    numbers = list(range(start, stop, step))
    return [Value(kind, [len(numbers)], numbers)]


@op("Broadcast", "opset3", 2)
def broadcast_(layer, ins, _):
    mode, target = layer.attribute("mode", "numpy", "bidirectional"), known(layer, ins[1])
    shape = broadcast(ins[0].shape, target, layer)
    need(mode == "bidirectional" or shape == target, layer, "spreads", ins[0].shape, "to", target)
    return [Value(ins[0].kind, shape)]


@op("ReadValue", "opset6", 1)
def read_value(layer, ins, context):
    kind, shape = context.model.variables[layer.attribute("variable_id")]
    need(ins[0].kind == kind and fits(shape, ins[0].shape), layer, "begins as", ins[0].kind, ins[0].shape)
    if not context.past:
        return [Value(kind, ins[0].shape)]
    # The state of the steps before: the batch was the same, its tokens are `past`.
    need(ins[0].shape[2] == 0, layer, "begins with tokens in it")
    return [Value(kind, ins[0].shape[:2] + [context.past] + ins[0].shape[3:])]


@op("Assign", "opset6", 1)
def assign(layer, ins, context):
    kind, shape = context.model.variables[layer.attribute("variable_id")]
    need(ins[0].kind == kind and fits(shape, ins[0].shape), layer, "keeps", ins[0].kind, ins[0].shape, "as", shape)
    need(ins[0].shape[2] == context.inputs["attention_mask"][1], layer, "keeps", ins[0].shape[2], "tokens")
    return [Value(kind, ins[0].shape)]


def fits(declared, shape):
    return len(declared) == len(shape) and all(d in (None, s) for d, s in zip(declared, shape))


@op("ScaledDotProductAttention", "opset13", 3, 4, 5, 6)
def attention(layer, ins, _):
    layer.attribute("causal", "true", "false")
    q, k, v = (x.shape for x in ins[:3])
    kind = same_kind(layer, ins[:3])
    need(len(q) == len(k) == len(v) == 4 and q[-1] == k[-1] and k[:3] == v[:3], layer, "attends", q, k, v)
    need(q[:2] == k[:2], layer, "has queries", q, "and keys", k)
    if len(ins) > 3:
        need(ins[3].kind in (kind, "boolean"), layer, "has a mask of", ins[3].kind)
        scores = q[:3] + [k[2]]
        need(broadcast(ins[3].shape, scores, layer) == scores, layer, "has a mask of", ins[3].shape, "for", scores)
    if len(ins) > 4:
        need(ins[4].kind == kind and ins[4].shape in ([], [1]), layer, "has a scale of", ins[4].kind, ins[4].shape)
    if len(ins) > 5:
        need(ins[5].kind == kind and ins[5].shape == [1, q[1], 1, 1], layer, "has sinks of", ins[5].kind, ins[5].shape)
    return [Value(kind, q[:3] + v[3:])]


assert sizes("2, ?") == [2, None]
