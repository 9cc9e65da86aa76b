#include "pipeline/format/gguf/write/gguf_target.h"

#include <algorithm>

#include "pipeline/family/validate.h"
#include "pipeline/format/gguf/read/gguf_names.h"
#include "pipeline/format/gguf/write/as_is.h"
#include "pipeline/format/gguf/write/gguf_keys.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

struct GgufTensor {
  OutputTensor is;
  DType asked, dtype;   // the former before a type that divides the rows took its place
  uint64_t offset = 0;  // from where the data begin
};

// Experts that were trained in MXFP4 would only lose by another type; who names one gets it.
bool KeepsItsType(const ModelDescription& model, const Recipe& recipe, const OutputTensor& tensor) {
  const auto is_kept = [&](uint32_t p) {
    const Piece& piece = model.pieces[p];
    return piece.expert >= 0 && model.tensors[piece.tensor].dtype == DType::kMXFP4;
  };
  return std::ranges::all_of(tensor.pieces, is_kept) &&
         std::ranges::none_of(recipe.changes.overrides,
                              [&](const TypeOverride& o) { return o.Matches(tensor.Seen()); });
}

absl::StatusOr<std::vector<GgufTensor>> TensorsFor(const ModelDescription& model,
                                                   const Recipe& recipe, bool has_importance) {
  std::vector<GgufTensor> tensors;
  for (OutputTensor& tensor : FusePieces(model, [&](Role role, int layer, int) {
         return HoldingTensorName(*model.family, Dialect::kGguf, role, layer);
       })) {
    DType dtype = recipe.TypeOf(model, tensor.Seen(), has_importance);
    DType asked = recipe.AskedFor(model, tensor.Seen(), has_importance);
    if (tensor.dims > 1 && !Info(asked).ggml)
      return InvalidArgument(
          "tensor '{}': gguf supports only ggml's types, not {}: use q4_0, q4_1 or q8_0",
          tensor.name, Info(asked).name);
    if (KeepsItsType(model, recipe, tensor)) dtype = DType::kMXFP4;
    // Only a type whose blocks do not divide the rows has another in its place.
    if (tensor.dims == 1 || Divides(asked, tensor.cols)) asked = dtype;
    tensors.push_back({std::move(tensor), asked, dtype});
  }
  return tensors;
}

// Rope factors are hyper-parameters that GGUF keeps as tensors: known now, so they stand right
// behind the header.
struct FixedTensor {
  std::string_view name;
  std::vector<float> values;
};
std::vector<FixedTensor> FixedTensors(const ModelDescription& model) {
  const RopeScaling& rope = model.hyper.rope_scaling;
  switch (rope.kind) {
    case RopeScaling::Kind::kLongRope:
      return {{kRopeFactorsLong, rope.long_factors}, {kRopeFactorsShort, rope.short_factors}};
    case RopeScaling::Kind::kLlama3:
      return {{kRopeFreqs, Llama3FrequencyFactors(model.hyper)}};
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kLinear:
    case RopeScaling::Kind::kYarn:
      return {};
  }
  return {};
}

PlannedFile LayOut(const ModelDescription& model, const Recipe& recipe,
                   std::vector<GgufTensor> tensors) {
  GgufWriter writer;
  WriteKeys(model, recipe, writer);
  std::string fixed_data;
  for (const FixedTensor& tensor : FixedTensors(model)) {
    writer.AddTensor(tensor.name, DType::kF32, 1, static_cast<int64_t>(tensor.values.size()), 1);
    fixed_data.append(AsText(std::as_bytes(std::span(tensor.values))));
    fixed_data.resize(writer.data_size(), '\0');
  }
  for (GgufTensor& tensor : tensors) {
    const OutputTensor& is = tensor.is;
    tensor.offset =
        is.dims == 1 && is.matrices > 1
            ? writer.AddTensor(is.name, tensor.dtype, is.matrices, is.cols / is.matrices, 2)
            : writer.AddTensor(is.name, tensor.dtype, is.rows, is.cols, is.dims, is.matrices);
  }

  std::string header = writer.Header();
  const uint64_t data_at = header.size();
  PlannedFile out{{std::string(kModelFile), data_at + writer.data_size(), {}}, {}};
  out.file.fixed.push_back({0, header + fixed_data});
  for (const GgufTensor& tensor : tensors) {
    uint64_t at = data_at + tensor.offset;
    for (const uint32_t p : tensor.is.pieces) {
      const Piece& piece = model.pieces[p];
      out.pieces.push_back({.piece = p,
                            .file = 0,
                            .offset = at,
                            .dtype = tensor.dtype,
                            .order = RowOrderOf(*model.family, Dialect::kGguf, piece.role),
                            .padding = 0,
                            .tensor = tensor.is.name});
      at += static_cast<uint64_t>(piece.rows * RowBytes(tensor.dtype, piece.cols));
    }
    out.pieces.back().padding = static_cast<uint32_t>(RoundUp(at, GgufWriter::kAlignment) - at);
  }
  return out;
}

}  // namespace

absl::StatusOr<TargetLayout> PlanGguf(const ModelDescription& model,
                                      const std::vector<Attachment>& attachments,
                                      const Recipe& recipe, bool has_importance) {
  QF_RETURN_IF_ERROR(Validate(model));
  QF_ASSIGN_OR_RETURN(auto tensors, TensorsFor(model, recipe, has_importance));
  // Also where other types were asked for all tensors: the file has no word for such a recipe.
  if (!Info(recipe.body).ggml)
    return InvalidArgument(
        "recipe '{}': gguf holds ggml's types, not {}: use q4_0, q4_1 or q8_0 for its body",
        recipe.name, Info(recipe.body).name);
  std::vector<TypeFallback> fallbacks;
  for (const auto& tensor : tensors)
    if (tensor.dtype != tensor.asked)
      fallbacks.push_back({tensor.is.name, tensor.asked, tensor.dtype});
  std::vector<PlannedFile> files;
  files.push_back(LayOut(model, recipe, std::move(tensors)));
  v1::Memory memory = EngineMemory(model.hyper, WeightBytes(files));
  return Assemble(std::move(memory), std::move(files), attachments, std::move(fallbacks));
}

const TargetFormat kGgufFormat = {
    .name = "gguf",
    .recipes =
        [] {
          std::vector<std::string_view> names;
          for (const Recipe& recipe : Recipes()) names.push_back(recipe.name);
          return names;
        },
    .group_options = false,  // its types are ggml's own, with names of their own
    .graph_options = false,
    .as_is = true,
    .plan =
        [](const ModelSource& source, const Recipe& recipe, const Calibration* calibration) {
          const bool has_importance = calibration != nullptr;
          if (recipe.as_is) return PlanAsIs(source, recipe, has_importance);
          return PlanGguf(source.description(), source.attachments(), recipe, has_importance);
        },
    .wider_than_half = [](const Recipe&, const Piece& piece) { return KeepIn("bf16", piece); },
    .stored = std::nullopt,
};

}  // namespace quantfleet::pipeline
