#include "pipeline/format/safetensors/pickle.h"

namespace quantfleet::pipeline {

bool IsPickle(std::string_view name) {
  if (name.starts_with("pytorch_model") &&
      (name.ends_with(".bin") || name.ends_with(".bin.index.json")))
    return true;
  for (const std::string_view end : {".pth", ".pt", ".ckpt", ".pkl"})
    if (name.size() > end.size() && name.ends_with(end)) return true;
  return false;
}

absl::Status PickleRefused(const fs::path& folder, std::string_view name) {
  const std::string from = folder.empty() ? "." : folder.string();
  return InvalidArgument(
      "{} contains pickled PyTorch weights ({}), which are not read because unpickling can run "
      "code from the file; if you trust it, convert it to safetensors with transformers and torch: "
      "python3 -c \"from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
      "M.from_pretrained('{}', torch_dtype='auto').save_pretrained('{}-safetensors', "
      "safe_serialization=True); T.from_pretrained('{}').save_pretrained('{}-safetensors')\"",
      from, name, from, from, from, from);
}

}  // namespace quantfleet::pipeline
