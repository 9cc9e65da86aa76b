// A LoRA adapter as peft saves it: adapter_config.json and adapter_model.safetensors, which say for
// some weights of a model what is added to them. The files are untrusted. Immutable and thread-safe
// once opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/safetensors/packed_matrix.h"

namespace quantfleet::pipeline {

// scale * B * A, added to the weight of one module.
struct LoraDelta {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  std::string name;    // of A, for messages
  int64_t rows = 0, cols = 0, rank = 0;
  double scale = 0;
  // B is [rows, rank] and A [rank, cols]. Of an embedding, whose weight is a table of columns of
  // that product, left and right are the transposes of A and B, and stand in the file as those.
  FloatMatrix left = {}, right = {};
  bool turned = false;

  // Rows [row, row + rows) of left, by row and rank; all of right, by rank and column.
  absl::Status ReadLeft(int64_t row, int64_t count, std::vector<float>& out) const;
  absl::Status ReadRight(std::vector<float>& out) const;
};

class LoraAdapter {
 public:
  // `times` multiplies the adapter's own scale. UNIMPLEMENTED names what an adapter has that cannot
  // be merged; other errors name the file, the tensor or field, and what to do.
  static absl::StatusOr<LoraAdapter> Open(FileSystem& files, const fs::path& folder, double times);

  const std::vector<LoraDelta>& deltas() const { return deltas_; }
  const std::string& file() const { return file_name_; }  // of the weights, for messages
  // The model that it was trained on, in its own words; may be empty.
  const std::string& base() const { return base_; }
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  friend class LoraOpener;

  std::unique_ptr<File> file_;
  std::string file_name_, base_, fingerprint_;
  std::vector<LoraDelta> deltas_;
};

}  // namespace quantfleet::pipeline
