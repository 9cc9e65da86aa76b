// A GGUF of a family that we know as a source of weights, in one file or several. Thread-safe once
// opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/format/gguf/read/gguf_shards.h"
#include "pipeline/format/gguf/read/gguf_tokenizer.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class GgufSource final : public ModelSource {
 public:
  // `path` is the file, or any one of those that it was split into. Errors name the file and the
  // key or tensor that is wrong.
  static absl::StatusOr<std::unique_ptr<GgufSource>> Open(FileSystem& files, const fs::path& path);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "gguf"; }

  std::string FileOf(size_t tensor) const override;
  // Byte for byte; of a model in several files what joins them.
  absl::StatusOr<StoredModel> AsStored() const override;

  size_t FileCount() const { return shards_.files.size(); }
  // Where the bytes of a tensor (an index into description().tensors) begin in its file.
  uint64_t FileOffset(size_t tensor) const { return places_[tensor].offset; }

 private:
  struct Place {
    uint32_t shard;
    uint64_t offset, size;
  };
  GgufSource() = default;
  absl::Status Describe();
  absl::Status ReadRopeFactors(const GgufFile& file);
  absl::Status TakeTensors(const GgufFile& file);

  GgufShards shards_;
  ModelDescription description_;
  std::vector<Place> places_;
  std::vector<Attachment> attachments_;
  SourceFingerprint fingerprint_;
};

}  // namespace quantfleet::pipeline
