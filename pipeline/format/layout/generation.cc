#include "pipeline/format/layout/generation.h"

#include <algorithm>
#include <set>

#include "pipeline/format/layout/float_text.h"
#include "pipeline/model/hf_generation.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr std::string_view kName = "generation_config.json", kEnds = "eos_token_id";

json::object Made(const ModelDescription& model) {
  const text::TokenizerData& tokenizer = model.tokenizer;
  json::object config;
  if (tokenizer.bos) config["bos_token_id"] = *tokenizer.bos;
  if (json::value ends = EndIdsJson(tokenizer); !ends.is_null()) config[kEnds] = std::move(ends);
  if (tokenizer.padding) config["pad_token_id"] = *tokenizer.padding;
  if (model.sampling.samples) config["do_sample"] = *model.sampling.samples;
  for (const SamplingNumber& number : kSamplingNumbers)
    if (const auto& value = model.sampling.*number.value) config[number.hf] = Plain(*value);
  if (model.sampling.top_k) config[kTopKHf] = *model.sampling.top_k;
  return config;
}

// The source's text; what it lists in another order or twice is the same to everybody who reads it.
absl::StatusOr<std::string> Mended(const ModelDescription& model, const std::string& text) {
  QF_ASSIGN_OR_RETURN(json::object config, ParseJsonObject(text, kName));
  JsonMembers members(config, std::string(kName));
  const std::vector<int64_t> said = ReadTokenIds(members, kEnds, model.hyper.vocab);
  QF_RETURN_IF_ERROR(members.status());
  const std::vector<int32_t> ends = text::EndIds(model.tokenizer);
  if (std::set<int64_t>(said.begin(), said.end()) == std::set<int64_t>(ends.begin(), ends.end()))
    return text;
  config[kEnds] = EndIdsJson(model.tokenizer);
  return json::serialize(config) + "\n";
}

}  // namespace

json::value EndIdsJson(const text::TokenizerData& tokenizer) {
  const std::vector<int32_t> ends = text::EndIds(tokenizer);
  if (ends.empty()) return nullptr;
  if (ends.size() == 1) return ends.front();
  return json::array(ends.begin(), ends.end());
}

absl::Status AddGenerationConfig(const ModelDescription& model, std::vector<Attachment>& files) {
  const auto there = std::ranges::find(files, kName, &Attachment::name);
  if (there == files.end()) {
    files.push_back({std::string(kName), json::serialize(Made(model)) + "\n"});
    return absl::OkStatus();
  }
  QF_ASSIGN_OR_RETURN(there->content, Mended(model, there->content));
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
