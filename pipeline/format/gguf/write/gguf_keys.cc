#include "pipeline/format/gguf/write/gguf_keys.h"

#include <algorithm>
#include <string>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/gguf_names.h"
#include "pipeline/format/gguf/read/gguf_wordpiece.h"
#include "text/tokenizer/description_text.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::pipeline {
namespace {

// What a file of this recipe calls itself.
uint32_t FileType(const Recipe& recipe) {
  const GgmlNumbers& numbers = *Info(recipe.body).ggml;
  return recipe.mix == Mix::kSmall   ? numbers.small_file
         : recipe.mix == Mix::kLarge ? numbers.large_file
                                     : numbers.file;
}

// As llama.cpp's converter takes them from generation_config.json, in its order and types. It has
// no word for do_sample: a temperature of 0 says that nothing is drawn.
void WriteSampling(const SamplingDefaults& sampling, GgufWriter& out) {
  if (sampling.top_k) out.AddI32(kTopKGguf, *sampling.top_k);
  for (const SamplingNumber& number : kSamplingNumbers) {
    std::optional<float> value = sampling.*number.value;
    if (number.value == &SamplingDefaults::temperature && sampling.samples == false) value = 0.f;
    if (value) out.AddF32(number.gguf, *value);
  }
}

void WriteGeneral(const ModelDescription& model, const Recipe& recipe, GgufWriter& out) {
  out.AddText("general.architecture", model.family->name);
  if (!model.published_name.empty()) out.AddText("general.name", model.published_name);
  out.AddU32("general.file_type", FileType(recipe));
  out.AddU32("general.quantization_version", 2);
  out.AddU32("general.alignment", GgufWriter::kAlignment);
  WriteSampling(model.sampling, out);
}

void WriteHyperparameters(const ModelDescription& model, GgufWriter& out) {
  const Hyperparameters& h = model.hyper;
  const Family& family = *model.family;
  const auto key = [&](std::string_view k) { return fmt::format("{}.{}", family.name, k); };
  const auto integer = [&](std::string_view k, int64_t v) {
    out.AddU32(key(k), static_cast<uint32_t>(v));
  };
  integer("vocab_size", h.vocab);
  integer("context_length", h.context);
  integer("embedding_length", h.hidden);
  integer("block_count", h.layers);
  integer("feed_forward_length", h.intermediate);
  if (family.experts) {
    integer(family.experts->count.gguf, h.experts);
    integer(family.experts->used.gguf, h.experts_used);
    if (!family.experts->width.gguf.empty()) integer(family.experts->width.gguf, h.expert_width);
  }
  integer("attention.head_count", h.heads);
  integer("attention.head_count_kv", h.kv_heads);
  integer("attention.key_length", h.head_dim);
  integer("attention.value_length", h.head_dim);
  out.AddF32(key(family.epsilon.gguf), h.norm_epsilon);
  for (const FamilyScalar& scalar : family.scalars)
    out.AddF32(key(scalar.name.gguf), h.*scalar.value);
  if (family.gguf_states_window || h.sliding_window > 0)
    integer("attention.sliding_window", h.sliding_window);
  // What the architecture means without it is not said, as in llama.cpp's converter; 1: no layer
  // slides.
  const int64_t full_every = std::max<int64_t>(h.full_every, 1);
  if (family.full_every > 0 && full_every != family.full_every)
    integer("attention.sliding_window_pattern", full_every);
  if (family.encoder) {
    out.AddBool(key("attention.causal"), false);
    out.AddU32(kTokenTypesKey, static_cast<uint32_t>(h.token_types));
    return;
  }
  integer("rope.dimension_count", h.rope_dims);
  out.AddF32(key("rope.freq_base"), h.rope_theta);
  if (h.sliding_rope_theta != 0) out.AddF32(key("rope.freq_base_swa"), h.sliding_rope_theta);
  if (family.gguf_states_window || h.original_context != h.context)
    integer("rope.scaling.original_context_length", h.original_context);
  if (h.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    out.AddText(key("rope.scaling.type"), "linear");
    out.AddF32(key("rope.scaling.factor"), h.rope_scaling.factor);
  }
  if (h.rope_scaling.kind == RopeScaling::Kind::kYarn) {
    out.AddText(key("rope.scaling.type"), "yarn");
    out.AddF32(key("rope.scaling.factor"), h.rope_scaling.factor);
    out.AddF32(key("rope.scaling.yarn_beta_fast"), h.rope_scaling.beta_fast);
    out.AddF32(key("rope.scaling.yarn_beta_slow"), h.rope_scaling.beta_slow);
  }
  // LongRoPE and llama3 need no type: their factors are tensors.
  if (h.rope_scaling.kind == RopeScaling::Kind::kLongRope && h.rope_scaling.attention_factor)
    out.AddF32(key("rope.scaling.attn_factor"), *h.rope_scaling.attention_factor);
}

void WriteEmbedding(const ModelDescription& model, GgufWriter& out) {
  if (!model.embedding) return;
  const EmbeddingUse& use = *model.embedding;
  const auto* known = std::ranges::find_if(
      kPoolingNumbers, [&](const auto& one) { return one.pooling == use.pooling; });
  out.AddU32(fmt::format("{}.{}", model.family->name, kPoolingKey), known->number);
  if (!use.dimensions.empty())
    out.AddI32s(kDimensionsKey, std::vector<int32_t>(use.dimensions.begin(), use.dimensions.end()));
  if (use.any_dimensions) out.AddBool(kAnyDimensionsKey, true);
}

void WriteTokens(const text::TokenizerData& t, bool encoder, GgufWriter& out) {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;
  texts.reserve(t.tokens.size());
  scores.reserve(t.tokens.size());
  types.reserve(t.tokens.size());
  for (const text::Token& token : t.tokens) {
    texts.push_back(encoder && t.kind == text::TokenizerData::Kind::kWordPiece
                        ? ToGgufWordPiece(token.text)
                        : token.text);
    scores.push_back(token.score);
    types.push_back(static_cast<int32_t>(token.type));
  }
  out.AddTexts("tokenizer.ggml.tokens", texts);
  using Kind = text::TokenizerData::Kind;
  if (t.kind == Kind::kSpm || t.kind == Kind::kUnigram)
    out.AddF32s("tokenizer.ggml.scores", scores);
  out.AddI32s("tokenizer.ggml.token_type", types);
  // Where scores do not say what a description of SentencePiece BPE means.
  if (t.kind == Kind::kByteBpe || (t.kind == Kind::kSpm && !t.merges.empty()))
    out.AddTexts("tokenizer.ggml.merges", t.merges);
}

std::string_view GgmlModel(text::TokenizerData::Kind kind) {
  switch (kind) {
    case text::TokenizerData::Kind::kSpm:
      return "llama";
    case text::TokenizerData::Kind::kUnigram:
      return "t5";
    case text::TokenizerData::Kind::kWordPiece:
      return "bert";
    default:
      return "gpt2";
  }
}

struct TurnEnds {
  std::optional<int32_t> eot, eom;
};

// llama.cpp ends at eos, at what these two keys name, and at texts that it knows. So they name the
// ends of a turn and of a message where a token has such a text, and else tokens that it would not
// know by theirs.
TurnEnds ChooseTurnEnds(const text::TokenizerData& t) {
  TurnEnds out;
  const auto text = [&](int32_t id) -> std::string_view {
    return t.tokens[static_cast<size_t>(id)].text;
  };
  for (const int32_t id : t.more_ends) {
    if (text(id) == "<|eom_id|>") {
      out.eom = id;
    } else if (text::IsEndText(text(id)) && !out.eot) {
      out.eot = id;
    }
  }
  for (const int32_t id : t.more_ends) {
    if (text::IsEndText(text(id))) continue;
    std::optional<int32_t>& free = out.eot ? out.eom : out.eot;
    if (!free) free = id;
  }
  return out;
}

void WriteTokenizer(const text::TokenizerData& t, bool encoder, GgufWriter& out) {
  if (t.kind == text::TokenizerData::Kind::kNone) {
    out.AddText("tokenizer.ggml.model", "no_vocab");
    return;
  }
  out.AddText("tokenizer.ggml.model", GgmlModel(t.kind));
  out.AddText("tokenizer.ggml.pre", t.pre);
  WriteTokens(t, encoder, out);
  const auto id = [&](std::string_view key, const std::optional<int32_t>& value) {
    if (value) out.AddU32(key, static_cast<uint32_t>(*value));
  };
  id("tokenizer.ggml.bos_token_id", t.bos);
  id("tokenizer.ggml.eos_token_id", t.eos);
  if (encoder && t.kind == text::TokenizerData::Kind::kWordPiece) {
    id(kClsKey, t.bos);
    id(kSepKey, t.eos);
  }
  const TurnEnds turn = ChooseTurnEnds(t);
  id("tokenizer.ggml.eot_token_id", turn.eot);
  id("tokenizer.ggml.eom_token_id", turn.eom);
  if (const std::vector<int32_t> ends = text::EndIds(t); !ends.empty())
    out.AddI32s(kEndIdsKey, ends);
  id("tokenizer.ggml.unknown_token_id", t.unknown);
  id("tokenizer.ggml.padding_token_id", t.padding);
  out.AddBool("tokenizer.ggml.add_bos_token", t.add_bos);
  out.AddBool("tokenizer.ggml.add_eos_token", t.add_eos);
  if (t.kind == text::TokenizerData::Kind::kSpm)
    out.AddBool("tokenizer.ggml.add_space_prefix", t.add_space_prefix);
  if (t.description) out.AddText(kDescriptionKey, text::WriteDescription(*t.description));
  if (!t.chat_template.empty()) out.AddText("tokenizer.chat_template", t.chat_template);
  std::vector<std::string> names;
  for (const auto& [name, text] : t.named_templates) {
    out.AddText("tokenizer.chat_template." + name, text);
    names.push_back(name);
  }
  if (!names.empty()) out.AddTexts("tokenizer.chat_templates", names);
}

}  // namespace

void WriteKeys(const ModelDescription& model, const Recipe& recipe, GgufWriter& out) {
  WriteGeneral(model, recipe, out);
  WriteHyperparameters(model, out);
  WriteEmbedding(model, out);
  WriteTokenizer(model.tokenizer, model.family->encoder, out);
}

}  // namespace quantfleet::pipeline
