#include "text/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <unordered_map>
#include <utility>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kFile = "tokenizer.json";

std::string Copy(const json::string& s) { return std::string(s.data(), s.size()); }
std::string_view View(json::string_view s) { return {s.data(), s.size()}; }

// What may be in a file before it is no vocabulary any more: memory stays bounded.
constexpr size_t kMaxTokens = size_t{1} << 20, kMaxMerges = size_t{1} << 22, kMaxTokenBytes = 4096;
constexpr int64_t kMaxId = int64_t{1} << 21;

// Takes a token into its place.
absl::Status Take(std::string_view text, int64_t id, double score, std::vector<Token>& tokens) {
  if (id < 0 || id >= kMaxId)
    return InvalidArgument("{}: model: vocab: the id of token '{}' is {}; ids are below {}", kFile,
                           Shown(text, 60), id, kMaxId);
  if (text.size() > kMaxTokenBytes)
    return InvalidArgument("{}: model: vocab: token {} has {} bytes; the maximum is {}", kFile, id,
                           text.size(), kMaxTokenBytes);
  const auto place = static_cast<size_t>(id);
  if (place >= tokens.size()) tokens.resize(place + 1, {"", 0, TokenType::kUnused});
  if (tokens[place].type != TokenType::kUnused)
    return InvalidArgument("{}: model: vocab: id {} belongs to two tokens", kFile, id);
  tokens[place] = {std::string(text), static_cast<float>(score), TokenType::kNormal};
  return absl::OkStatus();
}

absl::Status CheckCount(std::string_view what, size_t count, size_t most) {
  if (count <= most) return absl::OkStatus();
  return InvalidArgument("{}: {} has {} entries; the maximum is {}", kFile, what, count, most);
}

absl::Status ReadVocab(JsonMembers& model, std::vector<Token>& tokens) {
  const json::object* vocab = model.Object("vocab");
  QF_RETURN_IF_ERROR(model.status());
  if (vocab == nullptr) return InvalidArgument("{}: the model has no vocab", kFile);
  QF_RETURN_IF_ERROR(CheckCount("model: vocab", vocab->size(), kMaxTokens));
  for (const auto& [text, id] : *vocab) {
    if (!id.is_int64())
      return InvalidArgument("{}: model: vocab: the id of token '{}' is not an integer", kFile,
                             Shown(View(text), 60));
    QF_RETURN_IF_ERROR(Take(View(text), id.get_int64(), 0, tokens));
  }
  return absl::OkStatus();
}

// A unigram model's: [["▁a", -3.5], ...], in the order of their ids.
absl::Status ReadScored(JsonMembers& model, std::vector<Token>& tokens) {
  const json::array* vocab = model.Array("vocab");
  QF_RETURN_IF_ERROR(model.status());
  if (vocab == nullptr) return InvalidArgument("{}: the model has no vocab", kFile);
  QF_RETURN_IF_ERROR(CheckCount("model: vocab", vocab->size(), kMaxTokens));
  for (const json::value& entry : *vocab) {
    const json::array* pair = entry.if_array();
    const auto id = static_cast<int64_t>(tokens.size());
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() ||
        !pair->at(1).is_number())
      return InvalidArgument("{}: model: vocab: entry {} is not a token and its score", kFile, id);
    QF_RETURN_IF_ERROR(
        Take(View(pair->at(0).get_string()), id, pair->at(1).to_number<double>(), tokens));
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(JsonMembers& model, std::vector<std::string>& out) {
  const json::array* merges = model.Array("merges");
  QF_RETURN_IF_ERROR(model.status());
  if (merges == nullptr) return InvalidArgument("{}: the model has no merges", kFile);
  QF_RETURN_IF_ERROR(CheckCount("model: merges", merges->size(), kMaxMerges));
  out.reserve(merges->size());
  bool spaced = false;
  for (const json::value& merge : *merges) {
    if (merge.is_string()) {
      out.push_back(Copy(merge.get_string()));
      continue;
    }
    const json::array* pair = merge.if_array();
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() ||
        !pair->at(1).is_string())
      return InvalidArgument("{}: model: merges: merge {} is neither \"a b\" nor [\"a\", \"b\"]",
                             kFile, out.size());
    const std::string left = Copy(pair->at(0).get_string()), right = Copy(pair->at(1).get_string());
    // Most vocabularies write a space as another letter, and GGUF's spelling cannot hold one: such
    // merges stay in the description.
    spaced = spaced || left.find(' ') != std::string::npos || right.find(' ') != std::string::npos;
    out.push_back(left + " " + right);
  }
  if (spaced) out.clear();
  return absl::OkStatus();
}

