#include "pipeline/format/gguf/gguf_target.h"

#include <algorithm>
#include <limits>

#include "pipeline/format/gguf/gguf_keys.h"
#include "pipeline/format/gguf/gguf_names.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kModelFile = "model.gguf";

// A tensor of the output: the rows of one piece, or of several that the architecture's GGUF fuses.
struct OutputTensor {
  std::string name;
  DType dtype;
  std::vector<uint32_t> pieces;
  uint64_t offset = 0;  // from where the data begin
};

// Pieces stand in canonical order, so those that one tensor fuses are neighbours, in the order that GGUF wants.
std::vector<OutputTensor> OutputTensors(const ModelDescription& model, const Recipe& recipe,
                                        bool has_importance) {
  std::vector<OutputTensor> tensors;
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    std::string name = GgufTensorName(model.architecture, model.pieces[i].role, model.pieces[i].layer);
    if (tensors.empty() || tensors.back().name != name) tensors.push_back({std::move(name), DType::kF32, {}});
    tensors.back().pieces.push_back(i);
  }
  for (OutputTensor& tensor : tensors) {
    std::vector<Role> roles;
    for (const uint32_t p : tensor.pieces) roles.push_back(model.pieces[p].role);
    const Piece& first = model.pieces[tensor.pieces.front()];
    const TargetTensor seen{
        .name = tensor.name, .roles = roles, .layer = first.layer, .cols = first.cols, .dims = first.dims};
    tensor.dtype = recipe.TypeOf(model, seen, has_importance);
  }
  return tensors;
}

// Rope factors are hyper-parameters that GGUF keeps as tensors: known now, so they stand right behind the header.
struct FixedTensor {
  std::string_view name;
  std::vector<float> values;
};
std::vector<FixedTensor> FixedTensors(const ModelDescription& model) {
  const RopeScaling& rope = model.hyper.rope_scaling;
  switch (rope.kind) {
    case RopeScaling::Kind::kLongRope:
      return {{kRopeFactorsLong, rope.long_factors}, {kRopeFactorsShort, rope.short_factors}};
    case RopeScaling::Kind::kLlama3: return {{kRopeFreqs, Llama3FrequencyFactors(model.hyper)}};
    case RopeScaling::Kind::kNone: case RopeScaling::Kind::kLinear: return {};
  }
  return {};
}

// Adds a multiple of four numbers; false when it does not fit.
bool AddProduct(uint64_t& sum, int64_t a, int64_t b, int64_t c, int64_t d) {
  std::optional<uint64_t> product = static_cast<uint64_t>(a);
  for (const int64_t factor : {b, c, d})
    if (product) product = CheckedMul(*product, static_cast<uint64_t>(factor));
  const std::optional<uint64_t> total = product ? CheckedAdd(sum, *product) : std::nullopt;
  if (total) sum = *total;
  return total.has_value();
}

absl::StatusOr<uint64_t> MemoryNeeded(const Hyperparameters& h, uint64_t weights) {
  uint64_t sum = weights;
  const bool fits = AddProduct(sum, 4 * h.layers, h.kv_heads, h.head_dim, h.context) &&  // K and V in F16
                    AddProduct(sum, 4, h.heads, h.context, 1) &&                         // attention scores
                    AddProduct(sum, 4, h.vocab + 8 * h.hidden + 3 * h.intermediate, 1, 1);
  if (!fits) return InvalidArgument("a context of {} tokens needs more memory than there is", h.context);
  return sum;
}

// Everything of model.gguf but where it stands among the files.
struct ModelFile {
  OutputFile file;
  std::vector<PlacedPiece> pieces;
};

ModelFile LayOut(const ModelDescription& model, const Recipe& recipe, std::vector<OutputTensor> tensors) {
  GgufWriter writer;
  WriteKeys(model, recipe, writer);
  std::string fixed_data;
  for (const FixedTensor& tensor : FixedTensors(model)) {
    writer.AddTensor(tensor.name, DType::kF32, 1, static_cast<int64_t>(tensor.values.size()), 1);
    fixed_data.append(AsText(std::as_bytes(std::span(tensor.values))));
    fixed_data.resize(writer.data_size(), '\0');
  }
  for (OutputTensor& tensor : tensors) {
    const Piece& first = model.pieces[tensor.pieces.front()];
    int64_t rows = 0;
    for (const uint32_t p : tensor.pieces) rows += model.pieces[p].rows;
    tensor.offset = writer.AddTensor(tensor.name, tensor.dtype, rows, first.cols, first.dims);
  }

  std::string header = writer.Header();
  const uint64_t data_at = header.size();
  ModelFile out{{std::string(kModelFile), data_at + writer.data_size(), {}}, {}};
  out.file.fixed.push_back({0, header + fixed_data});
  for (const OutputTensor& tensor : tensors) {
    uint64_t at = data_at + tensor.offset;
    for (const uint32_t p : tensor.pieces) {
      const Piece& piece = model.pieces[p];
      const bool rotated = piece.role == Role::kAttnQ || piece.role == Role::kAttnK ||
                           piece.role == Role::kAttnQBias || piece.role == Role::kAttnKBias;
      out.pieces.push_back({.piece = p, .file = 0, .offset = at, .dtype = tensor.dtype,
                            .order = rotated ? GgufQkOrder(model.architecture) : RowOrder::kHf,
                            .padding = 0, .tensor = tensor.name});
      at += static_cast<uint64_t>(piece.rows * RowBytes(tensor.dtype, piece.cols));
    }
    out.pieces.back().padding = static_cast<uint32_t>(RoundUp(at, GgufWriter::kAlignment) - at);
  }
  return out;
}

}  // namespace

absl::StatusOr<TargetLayout> PlanGguf(const ModelDescription& model,
                                      const std::vector<Attachment>& attachments, const Recipe& recipe,
                                      bool has_importance) {
  QF_RETURN_IF_ERROR(Validate(model));
  ModelFile planned = LayOut(model, recipe, OutputTensors(model, recipe, has_importance));

  TargetLayout layout;
  QF_ASSIGN_OR_RETURN(layout.memory_bytes, MemoryNeeded(model.hyper, planned.file.size));
  layout.files.push_back(std::move(planned.file));
  for (const Attachment& attachment : attachments)
    layout.files.push_back({attachment.name, attachment.content.size(), {{0, attachment.content}}});
  std::ranges::sort(layout.files, {}, &OutputFile::path);
  const auto twin = std::ranges::adjacent_find(layout.files, {}, &OutputFile::path);
  if (twin != layout.files.end()) return InvalidArgument("two files of the artifact are called '{}'", twin->path);

  const auto file = static_cast<uint32_t>(std::ranges::find(layout.files, kModelFile, &OutputFile::path) -
                                          layout.files.begin());
  layout.pieces = std::move(planned.pieces);
  for (PlacedPiece& piece : layout.pieces) piece.file = file;
  return layout;
}

}  // namespace quantfleet::pipeline
