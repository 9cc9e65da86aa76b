#include "text/tokenizer/write_tokenizer_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/described_tokens.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

// Each way to cut a piece in two is looked up: what real vocabularies have, and no more.
constexpr size_t kMaxCutPieceBytes = 256;

// A token of the model's vocabulary.
struct Entry {
  std::string text;
  float score = 0;
  bool joins = false;  // merges may make it
  bool added = false;
};

// By id; nullopt where the vocabulary has none.
using Entries = std::vector<std::optional<Entry>>;

// `added` is ascending. Programs give added tokens that the vocabulary lacks the ids behind it,
// whatever the file says. Where that would be others, the vocabulary has these tokens as well,
// which changes nothing else: added tokens are looked for first.
Entries EntriesOf(const TokenizerData& data, const std::vector<AddedToken>& added) {
  const bool spm = data.kind == TokenizerData::Kind::kSpm;
  Entries out(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const auto& [text, score, type] = data.tokens[id];
    // SentencePiece's own tables are padded with tokens that nothing leads to.
    if (type != TokenType::kUnused || spm)
      out[id] = {text, score, type == TokenType::kNormal, false};
  }
  std::vector<const AddedToken*> behind;
  for (const AddedToken& token : added) {
    const auto id = static_cast<size_t>(token.id);
    out[id].reset();
    if (token.in_model || spm)
      out[id] = {token.text, data.tokens[id].score, token.in_model && !token.special, true};
    else
      behind.push_back(&token);
  }
  const auto has = [](const std::optional<Entry>& entry) { return entry.has_value(); };
  const auto count = std::ranges::count_if(out, has);
  bool follow = std::all_of(out.begin(), out.begin() + count, has);
  for (size_t i = 0; i < behind.size(); ++i)
    follow = follow && behind[i]->id == count + static_cast<int64_t>(i);
  for (const AddedToken* token : behind)
    if (!follow) out[static_cast<size_t>(token->id)] = {token->text, 0, false, true};
  return out;
}

// SentencePiece joins the neighbours whose join has the best score; a list of merges in that order
// does the same. Of equal scores the lower id comes first, and of one piece's cuts the leftmost;
// but added tokens, such as runs of spaces, have one score for all, so that the leftmost run grows
// as long as it can before the next begins: longer ones come first.
json::array MergesOfScores(const Entries& entries) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < entries.size(); ++i)
    if (entries[i] && entries[i]->joins) ids.emplace(entries[i]->text, i);
  struct Merge {
    float score;
    size_t shorter, id, cut;
  };
  std::vector<Merge> merges;
  for (const auto& [text, id] : ids) {
    if (text.size() > kMaxCutPieceBytes) continue;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if ((static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) continue;  // inside a character
      if (ids.contains(text.substr(0, cut)) && ids.contains(text.substr(cut)))
        merges.push_back({entries[id]->score,
                          entries[id]->added ? kMaxCutPieceBytes - text.size() : 0, id, cut});
    }
  }
  std::ranges::sort(merges, [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, a.shorter, a.id, a.cut) <
           std::tuple(-b.score, b.shorter, b.id, b.cut);
  });
  json::array out;
  out.reserve(merges.size());
  for (const Merge& m : merges) {
    const std::string_view text = entries[m.id]->text;
    out.push_back(
        json::array{json::string(text.substr(0, m.cut)), json::string(text.substr(m.cut))});
  }
  return out;
}

json::array MergesOf(const BpeModel::Merges& merges) {
  json::array out;
  out.reserve(merges.size());
  for (const auto& [left, right] : merges)
    out.push_back(json::array{json::string(left), json::string(right)});
  return out;
}

absl::StatusOr<json::value> VocabOf(const TokenizerData& data, const Entries& entries) {
  if (data.kind != TokenizerData::Kind::kUnigram) {
    json::object out;
    for (size_t id = 0; id < entries.size(); ++id)
      if (entries[id]) out.emplace(entries[id]->text, id);
    return out;
  }
  // A list, whose places are the ids.
  size_t end = entries.size();
  while (end > 0 && !entries[end - 1]) --end;
  json::array out;
  for (size_t id = 0; id < end; ++id) {
    if (!entries[id])
      return FailedPrecondition(
          "the tokenizer has no token {}, and a tokenizer.json of the type Unigram cannot leave "
          "one out",
          id);
    out.push_back(json::array{entries[id]->text, entries[id]->score});
  }
  return out;
}

