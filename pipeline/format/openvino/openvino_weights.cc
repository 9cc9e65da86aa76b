#include "pipeline/format/openvino/openvino_weights.h"

#include "pipeline/format/safetensors/hf_names.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kGroup = 32;  // the blocks of our codes

}  // namespace

OpenVinoWeights::OpenVinoWeights(const ModelDescription& model, const std::vector<OpenVinoTensor>& tensors,
                                 IrGraph& graph, DataFile& data)
    : model_(model), graph_(graph) {
  for (const OpenVinoTensor& tensor : tensors) {
    Stored stored{&tensor, {}, {}};
    if (IsFloat(tensor.dtype)) {
      stored.codes = data.AddPart(tensor.is, tensor.dtype, Part::kBlocks);
    } else {
      stored.codes = data.AddPart(tensor.is, tensor.dtype, Part::kSignedCodes);
      stored.scales = data.AddPart(tensor.is, tensor.dtype, Part::kScales);
    }
    stored_.emplace(tensor.is.name, stored);
  }
}

std::string OpenVinoWeights::NameOf(Role role, int layer) const {
  return HfTensorName(model_.architecture, role, layer);
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

IrValue OpenVinoWeights::Widen(const Stored& stored, IrConstants& constants) {
  const OutputTensor& is = stored.tensor->is;
  const DType dtype = stored.tensor->dtype;
  const auto constant = [&](std::string name, IrType type, const IrShape& shape,
                            const DataFile::Region& region) {
    return graph_.Constant(std::move(name), type, shape, region.offset, region.size);
  };
  const IrShape whole = is.dims == 1 ? IrShape{1, 1, is.cols} : IrShape{is.rows, is.cols};
  if (dtype == DType::kF32) return constant(is.name, IrType::kF32, whole, stored.codes);

  IrValue narrow;
  if (dtype == DType::kF16) {
    narrow = constant(is.name, IrType::kF16, whole, stored.codes);
  } else {
    const int64_t groups = is.cols / kGroup;
    const IrValue codes = constant(is.name, CodeBits(dtype) == 4 ? IrType::kI4 : IrType::kI8,
                                   {is.rows, groups, kGroup}, stored.codes);
    const IrValue scales = constant(is.name + "/scale", IrType::kF16, {is.rows, groups, 1}, stored.scales);
    const IrValue values = graph_.Elementwise({"Multiply", "opset1"}, is.name + "/scaled",
                                              Convert(is.name + "/codes", codes, IrType::kF16), scales);
    narrow = graph_.Add({"Reshape", "opset1"}, is.name + "/rows", {values, constants.Vector(whole)},
                        {{"special_zero", "false"}}, IrType::kF16, whole);
  }
  const IrValue wide = Convert(is.name + "/widened", narrow, IrType::kF32);
  graph_.MarkDecompression(wide);
  return wide;
}

}  // namespace quantfleet::pipeline
