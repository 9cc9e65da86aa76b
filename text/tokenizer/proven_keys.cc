#include "text/tokenizer/proven_keys.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "common/base/json.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/described_tokens.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

bool IsThere(const json::object& stages, std::string_view name) {
  const json::value* stage = stages.if_contains(name);
  return stage != nullptr && !stage->is_null();
}

// Names also stand for what drops the text between matches, and for digits by another table.
bool CutsAlike(const json::object& stages, const NamedSplit& split) {
  bool alike = split.nfc == IsThere(stages, "normalizer");
  const absl::Status read =
      ForEachStage(stages.if_contains("pre_tokenizer"), "", "pretokenizers",
                   [&](std::string_view type, JsonMembers& from) {
                     alike = alike && (type == "ByteLevel" ||
                                       (type == "Split" && from.Text("behavior") == "Isolated"));
                     return absl::OkStatus();
                   });
  return alike && read.ok();
}

bool HasPlainModel(const json::object& stages, const NamedSplit& split) {
  const json::value* model = stages.if_contains("model");
  if (model == nullptr || !model->is_object()) return false;
  JsonMembers from(model->get_object(), "");
  const bool plain = from.Bool("ignore_merges").value_or(false) == split.ignore_merges &&
                     !from.Bool("byte_fallback").value_or(false) &&
                     from.Text("continuing_subword_prefix").value_or("").empty() &&
                     from.Text("end_of_word_suffix").value_or("").empty() &&
                     from.Any("merges") == nullptr;
  return plain && from.status().ok();
}

// The same tokens, among them every byte, so that nothing is unknown; and each merge once, because
// of equal ones not the same one counts.
bool HasTheSameTables(const TokenizerData& json, const TokenizerData& data) {
  std::unordered_set<std::string_view> texts;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (json.tokens[i].type == TokenType::kUnused) continue;
    if (json.tokens[i].text != data.tokens[i].text) return false;
    texts.insert(json.tokens[i].text);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (!texts.contains(SpellBytes({&c, 1}))) return false;
  }
  if (json.merges.empty() || json.merges != data.merges) return false;
  const std::unordered_set<std::string_view> merges(json.merges.begin(), json.merges.end());
  return merges.size() == json.merges.size();
}

// The same added tokens, without flags, none of which pieces or merges lead to. What fills a
// vocabulary up is no token there, but to the keys it is a text, which a whole piece may be.
bool HasTheSameAdded(const TokenizerData& json, const NamedSplit& split,
                     const TokenizerData& data) {
  const absl::StatusOr<std::vector<AddedToken>> described = DescribedAdded(json);
  if (!described.ok()) return false;
  std::vector<bool> added(data.tokens.size());
  for (const AddedToken& token : *described) {
    const auto id = static_cast<size_t>(token.id);
    if (token.single_word || token.lstrip || token.rstrip || token.normalized ||
        (token.in_model && !token.special) || token.text.empty() ||
        token.text != data.tokens[id].text)
      return false;
    added[id] = true;
  }
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const TokenType type = data.tokens[id].type;
    if ((IsControl(type) || type == TokenType::kUserDefined) != added[id]) return false;
    if (split.ignore_merges && !added[id] && json.tokens[id].type == TokenType::kUnused)
      return false;
  }
  return true;
}

bool BeginsAlike(const TokenizerData& json, const json::object& stages, const TokenizerData& data) {
  const absl::StatusOr<PostProcessor> post =
      DescribedTemplate(json, stages.if_contains("post_processor"));
  if (!post.ok()) return false;
  const std::vector<int32_t> keyed =
      data.add_bos && data.bos ? std::vector<int32_t>{*data.bos} : std::vector<int32_t>{};
  return BeginOfText(json, *post) == keyed;
}

}  // namespace

bool AreProven(const TokenizerData& json, const json::object& stages, const NamedSplit& split,
               const TokenizerData& data) {
  return split.letters == NamedSplit::Letters::kBytes && CutsAlike(stages, split) &&
         HasPlainModel(stages, split) && HasTheSameTables(json, data) &&
         HasTheSameAdded(json, split, data) && BeginsAlike(json, stages, data);
}

}  // namespace quantfleet::text
