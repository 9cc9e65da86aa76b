#include "pipeline/format/layout/assemble.h"

#include <algorithm>
#include <optional>

namespace quantfleet::pipeline {
namespace {

// Adds a multiple of four numbers; false when it does not fit.
bool AddProduct(uint64_t& sum, int64_t a, int64_t b, int64_t c, int64_t d) {
  std::optional<uint64_t> product = static_cast<uint64_t>(a);
  for (const int64_t factor : {b, c, d})
    if (product) product = CheckedMul(*product, static_cast<uint64_t>(factor));
  const std::optional<uint64_t> total = product ? CheckedAdd(sum, *product) : std::nullopt;
  if (total) sum = *total;
  return total.has_value();
}

absl::StatusOr<uint64_t> MemoryNeeded(const Hyperparameters& h, uint64_t weights, int cache_bytes) {
  uint64_t sum = weights;
  const bool fits =
      AddProduct(sum, 2 * cache_bytes * h.layers, h.kv_heads, h.head_dim, h.context) &&  // K and V
      AddProduct(sum, 4, h.heads, h.context, 1) &&                                       // attention scores
      AddProduct(sum, 4, h.vocab + 8 * h.hidden + 3 * h.intermediate, 1, 1);
  if (!fits) return InvalidArgument("a context of {} tokens needs more memory than there is", h.context);
  return sum;
}

}  // namespace

std::vector<OutputTensor> FusePieces(const ModelDescription& model,
                                     const std::function<std::string(Role role, int layer)>& name_of) {
  std::vector<OutputTensor> tensors;
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    std::string name = name_of(piece.role, piece.layer);
    if (tensors.empty() || tensors.back().name != name)
      tensors.push_back({std::move(name),
                         {},
                         piece.dims == 1 ? 1 : 0,
                         piece.dims == 1 ? 0 : piece.cols,
                         piece.dims,
                         piece.layer});
    OutputTensor& tensor = tensors.back();
    tensor.pieces.push_back(i);
    tensor.roles.push_back(piece.role);
    (piece.dims == 1 ? tensor.cols : tensor.rows) += piece.dims == 1 ? piece.cols : piece.rows;
  }
  return tensors;
}

absl::Status CheckGroups(std::string_view format, const OutputTensor& tensor, DType dtype,
                         const std::function<bool(DType)>& holds) {
  if (Divides(dtype, tensor.cols)) return absl::OkStatus();
  const std::string_view role = Name(tensor.roles.front());
  std::string instead =
      fmt::format("keep it at half precision (--tensor-type role:{}=f16) or take {}:fp16", role, format);
  if (const std::optional<GroupScheme> scheme = GroupSchemeOf(dtype))
    for (const int64_t smaller : {64, 32}) {
      const DType type = GroupType({scheme->bits, smaller, scheme->zero});
      if (smaller >= scheme->elements || !Divides(type, tensor.cols) || !holds(type)) continue;
      instead = fmt::format("take groups of {} for it (--tensor-type role:{}={})", smaller, role, Info(type).name);
      break;
    }
  return InvalidArgument("tensor '{}': rows of {} do not divide into groups of {}; {}", tensor.name, tensor.cols,
                         Info(dtype).block_elements, instead);
}

PlannedFile WholeFile(std::string path, std::string content) {
  const uint64_t size = content.size();
  return {{std::move(path), size, {{0, std::move(content)}}}, {}};
}

absl::StatusOr<TargetLayout> Assemble(const Hyperparameters& hyper, std::vector<PlannedFile> files,
                                      const std::vector<Attachment>& attachments, int cache_bytes) {
  uint64_t weights = 0;
  for (const PlannedFile& planned : files)
    if (!planned.pieces.empty()) weights += planned.file.size;
  TargetLayout layout;
  QF_ASSIGN_OR_RETURN(layout.memory_bytes, MemoryNeeded(hyper, weights, cache_bytes));

  for (const Attachment& attachment : attachments)
    files.push_back(WholeFile(attachment.name, attachment.content));
  const auto path = [](const PlannedFile& planned) { return std::string_view(planned.file.path); };
  std::ranges::sort(files, {}, path);
  const auto twin = std::ranges::adjacent_find(files, {}, path);
  if (twin != files.end()) return InvalidArgument("two files of the artifact are called '{}'", path(*twin));
  for (PlannedFile& planned : files) {
    for (PlacedPiece& piece : planned.pieces) {
      piece.file = static_cast<uint32_t>(layout.files.size());
      layout.pieces.push_back(std::move(piece));
    }
    layout.files.push_back(std::move(planned.file));
  }
  return layout;
}

}  // namespace quantfleet::pipeline