json::array AddedOf(const std::vector<AddedToken>& added) {
  json::array out;
  for (const AddedToken& token : added)
    out.push_back({{"id", token.id},
                   {"content", token.text},
                   {"single_word", token.single_word},
                   {"lstrip", token.lstrip},
                   {"rstrip", token.rstrip},
                   {"normalized", token.normalized},
                   {"special", token.special}});
  return out;
}

json::value TemplateOf(const std::vector<int32_t>& before, const std::vector<int32_t>& after,
                       const TokenizerData& data) {
  if (before.empty() && after.empty()) return nullptr;
  json::object specials;
  const auto steps = [&](const std::vector<int32_t>& ids, json::array& out) {
    for (const int32_t id : ids) {
      const std::string& text = data.tokens[static_cast<size_t>(id)].text;
      specials[text] = {{"id", text}, {"ids", json::array{id}}, {"tokens", json::array{text}}};
      out.push_back(json::object{{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    }
  };
  json::array single, pair;
  for (const int type : {0, 1}) {
    steps(before, pair);
    pair.push_back(json::object{{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}});
    steps(after, pair);
    if (type == 0) single = pair;
  }
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

absl::Status CheckTexts(const TokenizerData& data) {
  for (const Token& token : data.tokens)
    if (token.type != TokenType::kByte && !IsUtf8(token.text))
      return FailedPrecondition("token '{}' is not UTF-8, so a tokenizer.json cannot hold it",
                                Shown(token.text));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> WriteTokenizerJson(const TokenizerData& data) {
  QF_RETURN_IF_ERROR(CheckTexts(data));
  QF_ASSIGN_OR_RETURN(const json::object stages,
                      ParseJsonObject(data.description->stages, "tokenizer.json"));
  const auto stage = [&](std::string_view name) {
    const json::value* found = stages.if_contains(name);
    return found == nullptr ? json::value(nullptr) : *found;
  };
  const json::value said = stage("model");
  if (!said.is_object()) return InvalidArgument("tokenizer.json: there is no model");
  json::object model = said.get_object();
  QF_ASSIGN_OR_RETURN(std::vector<AddedToken> added, DescribedAdded(data));
  std::ranges::sort(added, {}, &AddedToken::id);
  const Entries entries = EntriesOf(data, added);
  QF_ASSIGN_OR_RETURN(json::value vocab, VocabOf(data, entries));
  const bool bpe =
      data.kind == TokenizerData::Kind::kSpm || data.kind == TokenizerData::Kind::kByteBpe;
  if (bpe) {
    QF_ASSIGN_OR_RETURN(const BpeModel::Merges merges, DescribedMerges(data, said.get_object()));
    const bool scored = data.kind == TokenizerData::Kind::kSpm && merges.empty();
    model.erase("merges");
    model["vocab"] = std::move(vocab);
    model["merges"] = scored ? MergesOfScores(entries) : MergesOf(merges);
  } else {
    model["vocab"] = std::move(vocab);
  }

  QF_ASSIGN_OR_RETURN(const PostProcessor post,
                      DescribedTemplate(data, stages.if_contains("post_processor")));
  const std::vector<int32_t> before = BeginOfText(data, post);
  json::value around =
      before == post.before ? stage("post_processor") : TemplateOf(before, post.after, data);
  return json::serialize(json::object{{"version", "1.0"},
                                      {"truncation", nullptr},
                                      {"padding", nullptr},
                                      {"added_tokens", AddedOf(added)},
                                      {"normalizer", stage("normalizer")},
                                      {"pre_tokenizer", stage("pre_tokenizer")},
                                      {"post_processor", std::move(around)},
                                      {"decoder", stage("decoder")},
                                      {"model", std::move(model)}});
}

}  // namespace quantfleet::text
