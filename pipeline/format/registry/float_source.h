// A source whose Q8_0 tensors read as F32, decoded through their codec as they are asked for: Q8_0
// is near enough to the original to be quantized further, and everything behind a source quantizes
// floats. The source digest of such a model is that of the decoded values. Thread-safe.
#pragma once

#include <memory>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

class FloatSource final : public ModelSource {
 public:
  // `source` itself where nothing has to be decoded.
  static std::unique_ptr<ModelSource> Over(std::unique_ptr<ModelSource> source);

  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override;
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override;
  const std::vector<Attachment>& attachments() const override { return inner_->attachments(); }
  const std::vector<Attachment>& tokenizer_files() const override {
    return inner_->tokenizer_files();
  }
  const SourceFingerprint& fingerprint() const override { return inner_->fingerprint(); }
  std::string_view format() const override { return inner_->format(); }

 private:
  explicit FloatSource(std::unique_ptr<ModelSource> inner);
  bool Decodes(size_t tensor) const;

  const std::unique_ptr<ModelSource> inner_;
  ModelDescription description_;  // the inner one, with F32 in place of what is decoded
};

}  // namespace quantfleet::pipeline
