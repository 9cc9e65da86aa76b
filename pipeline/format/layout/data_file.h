// A planned file of weights without a header: parts of tensors and known bytes, each on a multiple
// of an alignment, in the order in which they are added. Not thread-safe.
#pragma once

#include <string>

#include "pipeline/format/layout/assemble.h"

namespace quantfleet::pipeline {

class DataFile {
 public:
  struct Region {
    uint64_t offset, size;  // without the padding that follows
  };

  // `model` has to outlive this.
  DataFile(const ModelDescription& model, std::string_view path, uint64_t alignment)
      : model_(model), alignment_(alignment), file_{{std::string(path), 0, {}}, {}} {}

  // All rows of the tensor in HF's order; one dimension counts as one row.
  Region AddPart(const OutputTensor& tensor, DType dtype, Part part);
  Region AddBytes(std::string bytes);
  const std::string& path() const { return file_.file.path; }
  // Where the next region begins.
  uint64_t size() const { return file_.file.size; }

  PlannedFile Take() { return std::move(file_); }

 private:
  const ModelDescription& model_;
  const uint64_t alignment_;
  PlannedFile file_;
};

}  // namespace quantfleet::pipeline
