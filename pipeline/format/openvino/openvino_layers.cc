#include "pipeline/format/openvino/openvino_layers.h"

namespace quantfleet::pipeline {
namespace {

// Whatever calculates in F16, NPUs and GPUs, would make infinity of a lower one, and of a row that
// is masked as a whole, such as one of padding, NaN.
constexpr float kHidden = -65504;

}  // namespace

IrValue OpenVinoLayers::Rows(std::string name, Role role, IrValue ids) {
  return graph_.Add(kGather, std::move(name),
                    {weights_.Widened(role, -1, constants_), ids, constants_.Integer(0)},
                    {{"batch_dims", "0"}}, IrType::kF32, {kAnySize, kAnySize, h_.hidden});
}

IrValue OpenVinoLayers::Product(std::string name, Role role, int layer, IrValue x) {
  const IrValue weight = weights_.Widened(role, layer, constants_);
  return MatMul(std::move(name), x, weight, true, {kAnySize, kAnySize, graph_.ShapeOf(weight)[0]});
}

IrValue OpenVinoLayers::Product(Role role, int layer, IrValue x) {
  const IrValue product = Product(weights_.NameOf(role, layer) + "/product", role, layer, x);
  if (!HasBias(role, layer)) return product;
  return AddBias(weights_.NameOf(*Info(role).bias, layer) + "/added", role, layer, product);
}

bool OpenVinoLayers::HasBias(Role role, int layer) const {
  const std::optional<Role> bias = Info(role).bias;
  return bias && weights_.Has(*bias, layer);
}

IrValue OpenVinoLayers::AddBias(std::string name, Role role, int layer, IrValue x) {
  return graph_.Elementwise(kAdd, std::move(name), x,
                            weights_.Widened(*Info(role).bias, layer, constants_));
}

IrValue OpenVinoLayers::Normalize(Role role, int layer, IrValue x) {
  const auto name = [&](const char* what) {
    return fmt::format("{}/{}", weights_.NameOf(role, layer), what);
  };
  if (family_.norm == Norm::kLayer)
    x = graph_.Elementwise(kSubtract, name("centered"), x, MeanOfLast(name("center"), x));
  const IrValue squares = graph_.Elementwise(kPower, name("squares"), x, constants_.Float(2, 3));
  const IrValue mean = MeanOfLast(name("mean"), squares);
  const IrValue sum =
      graph_.Elementwise(kAdd, name("sum"), mean, constants_.Float(h_.norm_epsilon, 3));
  const IrValue root =
      graph_.Add({"Sqrt", "opset1"}, name("root"), {sum}, {}, IrType::kF32, graph_.ShapeOf(sum));
  const IrValue inverse = graph_.Add(kDivide, name("inverse"), {constants_.Float(1, 3), root},
                                     {{"auto_broadcast", "numpy"}, {"m_pythondiv", "true"}},
                                     IrType::kF32, graph_.ShapeOf(root));
  const IrValue scaled = graph_.Elementwise(kMultiply, name("scaled"), x, inverse);
  const IrValue normed = graph_.Elementwise(kMultiply, name("normed"), scaled,
                                            weights_.Widened(role, layer, constants_));
  return HasBias(role, layer) ? AddBias(name("moved"), role, layer, normed) : normed;
}

IrValue OpenVinoLayers::Heads(const std::string& name, IrValue x, int64_t heads) {
  return SwapMiddle(name + "/heads", Reshape(name + "/apart", x, {0, 0, heads, h_.head_dim}));
}

IrValue OpenVinoLayers::RealKeys(IrValue attention_mask) {
  const IrValue real =
      graph_.Add(kConvert, "mask/real", {attention_mask}, {{"destination_type", "boolean"}},
                 IrType::kBoolean, {kAnySize, kAnySize});
  return Unsqueeze("mask/real_keys", real, {1, 2});
}

IrValue OpenVinoLayers::Mask(std::string name, IrValue allowed) {
  const IrValue open = constants_.Float(0, 0);
  return Select(std::move(name), allowed, open, constants_.Float(kHidden, 0));
}

IrValue OpenVinoLayers::PlacesOf(IrValue attention_mask) {
  const IrValue counted = graph_.Add(
      {"CumSum", "opset3"}, "places/counted", {attention_mask, constants_.Integer(1)},
      {{"exclusive", "false"}, {"reverse", "false"}}, IrType::kI64, {kAnySize, kAnySize});
  const IrValue before =
      graph_.Elementwise(kAdd, "places/counted_before", counted, constants_.Integer(-1));
  return graph_.Elementwise({"Maximum", "opset1"}, "places", before, constants_.Integer(0));
}

}  // namespace quantfleet::pipeline
