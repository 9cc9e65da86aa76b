#include "pipeline/format/layout/data_file.h"

namespace quantfleet::pipeline {

DataFile::Region DataFile::AddPart(const OutputTensor& tensor, DType dtype, Part part) {
  const uint64_t begin = file_.file.size;
  uint64_t at = begin;
  for (const uint32_t p : tensor.pieces) {
    const Piece& piece = model_.pieces[p];
    file_.pieces.push_back({.piece = p,
                            .file = 0,
                            .offset = at,
                            .dtype = dtype,
                            .order = RowOrder::kHf,
                            .padding = 0,
                            .tensor = tensor.name,
                            .part = part});
    at += static_cast<uint64_t>(PartBytes(part, dtype, piece.rows, piece.cols));
  }
  file_.file.size = RoundUp(at, alignment_);
  file_.pieces.back().padding = static_cast<uint32_t>(file_.file.size - at);
  return {begin, at - begin};
}

DataFile::Region DataFile::AddBytes(std::string bytes) {
  const Region region{file_.file.size, bytes.size()};
  bytes.resize(RoundUp(bytes.size(), alignment_), '\0');
  file_.file.size += bytes.size();
  file_.file.fixed.push_back({region.offset, std::move(bytes)});
  return region;
}

}  // namespace quantfleet::pipeline
