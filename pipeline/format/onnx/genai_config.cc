#include "pipeline/format/onnx/genai_config.h"

#include <algorithm>
#include <boost/json.hpp>

#include "pipeline/family/family.h"
#include "pipeline/format/layout/float_text.h"
#include "pipeline/format/layout/generation.h"

namespace quantfleet::pipeline {

namespace json = boost::json;

namespace {

constexpr int32_t kTransformersTopK = 50;

// ONNX Runtime GenAI allocates the cache for as many tokens as search.max_length says, all at once:
// for Phi-4-mini's whole context 34 GB. Who wants longer texts asks for them, up to
// model.context_length.
constexpr int64_t kMostByDefault = 4096;

// GenAI wants one, and 0.9.0 hides every token of a prompt that is it: of a model without, one that
// no chat has between its turns where there is such a one.
std::optional<int32_t> Padding(const text::TokenizerData& tokenizer) {
  if (tokenizer.padding) return tokenizer.padding;
  if (!tokenizer.more_ends.empty()) return tokenizer.more_ends.front();
  return tokenizer.unknown ? tokenizer.unknown : tokenizer.eos;
}

}  // namespace

std::string GenaiConfig(const ModelDescription& model, bool shares_buffer) {
  const Hyperparameters& h = model.hyper;
  json::object decoder{
      {"session_options", {{"log_id", "onnxruntime-genai"}, {"provider_options", json::array()}}},
      {"filename", "model.onnx"},
      {"head_size", h.head_dim},
      {"hidden_size", h.hidden},
      {"inputs",
       {{"input_ids", "input_ids"},
        {"attention_mask", "attention_mask"},
        {"past_key_names", "past_key_values.%d.key"},
        {"past_value_names", "past_key_values.%d.value"}}},
      {"outputs",
       {{"logits", "logits"},
        {"present_key_names", "present.%d.key"},
        {"present_value_names", "present.%d.value"}}},
      {"num_attention_heads", h.heads},
      {"num_hidden_layers", h.layers},
      {"num_key_value_heads", h.kv_heads}};
  json::object about;
  const auto token = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) about[key] = *id;
  };
  token("bos_token_id", model.tokenizer.bos);
  if (json::value ends = EndIdsJson(model.tokenizer); !ends.is_null())
    about["eos_token_id"] = std::move(ends);
  token("pad_token_id", Padding(model.tokenizer));
  about["context_length"] = h.context;
  about["decoder"] = std::move(decoder);
  const Family& family = *model.family;
  about["type"] = family.genai_type.empty() ? family.classes.front().model_type : family.genai_type;
  about["vocab_size"] = h.vocab;
  // Where the model's publisher says nothing: the likeliest token, or, of a model that is to
  // sample, what transformers takes.
  const SamplingDefaults& sampling = model.sampling;
  const bool samples = sampling.samples.value_or(false);
  const json::object search{{"do_sample", samples},
                            {"early_stopping", true},
                            {"max_length", std::min(h.context, kMostByDefault)},
                            {"min_length", 0},
                            {"num_beams", 1},
                            {"num_return_sequences", 1},
                            {"past_present_share_buffer", shares_buffer},
                            {"repetition_penalty", Plain(sampling.repetition_penalty.value_or(1))},
                            {"temperature", Plain(sampling.temperature.value_or(1))},
                            {"top_k", sampling.top_k.value_or(samples ? kTransformersTopK : 1)},
                            {"top_p", Plain(sampling.top_p.value_or(1))}};
  return json::serialize(json::object{{"model", std::move(about)}, {"search", search}}) + "\n";
}

}  // namespace quantfleet::pipeline