// Files of before there were names are told apart by what they have.
std::string ModelType(const json::object& model) {
  const json::value* type = model.if_contains("type");
  if (type != nullptr && type->is_string()) return Copy(type->get_string());
  if (model.contains("merges")) return "BPE";
  if (model.contains("unk_id")) return "Unigram";
  if (model.contains("max_input_chars_per_word")) return "WordPiece";
  return model.contains("unk_token") ? "WordLevel" : "BPE";
}

absl::Status ReadModel(const json::object& root, TokenizerData& out) {
  JsonMembers members(root, std::string(kFile));
  const json::object* object = members.Object("model");
  QF_RETURN_IF_ERROR(members.status());
  if (object == nullptr) return InvalidArgument("{}: there is no model", kFile);
  JsonMembers model(*object, "tokenizer.json: model");
  const std::string type = ModelType(*object);
  if (type == "Unigram") {
    out.kind = TokenizerData::Kind::kUnigram;
    return ReadScored(model, out.tokens);
  }
  if (type == "WordPiece" || type == "WordLevel") {
    out.kind = TokenizerData::Kind::kWordPiece;
    return ReadVocab(model, out.tokens);
  }
  if (type != "BPE")
    return Unimplemented(
        "{}: the model '{}' is not supported: known are BPE, Unigram, WordPiece and WordLevel",
        kFile, Shown(type, 40));
  out.kind = model.Bool("byte_fallback").value_or(false) ? TokenizerData::Kind::kSpm
                                                         : TokenizerData::Kind::kByteBpe;
  QF_RETURN_IF_ERROR(ReadVocab(model, out.tokens));
  return ReadMerges(model, out.merges);
}

// All but the tables, and nothing that is null.
std::string Stages(const json::object& root, bool keeps_merges) {
  json::object out;
  for (const std::string_view key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const json::value* stage = root.if_contains(key);
    if (stage != nullptr && !stage->is_null()) out[key] = *stage;
  }
  json::object model;
  for (const auto& [key, value] : root.at("model").get_object())
    if (key != "vocab" && (key != "merges" || keeps_merges) && !value.is_null()) model[key] = value;
  if (!model.contains("type")) model["type"] = ModelType(root.at("model").get_object());
  out["model"] = std::move(model);
  return json::serialize(out);
}

// Says which added tokens the vocabulary has too. A token that both have, with two ids where the
// other's place is taken as well, cannot be carried out.
absl::Status MatchAdded(TokenizerJson& out) {
  const std::vector<Token>& tokens = out.data.tokens;
  const auto at = [&](int64_t id) -> const Token* {
    return id >= 0 && static_cast<size_t>(id) < tokens.size() &&
                   tokens[static_cast<size_t>(id)].type != TokenType::kUnused
               ? &tokens[static_cast<size_t>(id)]
               : nullptr;
  };
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (at(static_cast<int64_t>(i)) != nullptr) ids.emplace(tokens[i].text, i);
  for (AddedToken& token : out.added) {
    const Token* same = at(token.id);
    token.in_model = same != nullptr && same->text == token.text;
    const auto other = ids.find(token.text);
    if (same != nullptr && !token.in_model && other != ids.end())
      return InvalidArgument(
          "{}: added_tokens: '{}' has the id {}, which the vocabulary gives to '{}'; it has {} "
          "there",
          kFile, Shown(token.text, 60), token.id, Shown(same->text, 60), other->second);
  }
  return absl::OkStatus();
}

