#include "pipeline/model/tokenizer_files.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/outside_text.h"
#include "text/tokenizer/describe_keys.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/write_tokenizer_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

const text::Token* At(const text::TokenizerData& t, const std::optional<int32_t>& id) {
  return id && *id >= 0 && static_cast<size_t>(*id) < t.tokens.size()
             ? &t.tokens[static_cast<size_t>(*id)]
             : nullptr;
}

json::object TokenizerConfig(const text::TokenizerData& t) {
  json::object config;
  if (t.description) {
    // What a text begins and ends with is in tokenizer.json.
    config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"clean_up_tokenization_spaces", false}};
  } else {
    config = {{"tokenizer_class", "LlamaTokenizer"},
              {"add_bos_token", t.add_bos},
              {"add_eos_token", t.add_eos},
              {"add_prefix_space", t.add_space_prefix},
              {"clean_up_tokenization_spaces", false},
              {"legacy", true}};
  }
  const auto name = [&](const char* key, const std::optional<int32_t>& id) {
    if (const text::Token* token = At(t, id)) config[key] = token->text;
  };
  name("bos_token", t.bos);
  name("eos_token", t.eos);
  name("unk_token", t.unknown);
  name("pad_token", t.padding);
  if (!t.chat_template.empty()) config["chat_template"] = t.chat_template;
  if (!t.named_templates.empty()) {
    json::array all;
    if (!t.chat_template.empty())
      all.push_back({{"name", "default"}, {"template", t.chat_template}});
    for (const auto& [title, text] : t.named_templates)
      all.push_back({{"name", title}, {"template", text}});
    config["chat_template"] = std::move(all);
  }
  return config;
}

// What a text begins and ends with, as a stage: GGUF's keys say it apart, and generating runtimes
// learn of it from tokenizer_config.json, but whoever makes vectors goes by tokenizer.json alone.
void AddEnds(const text::TokenizerData& t, text::TokenizerDescription& description) {
  const text::Token *first = t.add_bos ? At(t, t.bos) : nullptr,
                    *last = t.add_eos ? At(t, t.eos) : nullptr;
  if (first == nullptr && last == nullptr) return;
  json::array single, pair;
  json::object tokens;
  const auto add = [&](const text::Token* token, const std::optional<int32_t>& id, int type) {
    if (token == nullptr) return;
    const json::object piece{{"SpecialToken", {{"id", token->text}, {"type_id", type}}}};
    if (type == 0) single.push_back(piece);
    pair.push_back(piece);
    tokens[token->text] = {
        {"id", token->text}, {"ids", json::array{*id}}, {"tokens", json::array{token->text}}};
  };
  for (const int type : {0, 1}) {
    const json::object text{{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}};
    add(first, t.bos, type);
    if (type == 0) single.push_back(text);
    pair.push_back(text);
    add(last, t.eos, type);
  }
  json::object stages = json::parse(description.stages).as_object();
  stages["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", std::move(single)},
                              {"pair", std::move(pair)},
                              {"special_tokens", std::move(tokens)}};
  description.stages = json::serialize(stages);
}

}  // namespace

const std::vector<Attachment>& ModelSource::tokenizer_files() const {
  static const std::vector<Attachment> none;
  return none;
}

absl::StatusOr<std::vector<Attachment>> TokenizerFilesFor(const ModelSource& source,
                                                          std::string_view runtime) {
  const text::TokenizerData& tokenizer = source.description().tokenizer;
  if (tokenizer.kind == text::TokenizerData::Kind::kNone)
    return FailedPrecondition(
        "the model has no tokenizer, and {} needs one: add tokenizer.json or tokenizer.model to "
        "its folder, or use a gguf target",
        runtime);
  std::vector<Attachment> files = source.tokenizer_files();
  const auto has = [&](std::string_view name) {
    return std::ranges::find(files, name, &Attachment::name) != files.end();
  };
  if (has("tokenizer.json")) return files;
  text::TokenizerData described = tokenizer;
  if (!tokenizer.description) {
    absl::StatusOr<text::TokenizerDescription> keys =
        text::DescribeKeys(tokenizer, source.description().published_name);
    absl::Status loads = keys.status();
    if (keys.ok()) {
      described.description = *std::move(keys);
      if (source.description().embedding) AddEnds(tokenizer, *described.description);
      // What no program could load is not written.
      loads = text::MakeTokenizer(described, "").status();
    }
    if (!loads.ok())
      return FailedPrecondition(
          "the source has no tokenizer.json, which {} needs, and none can be made of its tokenizer "
          "('{}'): {}. Quantize from the model's Hugging Face folder, or use a gguf target",
          runtime, Shown(tokenizer.pre, 60), Message(loads));
  }
  absl::StatusOr<std::string> written = text::WriteTokenizerJson(described);
  if (!written.ok())
    return Annotate(written.status(),
                    fmt::format("{} needs a tokenizer.json (use a gguf target)", runtime));
  files.push_back({"tokenizer.json", *std::move(written)});
  if (!has("tokenizer_config.json"))
    files.push_back(
        {"tokenizer_config.json",
         json::serialize(TokenizerConfig(source.description().embedding ? described : tokenizer))});
  return files;
}

}  // namespace quantfleet::pipeline
