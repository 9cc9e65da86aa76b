// A Hugging Face model folder as a source of weights: config.json, one safetensors file or shards
// with an index, the tokenizer, license and model card. Weights that are quantized in parts are
// shown as blocks of a type that holds them as they are, or decoded. Thread-safe once opened.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/safetensors/hf_config.h"
#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/format/safetensors/packed_weight.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class HfSource final : public ModelSource {
 public:
  // `model` is a folder's, as ResolveModel has it. Errors name the file, the tensor or field, and
  // what to do.
  static absl::StatusOr<std::unique_ptr<HfSource>> Open(FileSystem& files, const ModelFiles& model);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const std::vector<Attachment>& tokenizer_files() const override { return tokenizer_files_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "safetensors"; }
  std::string_view config() const override { return config_; }
  std::string FileOf(size_t tensor) const override { return paths_[places_[tensor].shard]; }
  uint64_t scratch_bytes() const override { return packed_.empty() ? 0 : kPackedScratchBytes; }

 private:
  friend class HfOpener;
  struct Place {
    size_t shard;
    uint64_t offset, size;  // of a packed weight: of its codes in the file, of what is shown
    std::optional<size_t> packed = {};  // among packed_
  };
  HfSource() = default;

  std::vector<std::unique_ptr<File>> shards_;
  std::vector<std::string> paths_;  // of the shards
  ModelDescription description_;
  std::vector<Place> places_;
  std::vector<PackedWeight> packed_;
  std::vector<Attachment> attachments_, tokenizer_files_;
  std::string config_;
  SourceFingerprint fingerprint_;
};

}  // namespace quantfleet::pipeline
