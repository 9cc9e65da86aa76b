// A Hugging Face model folder as a source of weights: config.json, one safetensors file or shards
// with an index, the tokenizer, license and model card. Thread-safe once opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/safetensors/hf_config.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class HfSource final : public ModelSource {
 public:
  // Errors name the file, the tensor or field, and what to do.
  static absl::StatusOr<std::unique_ptr<HfSource>> Open(FileSystem& files, const fs::path& folder);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const std::vector<Attachment>& tokenizer_files() const override { return tokenizer_files_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "safetensors"; }

 private:
  friend class HfOpener;
  struct Place {
    size_t shard;
    uint64_t offset, size;
  };
  HfSource() = default;

  std::vector<std::unique_ptr<File>> shards_;
  ModelDescription description_;
  std::vector<Place> places_;
  std::vector<Attachment> attachments_, tokenizer_files_;
  SourceFingerprint fingerprint_;
};

}  // namespace quantfleet::pipeline