// The special token that a template's step stands for, or "".
std::string SpecialOf(const json::value& step) {
  const json::value* special =
      step.is_object() ? step.get_object().if_contains("SpecialToken") : nullptr;
  const json::value* id =
      special && special->is_object() ? special->get_object().if_contains("id") : nullptr;
  return id && id->is_string() ? Copy(id->get_string()) : "";
}

// "[CLS]" of ["[CLS]", 101], or "".
std::string NameOf(const json::object& processor, const char* key) {
  const json::value* pair = processor.if_contains(key);
  const bool named = pair != nullptr && pair->is_array() && !pair->get_array().empty() &&
                     pair->get_array().front().is_string();
  return named ? Copy(pair->get_array().front().get_string()) : "";
}

void ReadTemplate(const json::object& processor, TokenizerJson& out) {
  const json::value* type = processor.if_contains("type");
  if (type != nullptr && *type == json::value("BertProcessing")) {
    out.first_special = NameOf(processor, "cls");
    out.last_special = NameOf(processor, "sep");
  }
  const json::value* single = processor.if_contains("single");
  if (single != nullptr && single->is_array() && single->get_array().size() >= 2) {
    out.first_special = SpecialOf(single->get_array().front());
    out.last_special = SpecialOf(single->get_array().back());
  }
  const json::value* steps = processor.if_contains("processors");
  if (steps == nullptr || !steps->is_array()) return;
  for (const json::value& step : steps->get_array())
    if (step.is_object() && step.get_object().contains("single"))
      ReadTemplate({{"single", step.get_object().at("single")}}, out);
}

}  // namespace

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const json::object& root,
                                                        const std::string& where) {
  JsonMembers members(root, where);
  const json::array* added = members.Array("added_tokens");
  QF_RETURN_IF_ERROR(members.status());
  std::vector<AddedToken> out;
  if (added == nullptr) return out;
  QF_RETURN_IF_ERROR(CheckCount("added_tokens", added->size(), kMaxTokens));
  std::unordered_map<int64_t, size_t> seen;
  for (const json::value& value : *added) {
    if (!value.is_object()) return InvalidArgument("{}: an added token is not an object", where);
    JsonMembers from(value.get_object(), where + ": added_tokens");
    AddedToken token{.id = from.NeedInteger("id"), .text = from.Text("content").value_or("")};
    for (const auto& [name, flag] : {std::pair("special", &token.special),
                                     {"single_word", &token.single_word},
                                     {"lstrip", &token.lstrip},
                                     {"rstrip", &token.rstrip},
                                     {"normalized", &token.normalized},
                                     {"in_model", &token.in_model}})
      *flag = from.Bool(name).value_or(false);
    QF_RETURN_IF_ERROR(from.status());
    if (token.text.size() > kMaxTokenBytes)
      return InvalidArgument("{}: added_tokens: token {} has {} bytes; the maximum is {}", where,
                             token.id, token.text.size(), kMaxTokenBytes);
    // The last word about an id counts.
    const auto [place, fresh] = seen.emplace(token.id, out.size());
    if (fresh)
      out.push_back(std::move(token));
    else
      out[place->second] = std::move(token);
  }
  return out;
}

absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text, bool whole) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, kFile));
  JsonMembers root(object, std::string(kFile));
  TokenizerJson out;
  QF_ASSIGN_OR_RETURN(out.added, ReadAddedTokens(object, std::string(kFile)));
  if (const json::object* processor = root.Object("post_processor")) ReadTemplate(*processor, out);
  QF_RETURN_IF_ERROR(root.status());
  if (!whole) return out;
  QF_RETURN_IF_ERROR(ReadModel(object, out.data));
  QF_RETURN_IF_ERROR(MatchAdded(out));
  out.data.description = TokenizerDescription{Stages(object, out.data.merges.empty()), out.added};
  return out;
}

}  // namespace quantfleet::text
