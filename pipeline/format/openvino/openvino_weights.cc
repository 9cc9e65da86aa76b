#include "pipeline/format/openvino/openvino_weights.h"

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {
namespace {

// As OpenVinoWeights::Widened has it.
IrShape ShapeOf(const OutputTensor& tensor) {
  if (tensor.roles.front() == Role::kAttnSinks) return {1, tensor.cols, 1, 1};
  if (tensor.dims == 1) return {tensor.matrices, 1, tensor.cols / tensor.matrices};
  return tensor.shape();
}

}  // namespace

std::string OpenVinoName(const Family& family, Role role, int layer) {
  const bool joined = family.activation == Activation::kClampedSwiglu;
  if (joined && (role == Role::kFfnGateExpert || role == Role::kFfnUpExpert))
    return LayerTensorName(family, Dialect::kHf, FindFused(family, role)->name, layer);
  return HoldingTensorName(family, Dialect::kHf, role, layer);
}

OpenVinoWeights::OpenVinoWeights(const ModelDescription& model,
                                 const std::vector<OpenVinoTensor>& tensors, IrGraph& graph,
                                 DataFile& data)
    : model_(model), graph_(graph) {
  for (const OpenVinoTensor& tensor : tensors) {
    Stored stored{&tensor, {}, {}, {}};
    if (IsFloat(tensor.dtype)) {
      stored.codes = data.AddPart(tensor.is, tensor.dtype, Part::kBlocks);
    } else {
      const bool has_points = HasPart(tensor.dtype, Part::kZeroPoints);
      stored.codes =
          data.AddPart(tensor.is, tensor.dtype, has_points ? Part::kCodes : Part::kSignedCodes);
      stored.scales = data.AddPart(tensor.is, tensor.dtype, Part::kScales);
      if (has_points)
        stored.zero_points = data.AddPart(tensor.is, tensor.dtype, Part::kPointStream);
    }
    stored_.emplace(tensor.is.name, stored);
  }
}

std::string OpenVinoWeights::NameOf(Role role, int layer) const {
  return OpenVinoName(*model_.family, role, layer);
}

IrValue OpenVinoWeights::Widened(Role role, int layer, IrConstants& constants) {
  Stored& stored = stored_.at(NameOf(role, layer));
  if (!stored.widened) stored.widened = Widen(stored, constants);
  return *stored.widened;
}

IrValue OpenVinoWeights::Convert(std::string name, IrValue value, IrType to) {
  return graph_.Add({"Convert", "opset1"}, std::move(name), {value},
                    {{"destination_type", std::string(IrName(to))}}, to, graph_.ShapeOf(value));
}

IrValue OpenVinoWeights::Constant(std::string name, IrType type, const IrShape& shape,
                                  const DataFile::Region& region) {
  return graph_.Constant(std::move(name), type, shape, region.offset, region.size);
}

// Codes, less their zero points where they have them, times scales, all in F16: as ShapeOf, but
// with groups and the elements of a group in place of columns.
IrValue OpenVinoWeights::Decoded(const Stored& stored) {
  const OutputTensor& is = stored.tensor->is;
  const DType dtype = stored.tensor->dtype;
  const int64_t elements = Info(dtype).block_elements, groups = is.cols / elements;
  const bool has_points = HasPart(dtype, Part::kZeroPoints);
  const IrType type = CodeBits(dtype) == 4 ? (has_points ? IrType::kU4 : IrType::kI4)
                                           : (has_points ? IrType::kU8 : IrType::kI8);
  IrShape each = ShapeOf(is), grouped = each;
  each.back() = grouped.back() = groups;
  each.push_back(1);
  grouped.push_back(elements);
  const IrValue codes = Constant(is.name, type, grouped, stored.codes);
  const IrValue scales = Constant(is.name + "/scale", IrType::kF16, each, stored.scales);
  IrValue steps = Convert(is.name + "/codes", codes, IrType::kF16);
  if (has_points) {
    const IrValue points = Constant(is.name + "/zero_point", type, each, stored.zero_points);
    const IrValue wide = Convert(is.name + "/zero_point/wide", points, IrType::kF16);
    steps = graph_.Elementwise({"Subtract", "opset1"}, is.name + "/steps", steps, wide);
  }
  return graph_.Elementwise({"Multiply", "opset1"}, is.name + "/scaled", steps, scales);
}

IrValue OpenVinoWeights::Widen(const Stored& stored, IrConstants& constants) {
  const OutputTensor& is = stored.tensor->is;
  const DType dtype = stored.tensor->dtype;
  const IrShape whole = ShapeOf(is);
  if (dtype == DType::kF32) return Constant(is.name, IrType::kF32, whole, stored.codes);

  IrValue narrow;
  if (dtype == DType::kF16) {
    narrow = Constant(is.name, IrType::kF16, whole, stored.codes);
  } else {
    const IrValue decoded = Decoded(stored);
    narrow =
        graph_.Add({"Reshape", "opset1"}, is.name + "/rows", {decoded, constants.Vector(whole)},
                   {{"special_zero", "false"}}, IrType::kF16, whole);
  }
  const IrValue wide = Convert(is.name + "/widened", narrow, IrType::kF32);
  graph_.MarkDecompression(wide);
  return wide;
}

}  // namespace quantfleet::pipeline
