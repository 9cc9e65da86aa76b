// A model as its authors publish it: a description and random access to the raw bytes of its
// tensors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// A file that accompanies the weights (license, model card). Small.
struct Attachment {
  std::string name;
  std::string content;
};

// Size and modification time of each file, and a digest of headers and configuration: resume checks
// that the source is still the one that the recorded chunks were made from.
struct SourceFingerprint {
  std::string text;  // opaque, comparable
};

// A source that is one file whose bytes are all known but for the weights, so that a target can
// take it as it is.
struct StoredModel {
  struct Range {
    uint64_t offset;
    std::string bytes;
  };
  uint64_t size = 0;
  std::vector<uint64_t> tensors = {};  // where each of the description's begins
  std::vector<Range> rest = {};        // everything else, in the file's order
};

// Thread-safe once opened.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual const ModelDescription& description() const = 0;
  // Bytes [offset, offset + out.size()) of tensor `tensor` in its source dtype, row-major.
  virtual absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const = 0;
  // That range is not needed again.
  virtual void Release(size_t tensor, uint64_t offset, uint64_t size) const = 0;
  virtual const std::vector<Attachment>& attachments() const = 0;
  // The tokenizer as the source has it in files that other runtimes read too; empty where it has
  // none.
  virtual const std::vector<Attachment>& tokenizer_files() const;
  // config.json as the source has it, where it describes the model that the source shows and
  // nothing besides; else empty. Parsed already, and so an object.
  virtual std::string_view config() const { return {}; }
  virtual const SourceFingerprint& fingerprint() const = 0;
  virtual std::string_view format() const = 0;  // "safetensors", "gguf"
  // The name of the file that has the tensor, for messages; empty where that is not told.
  virtual std::string FileOf(size_t tensor) const;
  // Memory that one Read needs besides what it fills.
  virtual uint64_t scratch_bytes() const { return 0; }
  // INVALID_ARGUMENT: not of this kind of source.
  virtual absl::StatusOr<StoredModel> AsStored() const;
};

}  // namespace quantfleet::pipeline
