// A model with adapters merged into it, as a source of weights: what peft's merge_and_unload()
// makes, W + scale * B * A, summed in double precision and rounded once, to F32. Weights that no
// adapter changes are the base's own bytes. Rows are read and merged on demand: neither model nor
// adapter is ever held as a whole. Thread-safe once opened.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/format/safetensors/adapter_list.h"
#include "pipeline/format/safetensors/lora_adapter.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class LoraSource final : public ModelSource {
 public:
  // `base` unchanged where there are no choices; `name` is what people call it. INVALID_ARGUMENT
  // names what does not fit, and both: an adapter of another base has modules that this one lacks,
  // or other shapes.
  static absl::StatusOr<std::unique_ptr<ModelSource>> Merge(FileSystem& files,
                                                            std::unique_ptr<ModelSource> base,
                                                            std::string_view name,
                                                            const std::vector<LoraChoice>& choices);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return base_->attachments(); }
  const std::vector<Attachment>& tokenizer_files() const override {
    return base_->tokenizer_files();
  }
  std::string_view config() const override { return base_->config(); }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return base_->format(); }
  std::string FileOf(size_t tensor) const override { return base_->FileOf(tensor); }
  uint64_t scratch_bytes() const override { return base_->scratch_bytes() + scratch_bytes_; }

 private:
  LoraSource() = default;
  absl::Status Take(const LoraAdapter& adapter, std::string_view model);
  absl::Status MergeRows(size_t tensor, int64_t first, int64_t count,
                         std::vector<float>& values) const;

  std::unique_ptr<ModelSource> base_;
  std::vector<LoraAdapter> adapters_;
  std::vector<std::vector<const LoraDelta*>> deltas_;  // by tensor, in the order of the choices
  ModelDescription description_;
  SourceFingerprint fingerprint_;
  uint64_t scratch_bytes_ = 0;
};

}  // namespace quantfleet::pipeline
