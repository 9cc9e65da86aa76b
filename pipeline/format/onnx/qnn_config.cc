#include "pipeline/format/onnx/qnn_config.h"

#include <algorithm>
#include <boost/json.hpp>

#include "pipeline/format/onnx/genai_config.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// A token that ends no text and begins none: GenAI takes the first one of its kind in a prompt for
// the prompt's end.
int64_t PaddingOf(const ModelDescription& model) {
  const text::TokenizerData& t = model.tokenizer;
  const std::vector<int32_t> ends = text::EndIds(t);
  const auto is_used = [&](int64_t id) {
    return id == t.bos || std::ranges::find(ends, id) != ends.end();
  };
  if (t.padding && !is_used(*t.padding)) return *t.padding;
  int64_t last = model.hyper.vocab - 1;
  while (last > 0 && is_used(last)) --last;
  return last;
}

json::object Stage(const char* name, const ModelDescription& model, const char* other_run) {
  json::array inputs{"input_ids", "past_seq_len", "total_seq_len"}, outputs{"logits"};
  for (int64_t layer = 0; layer < model.hyper.layers; ++layer)
    for (const char* what : {"key", "value"}) {
      inputs.emplace_back(fmt::format("past_key_values.{}.{}", layer, what));
      outputs.emplace_back(fmt::format("present.{}.{}", layer, what));
    }
  return {{name,
           {{"filename", fmt::format("{}.onnx", name)},
            {"inputs", std::move(inputs)},
            {"outputs", std::move(outputs)},
            {other_run, false}}}};
}

}  // namespace

std::string QnnConfig(const ModelDescription& model, int64_t context, int64_t window) {
  json::object config = json::parse(GenaiConfig(model, /*shares_buffer=*/true)).as_object();
  json::object& about = config["model"].as_object();
  about["type"] = "decoder-pipeline";
  about["context_length"] = context;
  about["pad_token_id"] = PaddingOf(model);
  json::object& decoder = about["decoder"].as_object();
  decoder.erase("filename");
  json::object& inputs = decoder["inputs"].as_object();
  inputs.erase("attention_mask");
  inputs["past_sequence_length"] = "past_seq_len";
  inputs["total_sequence_length"] = "total_seq_len";
  decoder["sliding_window"] = {{"window_size", window},
                               {"pad_value", 0},
                               {"alignment", "left"},
                               {"slide_key_value_cache", false}};
  decoder["pipeline"] = json::array{Stage(kContextGraph, model, "run_on_token_gen"),
                                    Stage(kIteratorGraph, model, "run_on_prompt")};
  config["search"].as_object()["max_length"] = context;
  return json::serialize(config) + "\n";
}

}  // namespace quantfleet::pipeline
