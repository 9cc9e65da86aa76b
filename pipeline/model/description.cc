#include "pipeline/model/description.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "common/base/utf8.h"

namespace quantfleet::pipeline {

float AttentionScale(const Hyperparameters& hyper) {
  return hyper.attention_scale != 0 ? hyper.attention_scale
                                    : 1.f / std::sqrt(static_cast<float>(hyper.head_dim));
}

int64_t WindowOf(const Hyperparameters& hyper, int64_t layer) {
  return hyper.full_every > 0 && (layer + 1) % hyper.full_every != 0 ? hyper.sliding_window : 0;
}

int64_t SlidingLayers(const Hyperparameters& hyper) {
  if (hyper.full_every == 0 || hyper.sliding_window == 0) return 0;
  return hyper.layers - hyper.layers / hyper.full_every;
}

const Piece* ModelDescription::Find(Role role, int layer) const {
  const auto it = std::ranges::find_if(
      pieces, [&](const Piece& p) { return p.role == role && p.layer == layer; });
  return it == pieces.end() ? nullptr : &*it;
}

int64_t ModelDescription::Parameters() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += piece.rows * piece.cols;
  return sum;
}

std::string PublishableName(std::string_view name) {
  constexpr size_t kLongest = 128;
  if (name.size() > kLongest || !IsUtf8(name)) return "";
  const bool plain =
      std::ranges::none_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  return plain ? std::string(name) : "";
}

bool IsHead(const ModelDescription& model, const Piece& piece) {
  if (model.embedding) return false;
  return piece.role == Role::kOutputHead ||
         (piece.role == Role::kTokenEmbedding && model.hyper.tied_embeddings);
}

bool IsQuantized(const SourceTensor& tensor) {
  return !tensor.packed.empty() || !IsFloat(tensor.dtype);
}

std::string QuantizedNote(const ModelDescription& model) {
  std::vector<std::string_view> types;
  bool as_is = true;
  // Nobody has these in another type, and GGUF keeps them.
  const bool trained_so = std::ranges::all_of(model.pieces, [&](const Piece& piece) {
    const SourceTensor& tensor = model.tensors[piece.tensor];
    return !IsQuantized(tensor) || (piece.expert >= 0 && tensor.dtype == DType::kMXFP4);
  });
  for (const SourceTensor& tensor : model.tensors) {
    if (!IsQuantized(tensor)) continue;
    const std::string_view type =
        tensor.packed.empty() ? Info(tensor.dtype).name : std::string_view(tensor.packed);
    if (std::ranges::find(types, type) == types.end()) types.push_back(type);
    as_is = as_is && tensor.packed.empty();
  }
  if (types.empty()) return "";
  if (trained_so)
    return "the experts' weights are mxfp4, as the model was trained: gguf targets keep them, "
           "and another quantized type loses quality";
  return fmt::format(
      "the model's weights are quantized already ({}): quantizing them again loses quality; the "
      "original model makes better artifacts{}",
      fmt::join(types, ", "), as_is ? ", and gguf:as-is takes this file as it is" : "");
}

std::vector<std::string> WarningsOf(const ModelDescription& model) {
  std::vector<std::string> warnings = model.notes;
  if (model.tokenizer.kind == text::TokenizerData::Kind::kNone)
    warnings.push_back(
        "the model has no tokenizer: artifacts made of it can run on token ids only, and rollouts "
        "to devices that answer text are refused");
  return warnings;
}

}  // namespace quantfleet::pipeline
