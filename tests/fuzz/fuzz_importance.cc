// Importance files: whatever is accepted weighs whole rows with numbers that encoders may multiply
// with. And files of second moments: what an accepted one names can be read.
#include <cmath>
#include <cstdlib>

#include "pipeline/format/gguf/read/gguf_calibration.h"
#include "pipeline/format/gguf/read/gguf_importance.h"
#include "tests/support/canonical_model.h"
#include "tests/support/memory_file.h"

using quantfleet::testing::MemoryFileSystem;
namespace pipeline = quantfleet::pipeline;

namespace {

pipeline::ModelDescription Model() {
  return quantfleet::testing::CanonicalModel("phi3", {.hidden = 4,
                                                      .intermediate = 6,
                                                      .layers = 1,
                                                      .heads = 2,
                                                      .kv_heads = 1,
                                                      .head_dim = 2,
                                                      .vocab = 9,
                                                      .context = 8,
                                                      .original_context = 8,
                                                      .rope_dims = 2});
}

void Require(bool condition) {
  if (!condition) std::abort();
}

void RequireReadableMoments(MemoryFileSystem& files, const pipeline::ModelDescription& model) {
  const auto moments = pipeline::OpenSecondMoments(files, "input.gguf", model);
  if (!moments.ok()) return;
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const int64_t input = (*moments)->InputOf(i);
    if (input < 0) continue;
    const auto cols = static_cast<size_t>(model.pieces[i].cols);
    std::vector<float> triangle(cols * (cols + 1) / 2);
    Require((*moments)->Read(input, 0, triangle).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const pipeline::ModelDescription model = Model();
  MemoryFileSystem files;
  files.Put("input.gguf", std::string(reinterpret_cast<const char*>(data), size));
  RequireReadableMoments(files, model);
  const auto importance = pipeline::ReadImportance(files, "input.gguf", model);
  if (!importance.ok()) return 0;
  Require(importance->columns.size() == model.pieces.size());
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const std::vector<float>& columns = importance->columns[i];
    Require(columns.empty() || static_cast<int64_t>(columns.size()) == model.pieces[i].cols);
    for (const float weight : columns) Require(std::isfinite(weight) && weight >= 0);
  }
  return 0;
}
