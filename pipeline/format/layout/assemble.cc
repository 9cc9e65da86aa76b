#include "pipeline/format/layout/assemble.h"

#include <algorithm>

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

std::vector<OutputTensor> FusePieces(const ModelDescription& model, const TensorNames& name_of) {
  std::vector<OutputTensor> tensors;
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    std::string name = name_of(piece.role, piece.layer, piece.expert);
    const bool stacked = piece.expert >= 0 && name == name_of(piece.role, piece.layer, -1);
    if (tensors.empty() || tensors.back().name != name)
      tensors.push_back({std::move(name),
                         {},
                         piece.dims == 1 ? 1 : 0,
                         piece.dims == 1 ? 0 : piece.cols,
                         piece.dims,
                         piece.layer});
    OutputTensor& tensor = tensors.back();
    tensor.pieces.push_back(i);
    if (tensor.roles.empty() || tensor.roles.back() != piece.role)
      tensor.roles.push_back(piece.role);
    if (stacked) tensor.dims = 3, tensor.matrices = piece.expert + 1;
    if (Info(piece.role).by_expert) tensor.matrices = model.hyper.experts;
    (piece.dims == 1 ? tensor.cols : tensor.rows) += piece.dims == 1 ? piece.cols : piece.rows;
  }
  // What a tensor has of one expert stands together.
  for (OutputTensor& tensor : tensors)
    if (tensor.dims == 3 && tensor.roles.size() > 1)
      std::ranges::sort(tensor.pieces, {}, [&](uint32_t piece) {
        return std::pair(model.pieces[piece].expert, piece);
      });
  return tensors;
}

std::vector<int64_t> OutputTensor::shape() const {
  if (dims == 1 && matrices > 1) return {matrices, cols / matrices};
  if (dims == 1) return {cols};
  if (dims == 2) return {rows, cols};
  return {matrices, rows / matrices, cols};
}

DType FittingType(const OutputTensor& tensor, DType asked, std::vector<TypeFallback>& fallbacks,
                  const std::function<bool(DType)>& holds) {
  const auto fitting = [&] {
    const auto fits = [&](DType type) { return Divides(type, tensor.cols) && holds(type); };
    if (fits(asked)) return asked;
    if (const std::optional<GroupScheme> scheme = GroupSchemeOf(asked))
      for (int bits = scheme->bits; bits <= 8; bits += 4)
        for (int64_t group = scheme->elements; group >= 16; group /= 2)
          if (const auto type = FindGroupType({bits, group, scheme->zero}); type && fits(*type))
            return *type;
    return DType::kF16;
  };
  const DType taken = fitting();
  if (taken != asked) fallbacks.push_back({tensor.name, asked, taken});
  return taken;
}

PlannedFile WholeFile(std::string path, std::string content) {
  const uint64_t size = content.size();
  return {{std::move(path), size, {{0, std::move(content)}}}, {}};
}

uint64_t WeightBytes(const std::vector<PlannedFile>& files) {
  uint64_t bytes = 0;
  for (const PlannedFile& planned : files)
    if (!planned.pieces.empty()) bytes += planned.file.size;
  return bytes;
}

absl::StatusOr<TargetLayout> Assemble(v1::Memory memory, std::vector<PlannedFile> files,
                                      const std::vector<Attachment>& attachments,
                                      std::vector<TypeFallback> fallbacks) {
  TargetLayout layout;
  layout.memory = std::move(memory);
  layout.fallbacks = std::move(fallbacks);
  for (const Attachment& attachment : attachments)
    files.push_back(WholeFile(attachment.name, attachment.content));
  const auto path = [](const PlannedFile& planned) { return std::string_view(planned.file.path); };
  std::ranges::sort(files, {}, path);
  const auto twin = std::ranges::adjacent_find(files, {}, path);
  if (twin != files.end())
    return InvalidArgument("more than one file of the artifact is named '{}'", path(*twin));
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
