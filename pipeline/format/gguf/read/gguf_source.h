// A GGUF file of a family that we know as a source of weights. Thread-safe once opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/format/gguf/read/gguf_tokenizer.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class GgufSource final : public ModelSource {
 public:
  // Errors name the file and the key or tensor that is wrong.
  static absl::StatusOr<std::unique_ptr<GgufSource>> Open(FileSystem& files, const fs::path& path);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "gguf"; }

  // Where the bytes of a tensor (an index into description().tensors) begin in the file.
  uint64_t FileOffset(size_t tensor) const { return places_[tensor].offset; }

 private:
  struct Place {
    uint64_t offset, size;
  };
  GgufSource() = default;
  absl::Status Describe(const GgufFile& file, const fs::path& path);
  absl::Status ReadRopeFactors(const GgufFile& file);
  absl::Status TakeTensors(const GgufFile& file);

  std::unique_ptr<File> file_;
  ModelDescription description_;
  std::vector<Place> places_;
  std::vector<Attachment> attachments_;
  SourceFingerprint fingerprint_;
};

}  // namespace quantfleet::pipeline
