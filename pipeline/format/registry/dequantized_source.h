// An artifact of a format that the engine does not run, as a source of weights: the values that its
// codes stand for, in F32, read where the artifact's own files say that they lie. Floats keep their
// type. So the engine can run such an artifact in place of its runtime. The files are untrusted.
// Thread-safe once opened.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/model/source.h"
#include "pipeline/tensor/code_rows.h"

namespace quantfleet::pipeline {

// Where the parts of one weight lie.
struct DequantizedWeight {
  struct Region {
    const File* file = nullptr;
    uint64_t offset = 0;
  };
  std::optional<CodeRows> rows = {};  // nullopt: a float
  Region values = {};                 // codes, or the floats themselves
  Region scales = {}, zeros = {};     // as `rows` says
};

class DequantizedSource final : public ModelSource {
 public:
  // `paths` are the artifact's files, relative to `folder`; `model` is what it was made of: such
  // files hold weights and a graph, from which hyper-parameters and tokenizer cannot be read back.
  // UNIMPLEMENTED: `format` has no StoredWeights. DATA_LOSS names the file and the tensor that is
  // missing, cut, or not what the model asks for.
  static absl::StatusOr<std::unique_ptr<DequantizedSource>> Open(
      FileSystem& files, const fs::path& folder, const std::vector<std::string>& paths,
      std::string_view format, const ModelDescription& model);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return format_; }

 private:
  DequantizedSource() = default;
  absl::Status Decode(const DequantizedWeight& weight, uint64_t offset, MutableBytes out) const;

  ModelDescription description_;
  std::string format_;
  std::vector<std::unique_ptr<File>> files_;
  std::vector<DequantizedWeight> weights_;  // by description_.tensors
  std::vector<Attachment> attachments_;
  SourceFingerprint fingerprint_;
};

}  // namespace quantfleet::pipeline
