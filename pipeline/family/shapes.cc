#include "pipeline/family/shapes.h"

#include <algorithm>

#include "common/base/status.h"

namespace quantfleet::pipeline {
namespace {

int64_t Length(const Hyperparameters& h, Extent extent) {
  switch (extent) {
    case Extent::kOne:
      return 1;
    case Extent::kVocab:
      return h.vocab;
    case Extent::kContext:
      return h.context;
    case Extent::kTokenTypes:
      return h.token_types;
    case Extent::kHidden:
      return h.hidden;
    case Extent::kIntermediate:
      return h.intermediate;
    case Extent::kQueries:
      return h.heads * h.head_dim;
    case Extent::kKeys:
      return h.kv_heads * h.head_dim;
    case Extent::kHead:
      return h.head_dim;
    case Extent::kExperts:
      return h.experts;
    case Extent::kExpertWidth:
      return h.expert_width;
    case Extent::kExpertWidths:
      return h.experts * h.expert_width;
    case Extent::kExpertHiddens:
      return h.experts * h.hidden;
    case Extent::kHeads:
      return h.heads;
  }
  return 0;
}

// As config.json spells it; `alone`: not a factor.
std::string_view Formula(Extent extent, bool alone) {
  switch (extent) {
    case Extent::kOne:
      return "1";
    case Extent::kVocab:
      return "vocab_size";
    case Extent::kContext:
      return "max_position_embeddings";
    case Extent::kTokenTypes:
      return "type_vocab_size";
    case Extent::kHidden:
      return "hidden_size";
    case Extent::kIntermediate:
      return "intermediate_size";
    case Extent::kQueries:
      return alone ? "num_attention_heads * head_dim" : "(num_attention_heads * head_dim)";
    case Extent::kKeys:
      return alone ? "num_key_value_heads * head_dim" : "(num_key_value_heads * head_dim)";
    case Extent::kHead:
      return "head_dim";
    case Extent::kExperts:
      return "the number of experts";
    case Extent::kExpertWidth:
      return "the width of an expert";
    case Extent::kExpertWidths:
      return "the number of experts * the width of an expert";
    case Extent::kExpertHiddens:
      return "the number of experts * hidden_size";
    case Extent::kHeads:
      return "num_attention_heads";
  }
  return "";
}

}  // namespace

Shape ShapeOf(const Hyperparameters& h, Role role) {
  const RoleInfo& info = Info(role);
  return {Length(h, info.rows), Length(h, info.cols), info.rows == Extent::kOne ? 1 : 2};
}

std::string ShapeFormula(Role role) {
  const RoleInfo& info = Info(role);
  if (info.rows == Extent::kOne) return std::string(Formula(info.cols, true));
  return fmt::format("{} x {}", Formula(info.rows, false), Formula(info.cols, false));
}

std::vector<PieceName> CanonicalPieces(const Family& family, const Hyperparameters& hyper,
                                       bool optional) {
  std::vector<PieceName> pieces;
  const auto add = [&](const FamilyTensor& tensor, int layer) {
    if (tensor.presence == Presence::kOptional && !optional) return;
    if (tensor.role == Role::kOutputHead && hyper.tied_embeddings) return;
    if (!Info(tensor.role).of_expert) return pieces.push_back({tensor.role, layer});
    for (int expert = 0; expert < static_cast<int>(hyper.experts); ++expert)
      pieces.push_back({tensor.role, layer, expert});
  };
  // What the layers have stands together.
  const auto of_layer = [](const FamilyTensor& tensor) { return Info(tensor.role).of_layer; };
  const auto first = std::ranges::find_if(family.tensors, of_layer),
             last = std::ranges::find_if_not(first, family.tensors.end(), of_layer);
  for (auto tensor = family.tensors.begin(); tensor != first; ++tensor) add(*tensor, -1);
  for (int layer = 0; layer < static_cast<int>(hyper.layers); ++layer)
    for (auto tensor = first; tensor != last; ++tensor) add(*tensor, layer);
  for (auto tensor = last; tensor != family.tensors.end(); ++tensor) add(*tensor, -1);
  return pieces;
}

}  // namespace quantfleet::pipeline
