#include "pipeline/model/tokenizer_files.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "common/base/utf8.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's space
// Each way to cut a piece in two is looked up: what real vocabularies have, and no more.
constexpr size_t kMaxCutPieceBytes = 256;

const text::Token* At(const text::TokenizerData& t, const std::optional<int32_t>& id) {
  return id && *id >= 0 && static_cast<size_t>(*id) < t.tokens.size()
             ? &t.tokens[static_cast<size_t>(*id)]
             : nullptr;
}

bool IsSpecial(text::TokenType type) {
  return type == text::TokenType::kControl || type == text::TokenType::kUnknown;
}

// SentencePiece joins the neighbours whose join has the best score; a list of merges in that order
// does the same. Of equal scores the lower id comes first, and of one piece's cuts the leftmost.
json::array Merges(const text::TokenizerData& t) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < t.tokens.size(); ++i)
    if (t.tokens[i].type == text::TokenType::kNormal) ids.emplace(t.tokens[i].text, i);
  struct Merge {
    float score;
    size_t id, cut;
  };
  std::vector<Merge> merges;
  for (const auto& [text, id] : ids) {
    if (text.size() > kMaxCutPieceBytes) continue;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if ((static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) continue;  // inside a character
      if (ids.contains(text.substr(0, cut)) && ids.contains(text.substr(cut)))
        merges.push_back({t.tokens[id].score, id, cut});
    }
  }
  std::ranges::sort(merges, [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, a.id, a.cut) < std::tuple(-b.score, b.id, b.cut);
  });
  json::array out;
  out.reserve(merges.size());
  for (const Merge& m : merges) {
    const std::string_view text = t.tokens[m.id].text;
    out.push_back(
        json::array{json::string(text.substr(0, m.cut)), json::string(text.substr(m.cut))});
  }
  return out;
}

json::object SpmTokenizerJson(const text::TokenizerData& t) {
  json::array added;
  json::object vocab;
  for (size_t i = 0; i < t.tokens.size(); ++i) {
    const text::Token& token = t.tokens[i];
    vocab.emplace(token.text, i);
    if (!IsSpecial(token.type) && token.type != text::TokenType::kUserDefined) continue;
    added.push_back({{"id", i},
                     {"content", token.text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", IsSpecial(token.type)}});
  }
  json::array normalizers;
  if (t.add_space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
  json::array decoders{{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                       {{"type", "ByteFallback"}},
                       {{"type", "Fuse"}}};
  if (t.add_space_prefix)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  json::value post = nullptr;
  if (const text::Token* bos = At(t, t.bos); bos && t.add_bos) {
    const json::object first{{"SpecialToken", {{"id", bos->text}, {"type_id", 0}}}};
    const json::object text{{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const json::object second{{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    const json::object special{
        {"id", bos->text}, {"ids", json::array{*t.bos}}, {"tokens", json::array{bos->text}}};
    post = {{"type", "TemplateProcessing"},
            {"single", json::array{first, text}},
            {"pair", json::array{first, text, first, second}},
            {"special_tokens", {{bos->text, special}}}};
  }
  const text::Token* unknown = At(t, t.unknown);
  json::object model{{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", unknown ? json::value(unknown->text) : json::value(nullptr)},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", true},
                     {"byte_fallback", true},
                     {"ignore_merges", false},
                     {"vocab", std::move(vocab)},
                     {"merges", Merges(t)}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", std::move(post)},
          {"decoder", {{"type", "Sequence"}, {"decoders", std::move(decoders)}}},
          {"model", std::move(model)}};
}

json::object SpmTokenizerConfig(const text::TokenizerData& t) {
  json::object config{{"tokenizer_class", "LlamaTokenizer"},
                      {"add_bos_token", t.add_bos},
                      {"add_eos_token", t.add_eos},
                      {"add_prefix_space", t.add_space_prefix},
                      {"clean_up_tokenization_spaces", false},
                      {"legacy", true}};
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
  // Scores say nothing of what a description does.
  if (tokenizer.kind != text::TokenizerData::Kind::kSpm || tokenizer.description)
    return FailedPrecondition(
        "the source has no tokenizer.json, which {} needs for its tokenizer ('{}'): "
        "quantize from the model's Hugging Face folder, or use a gguf target",
        runtime, tokenizer.pre);
  for (const text::Token& token : tokenizer.tokens)
    if (token.type != text::TokenType::kByte && !IsUtf8(token.text))
      return FailedPrecondition(
          "token '{}' is not UTF-8, so it cannot be stored in a tokenizer.json for {}: use a gguf "
          "target",
          Shown(token.text), runtime);
  files.push_back({"tokenizer.json", json::serialize(SpmTokenizerJson(tokenizer))});
  if (!has("tokenizer_config.json"))
    files.push_back({"tokenizer_config.json", json::serialize(SpmTokenizerConfig(tokenizer))});
  return files;
}

}  // namespace quantfleet::pipeline
