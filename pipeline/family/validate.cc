#include "pipeline/family/validate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "pipeline/family/shapes.h"

namespace quantfleet::pipeline {
namespace {

// Far above any model there is, far below where a product of three of them leaves int64.
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxVocab = int64_t{1} << 20;
constexpr int64_t kMaxTokenTypes = 1024;
constexpr int64_t kMaxContext = int64_t{1} << 30;
constexpr int64_t kMaxExperts = 1024, kMaxExpertsInAll = int64_t{1} << 16;

absl::Status InRange(std::string_view field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidArgument("{} is {}; it must be between {} and {}", field, value, least, most);
}

absl::Status Positive(std::string_view field, float value) {
  if (std::isfinite(value) && value > 0) return absl::OkStatus();
  return InvalidArgument("{} is {}; it must be a positive number", field, value);
}

absl::Status CheckFactors(std::string_view field, const std::vector<float>& factors,
                          int64_t wanted) {
  if (static_cast<int64_t>(factors.size()) != wanted)
    return InvalidArgument("{} has {} values, but half of the {} rotated dimensions is {}", field,
                           factors.size(), wanted * 2, wanted);
  for (const float f : factors) QF_RETURN_IF_ERROR(Positive(field, f));
  return absl::OkStatus();
}

absl::Status ValidateRope(const Hyperparameters& h) {
  const RopeScaling& rope = h.rope_scaling;
  const int64_t half = h.rope_dims / 2;
  switch (rope.kind) {
    case RopeScaling::Kind::kNone:
      return absl::OkStatus();
    case RopeScaling::Kind::kLinear:
      return Positive("rope_scaling.factor", rope.factor);
    case RopeScaling::Kind::kYarn:
      QF_RETURN_IF_ERROR(Positive("rope_scaling.factor", rope.factor));
      QF_RETURN_IF_ERROR(Positive("rope_scaling.beta_fast", rope.beta_fast));
      QF_RETURN_IF_ERROR(Positive("rope_scaling.beta_slow", rope.beta_slow));
      if (rope.beta_fast <= rope.beta_slow)
        return InvalidArgument("rope_scaling.beta_fast ({}) must be above beta_slow ({})",
                               rope.beta_fast, rope.beta_slow);
      return absl::OkStatus();
    case RopeScaling::Kind::kLongRope:
      QF_RETURN_IF_ERROR(CheckFactors("rope_scaling.long_factor", rope.long_factors, half));
      QF_RETURN_IF_ERROR(CheckFactors("rope_scaling.short_factor", rope.short_factors, half));
      return rope.attention_factor
                 ? Positive("rope_scaling.attention_factor", *rope.attention_factor)
                 : absl::OkStatus();
    case RopeScaling::Kind::kLlama3:
      if (!rope.freq_factors.empty()) return CheckFactors("rope_freqs", rope.freq_factors, half);
      QF_RETURN_IF_ERROR(Positive("rope_scaling.factor", rope.factor));
      QF_RETURN_IF_ERROR(Positive("rope_scaling.low_freq_factor", rope.low_freq_factor));
      QF_RETURN_IF_ERROR(Positive("rope_scaling.high_freq_factor", rope.high_freq_factor));
      if (rope.high_freq_factor <= rope.low_freq_factor)
        return InvalidArgument(
            "rope_scaling.high_freq_factor ({}) must be above low_freq_factor ({})",
            rope.high_freq_factor, rope.low_freq_factor);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

std::string ShapeText(int64_t rows, int64_t cols, int dims) {
  return dims == 1 ? fmt::format("[{}]", cols) : fmt::format("[{}, {}]", rows, cols);
}

std::string ShapeText(const SourceTensor& tensor) {
  return tensor.dims == 3 ? fmt::format("[{}, {}, {}]", tensor.matrices,
                                        tensor.rows / tensor.matrices, tensor.cols)
                          : ShapeText(tensor.rows, tensor.cols, tensor.dims);
}

absl::Status ValidateExperts(const Family& family, const Hyperparameters& h) {
  if (!family.experts) return absl::OkStatus();
  const ExpertsOf& names = *family.experts;
  QF_RETURN_IF_ERROR(InRange(names.count.hf, h.experts, 1, kMaxExperts));
  if (h.experts * h.layers > kMaxExpertsInAll)
    return InvalidArgument("{} is {} in {} layers; no more than {} experts in all are supported",
                           names.count.hf, h.experts, h.layers, kMaxExpertsInAll);
  if (h.experts_used < 1 || h.experts_used > h.experts)
    return InvalidArgument("{} is {}; it must be between 1 and {} ({})", names.used.hf,
                           h.experts_used, names.count.hf, h.experts);
  if (names.routing == Routing::kSparseMixer && h.experts_used != 2)
    return Unimplemented("{} is {}; models of {} with two experts for each token are supported",
                         names.used.hf, h.experts_used, family.name);
  return InRange(names.width.hf.empty() ? "intermediate_size" : names.width.hf, h.expert_width, 1,
                 kMaxWidth);
}

// The piece's own shape, and its place inside its tensor.
absl::Status ValidatePiece(const ModelDescription& model, const Piece& piece) {
  if (piece.tensor >= model.tensors.size())
    return Internal("piece {} of layer {} refers to tensor {} of {}", Name(piece.role), piece.layer,
                    piece.tensor, model.tensors.size());
  const SourceTensor& tensor = model.tensors[piece.tensor];
  const Shape want = ShapeOf(model.hyper, piece.role);
  if (Shape{piece.rows, piece.cols, piece.dims} != want)
    return InvalidArgument("{} of tensor '{}' is {}, but {} requires {}", Name(piece.role),
                           tensor.name, ShapeText(piece.rows, piece.cols, piece.dims),
                           ShapeFormula(piece.role), ShapeText(want.rows, want.cols, want.dims));
  // Of a fused tensor whose parts' rows take turns, an expert's matrix has the rows of all parts.
  const int64_t rows_of_expert = piece.rows * piece.step;
  if (piece.expert >= 0 && tensor.dims == 3 &&
      (tensor.matrices != model.hyper.experts || tensor.rows / tensor.matrices != rows_of_expert))
    return InvalidArgument(
        "tensor '{}' holds {} experts of {}, but the hyperparameters require {} of {} ({})",
        tensor.name, tensor.matrices,
        ShapeText(tensor.rows / tensor.matrices, tensor.cols, piece.dims), model.hyper.experts,
        ShapeText(rows_of_expert, piece.cols, piece.dims), ShapeFormula(piece.role));
  const bool matrix = piece.dims == tensor.dims || (piece.expert >= 0 && tensor.dims == 3);
  // Of what files have as a matrix of a row for each expert, elements count.
  const bool by_expert = Info(piece.role).by_expert && tensor.dims == 2;
  if (by_expert && tensor.rows != model.hyper.experts)
    return InvalidArgument("tensor '{}' has {} rows, but there are {} experts ({})", tensor.name,
                           tensor.rows, model.hyper.experts, ShapeFormula(piece.role));
  const int64_t behind_first = ((piece.dims == 1 ? piece.cols : piece.rows) - 1) * piece.step;
  const auto holds = [&](int64_t room) { return piece.first_row < room - behind_first; };
  const bool fits = piece.first_row >= 0 && piece.step >= 1 &&
                    (by_expert         ? holds(tensor.rows * tensor.cols)
                     : !matrix         ? false
                     : piece.dims == 1 ? holds(tensor.cols)
                                       : piece.cols == tensor.cols && holds(tensor.rows));
  if (!fits)
    return InvalidArgument(
        "tensor '{}' has the shape {}, which does not match {} with the shape {}{} ({})",
        tensor.name, ShapeText(tensor), Name(piece.role),
        ShapeText(piece.rows, piece.cols, piece.dims),
        piece.first_row > 0 ? fmt::format(" from row {} on", piece.first_row) : "",
        ShapeFormula(piece.role));
  if (piece.order == RowOrder::kInterleaved && !Info(piece.role).rotated)
    return Internal("{} of tensor '{}' cannot be interleaved", Name(piece.role), tensor.name);
  return absl::OkStatus();
}

absl::Status ValidateTensor(const SourceTensor& tensor) {
  const bool sane =
      tensor.cols >= 1 && tensor.cols <= kMaxWidth * kMaxHeads && tensor.rows >= 1 &&
      tensor.rows <= kMaxWidth * kMaxHeads &&
      (tensor.dims == 2 || (tensor.dims == 1 && tensor.rows == 1) ||
       (tensor.dims == 3 && tensor.matrices >= 1 && tensor.rows % tensor.matrices == 0));
  if (!sane)
    return InvalidArgument(
        "tensor '{}' has an invalid shape for a weight: {} rows of {}, {} dimensions", tensor.name,
        tensor.rows, tensor.cols, tensor.dims);
  if (!Divides(tensor.dtype, tensor.cols))
    return InvalidArgument(
        "tensor '{}' has rows of {} elements, which is not a multiple of the block size of {}",
        tensor.name, tensor.cols, Info(tensor.dtype).name);
  return absl::OkStatus();
}

// "attn_q ((num_attention_heads * head_dim) x hidden_size), attn_k (...)": the pieces of one
// tensor.
std::string Formulas(const ModelDescription& model, size_t tensor) {
  std::string text;
  for (const Piece& piece : model.pieces)
    if (piece.tensor == tensor && piece.expert <= 0)
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", Name(piece.role),
                          ShapeFormula(piece.role));
  return text;
}

// In canonical order, but for what a tensor has of one expert, which stands together there.
std::vector<const Piece*> AsTensorsHaveThem(const ModelDescription& model) {
  std::vector<const Piece*> pieces;
  for (const Piece& piece : model.pieces) pieces.push_back(&piece);
  std::ranges::sort(pieces, {}, [](const Piece* piece) {
    return std::tuple(piece->tensor, std::max(piece->expert, 0), piece);
  });
  return pieces;
}

// Each tensor is covered exactly once: each piece begins where the last one ended.
absl::Status ValidateCoverage(const ModelDescription& model) {
  std::vector<int64_t> covered(model.tensors.size(), 0);
  std::vector<bool> vectors(model.tensors.size(), false);
  for (const Piece* const each : AsTensorsHaveThem(model)) {
    const Piece& piece = *each;
    if (piece.step == 1 && piece.first_row != covered[piece.tensor])
      return InvalidArgument(
          "tensor '{}': {} begins at row {}, but the piece before it ends at row {}",
          model.tensors[piece.tensor].name, Name(piece.role), piece.first_row,
          covered[piece.tensor]);
    covered[piece.tensor] += piece.dims == 1 ? piece.cols : piece.rows;
    vectors[piece.tensor] = piece.dims == 1;
  }
  for (size_t i = 0; i < covered.size(); ++i) {
    const SourceTensor& tensor = model.tensors[i];
    const bool elements = tensor.dims == 1 || vectors[i];
    const int64_t whole = tensor.dims == 1 ? tensor.cols
                          : elements       ? tensor.rows * tensor.cols
                                           : tensor.rows;
    if (covered[i] == 0)
      return InvalidArgument("tensor '{}' does not belong to a {} model", tensor.name,
                             model.family->name);
    if (covered[i] != whole)
      return InvalidArgument(
          "tensor '{}' has the shape {}, but the hyperparameters require {} instead of {}: it "
          "contains {}",
          tensor.name, ShapeText(tensor), covered[i], whole, Formulas(model, i));
  }
  return absl::OkStatus();
}

// Whether the first layer has what the family's models may do without.
bool HasOptional(const ModelDescription& model) {
  return std::ranges::any_of(model.pieces, [&](const Piece& piece) {
    return piece.layer == 0 && IsOptional(*model.family, piece.role);
  });
}

absl::Status ValidateEmbedding(const ModelDescription& model) {
  const bool encoder = model.family->encoder;
  if (!model.embedding && encoder)
    return InvalidArgument(
        "a {} model makes embeddings, but its files do not say how to pool: a folder needs "
        "modules.json and 1_Pooling/config.json, a GGUF the key {}.pooling_type",
        model.family->name, model.family->name);
  if (!model.embedding) return absl::OkStatus();
  if (model.embedding->pooling == Pooling::kCls && !encoder)
    return InvalidArgument(
        "a {} model's first token sees nothing of the text behind it: it cannot be pooled by 'cls'",
        model.family->name);
  for (const int64_t length : model.embedding->dimensions)
    QF_RETURN_IF_ERROR(InRange("a length of embeddings", length, 1, model.hyper.hidden));
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateHyperparameters(const Family& family, const Hyperparameters& h) {
  QF_RETURN_IF_ERROR(InRange("hidden_size", h.hidden, 1, kMaxWidth));
  QF_RETURN_IF_ERROR(InRange("intermediate_size", h.intermediate, 1, kMaxWidth));
  QF_RETURN_IF_ERROR(InRange("num_hidden_layers", h.layers, 1, kMaxLayers));
  QF_RETURN_IF_ERROR(InRange("num_attention_heads", h.heads, 1, kMaxHeads));
  QF_RETURN_IF_ERROR(InRange("num_key_value_heads", h.kv_heads, 1, h.heads));
  if (h.heads % h.kv_heads != 0)
    return InvalidArgument("num_key_value_heads ({}) does not divide num_attention_heads ({})",
                           h.kv_heads, h.heads);
  QF_RETURN_IF_ERROR(InRange("head_dim", h.head_dim, 2, kMaxHeadDim));
  if (h.head_dim % 2 != 0) return InvalidArgument("head_dim is {}; it must be even", h.head_dim);
  QF_RETURN_IF_ERROR(InRange("the rotated part of head_dim", h.rope_dims, 2, h.head_dim));
  if (h.rope_dims % 2 != 0)
    return InvalidArgument("the rotated part of head_dim is {}; it must be even", h.rope_dims);
  if (!family.partial_rotary && h.rope_dims != h.head_dim)
    return Unimplemented("{} with partial rotary embedding ({} of {} dimensions) is not supported",
                         family.name, h.rope_dims, h.head_dim);
  if (!h.tied_embeddings && FindTensor(family, Role::kOutputHead) == nullptr)
    return Unimplemented(
        "tie_word_embeddings is false, but {} models have no output head of their own",
        family.name);
  QF_RETURN_IF_ERROR(InRange("vocab_size", h.vocab, 1, kMaxVocab));
  QF_RETURN_IF_ERROR(InRange("max_position_embeddings", h.context, 1, kMaxContext));
  QF_RETURN_IF_ERROR(
      InRange("original_max_position_embeddings", h.original_context, 1, kMaxContext));
  QF_RETURN_IF_ERROR(InRange("sliding_window", h.sliding_window, 0, kMaxContext));
  QF_RETURN_IF_ERROR(InRange("max_position_embeddings", h.windowed_context, 0, kMaxContext));
  QF_RETURN_IF_ERROR(Positive(family.epsilon.hf, h.norm_epsilon));
  for (const FamilyScalar& scalar : family.scalars)
    QF_RETURN_IF_ERROR(Positive(scalar.name.hf, h.*scalar.value));
  if (family.encoder)
    QF_RETURN_IF_ERROR(InRange("type_vocab_size", h.token_types, 1, kMaxTokenTypes));
  QF_RETURN_IF_ERROR(Positive("rope_theta", h.rope_theta));
  QF_RETURN_IF_ERROR(InRange("sliding_window_pattern", h.full_every, 0, kMaxLayers));
  if (h.full_every > 0 && family.full_every == 0)
    return Internal("{} models have no layers with a window", family.name);
  if (h.sliding_rope_theta != 0)
    QF_RETURN_IF_ERROR(Positive("the rotary base of layers with a window", h.sliding_rope_theta));
  QF_RETURN_IF_ERROR(ValidateExperts(family, h));
  return ValidateRope(h);
}

absl::Status ValidateBiases(const Family& family, bool biases) {
  const FamilyTensor* bias = FindTensor(family, Role::kAttnQBias);
  if (bias == nullptr && biases)
    return Unimplemented("{} with biases on q, k and v is not supported", family.name);
  if (bias != nullptr && bias->presence == Presence::kAlways && !biases)
    return InvalidArgument("a {} model needs biases on q, k and v; layer 0 has none", family.name);
  return absl::OkStatus();
}

absl::Status ValidateTokenizer(const text::TokenizerData& t, int64_t vocab) {
  if (t.kind == text::TokenizerData::Kind::kNone) return absl::OkStatus();
  if (static_cast<int64_t>(t.tokens.size()) != vocab)
    return InvalidArgument("the tokenizer has {} tokens, but vocab_size is {}", t.tokens.size(),
                           vocab);
  for (size_t i = 0; i < t.tokens.size(); ++i) {
    const auto type = static_cast<int32_t>(t.tokens[i].type);
    if (type < 1 || type > 6) return InvalidArgument("token {} has the unknown type {}", i, type);
    if (!std::isfinite(t.tokens[i].score))
      return InvalidArgument("token {} has a score that is not finite", i);
  }
  for (const auto& [name, id] :
       {std::pair("bos", t.bos), {"eos", t.eos}, {"unknown", t.unknown}, {"padding", t.padding}})
    if (id && (*id < 0 || *id >= vocab))
      return InvalidArgument("the {} token is {}, which is outside the vocabulary of {}", name, *id,
                             vocab);
  for (const int32_t id : t.more_ends)
    if (id < 0 || id >= vocab)
      return InvalidArgument("token {} ends a generation, but is outside the vocabulary of {}", id,
                             vocab);
  for (const std::string& merge : t.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size())
      return InvalidArgument(
          "the tokenizer has a merge that is not two tokens separated by a space: '{}'", merge);
  }
  return absl::OkStatus();
}

absl::Status Validate(const ModelDescription& model) {
  if (model.family == nullptr) return Internal("a model without a family");
  const Family& family = *model.family;
  QF_RETURN_IF_ERROR(ValidateHyperparameters(family, model.hyper));
  QF_RETURN_IF_ERROR(ValidateEmbedding(model));
  QF_RETURN_IF_ERROR(ValidateTokenizer(model.tokenizer, model.hyper.vocab));
  for (const SourceTensor& tensor : model.tensors) QF_RETURN_IF_ERROR(ValidateTensor(tensor));

  QF_RETURN_IF_ERROR(ValidateBiases(family, model.Find(Role::kAttnQBias, 0) != nullptr));
  const std::vector<PieceName> want = CanonicalPieces(family, model.hyper, HasOptional(model));
  for (size_t i = 0; i < want.size(); ++i) {
    if (i >= model.pieces.size() ||
        PieceName{model.pieces[i].role, model.pieces[i].layer, model.pieces[i].expert} != want[i])
      return InvalidArgument("{}{}{} is missing or not in its place", Name(want[i].role),
                             want[i].layer < 0 ? "" : fmt::format(" of layer {}", want[i].layer),
                             want[i].expert < 0 ? "" : fmt::format(", expert {}", want[i].expert));
    QF_RETURN_IF_ERROR(ValidatePiece(model, model.pieces[i]));
  }
  if (model.pieces.size() > want.size())
    return InvalidArgument("{} of layer {} is an unexpected piece",
                           Name(model.pieces[want.size()].role), model.pieces[want.size()].layer);
  return ValidateCoverage(model);
}

}  // namespace quantfleet::pipeline
