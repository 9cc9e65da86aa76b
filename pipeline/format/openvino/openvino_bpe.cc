#include "pipeline/format/openvino/openvino_bpe.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/described_tokens.h"
#include "text/tokenizer/model_bpe.h"
#include "text/tokenizer/text_trie.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

using text::AddedToken;
using text::BpeModel;
using text::TokenType;

constexpr size_t kMaxRewrites = 60'000;  // characters for private use that name them

class Tables {
 public:
  Tables(const text::TokenizerData& data, bool byte_level, const std::vector<AddedToken>& added)
      : data_(data), byte_level_(byte_level), added_(added) {}

  absl::StatusOr<BpeTables> Make(const json::object& model) {
    JsonMembers from(model, "tokenizer.json: model");
    const bool fallback = from.Bool("byte_fallback").value_or(false);
    const bool whole = from.Bool("ignore_merges").value_or(false);
    const bool unknown = from.Text("unk_token").has_value();
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!from.Text(affix).value_or("").empty())
        return Unimplemented("{}: there is a {}", from.where(), affix);
    if (from.Number("dropout").value_or(0) != 0)
      return Unimplemented("{}: there is a dropout", from.where());
    QF_RETURN_IF_ERROR(from.status());
    QF_ASSIGN_OR_RETURN(const BpeModel::Merges merges, text::DescribedMerges(data_, model));
    FindTexts();
    const BpeModel::Merges kept = Living(merges);
    FillVocabulary();
    QF_RETURN_IF_ERROR(byte_level_ ? CheckBytes(unknown) : TakeBytes(fallback));
    for (const auto& [left, right] : kept) {
      out_.left.push_back(BytesOf(left));
      out_.right.push_back(BytesOf(right));
    }
    for (const AddedToken& token : added_) {
      out_.tokens.push_back(token.text);
      out_.token_ids.push_back(static_cast<int32_t>(token.id));
    }
    if (whole) QF_RETURN_IF_ERROR(TakeWholePieces(kept));
    return std::move(out_);
  }

 private:
  // What the file spells, in bytes.
  std::string BytesOf(std::string_view text) const {
    std::string bytes;
    if (!byte_level_) return std::string(text);
    return text::UnspellBytes(text, bytes) ? bytes : "";
  }

  void FindTexts() {
    std::vector<bool> special(data_.tokens.size());
    for (const AddedToken& token : added_)
      if (!token.in_model || token.special) special[static_cast<size_t>(token.id)] = true;
    live_.resize(data_.tokens.size());
    for (size_t id = 0; id < data_.tokens.size(); ++id) {
      const auto& [text, score, type] = data_.tokens[id];
      if (type == TokenType::kUnused || text.empty() || special[id]) continue;
      ids_[text] = static_cast<int32_t>(id);
      if (CharacterBytes(text) == text.size() && !BytesOf(text).empty()) live_[id] = true;
    }
  }

  std::optional<size_t> Find(std::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional(static_cast<size_t>(found->second));
  }

  // Those merges that pieces can come to. No piece has the text of a token that was cut out.
  BpeModel::Merges Living(const BpeModel::Merges& merges) {
    std::vector<std::pair<std::string_view, int32_t>> cut;
    for (const AddedToken& token : added_)
      if (token.in_model && !token.normalized &&
          token.text.find("\xE2\x96\x81") == std::string::npos)
        cut.emplace_back(token.text, 0);
    const text::TextTrie tokens(std::move(cut));
    const auto has_token = [&](std::string_view text) {
      bool found = false;
      for (size_t at = 0; at < text.size() && !found; ++at)
        tokens.ForEachPrefix(text.substr(at), [&](size_t, int32_t) { found = true; });
      return found;
    };
    std::vector<bool> keeps(merges.size());
    for (bool more = true; more;) {
      more = false;
      for (size_t i = 0; i < merges.size(); ++i) {
        if (keeps[i]) continue;
        const auto& [left, right] = merges[i];
        const auto a = Find(left), b = Find(right);
        if (!a || !b || !live_[*a] || !live_[*b]) continue;
        const auto joined = Find(std::string(left) + std::string(right));
        if (!joined || has_token(BytesOf(data_.tokens[*joined].text))) continue;
        keeps[i] = true;
        more = more || !live_[*joined];
        live_[*joined] = true;
      }
    }
    BpeModel::Merges kept;
    for (size_t i = 0; i < merges.size(); ++i)
      if (keeps[i]) kept.push_back(merges[i]);
    return kept;
  }

  void FillVocabulary() {
    for (size_t id = 0; id < live_.size(); ++id)
      out_.vocabulary.push_back(live_[id] ? BytesOf(data_.tokens[id].text) : "");
  }

  // Bytes without a token are dropped, as long as there is no unknown token.
  absl::Status CheckBytes(bool unknown) const {
    if (!unknown) return absl::OkStatus();
    for (int byte = 0; byte < 256; ++byte)
      if (!Find(text::SpellBytes(std::string(1, static_cast<char>(byte)))))
        return Unimplemented("the vocabulary lacks byte {:#04x} and has an unknown token", byte);
    return absl::OkStatus();
  }

  // Each byte of a character that is no token is a token.
  absl::Status TakeBytes(bool fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string one(1, static_cast<char>(byte));
      if (byte < 0x80)
        if (const auto character = Find(one); character && live_[*character]) continue;
      const auto named = fallback ? Find(fmt::format("<0x{:02X}>", byte)) : std::nullopt;
      if (!named)
        return Unimplemented(
            "the vocabulary lacks byte {:#04x}, and unknown characters are counted otherwise",
            byte);
      out_.vocabulary[*named] = one;
    }
    return absl::OkStatus();
  }

  // Pieces that are a token stay whole, whatever merges make of them: those of which merges make
  // another are rewritten to a text that only they have.
  absl::Status TakeWholePieces(const BpeModel::Merges& merges) {
    text::Vocabulary vocabulary;
    for (size_t id = 0; id < data_.tokens.size(); ++id) {
      vocabulary.texts.push_back(live_[id] ? data_.tokens[id].text : "");
      vocabulary.reachable.push_back(live_[id]);
    }
    text::BpeOptions options{.byte_level = byte_level_, .drops_missing = true};
    QF_ASSIGN_OR_RETURN(const std::unique_ptr<BpeModel> model,
                        BpeModel::Create(vocabulary, merges, options, "tokenizer.json: merges"));
    std::vector<int32_t> got;
    for (const auto& [text, id] : ids_) {
      const std::string bytes = BytesOf(text);
      if (bytes.empty()) continue;
      got.clear();
      model->Encode(bytes, got);
      if (got != std::vector{id}) odd_[id] = bytes;
    }
    if (odd_.size() > kMaxRewrites)
      return Unimplemented("merges do not lead to {} of the tokens", odd_.size());
    if (odd_.empty()) return absl::OkStatus();
    uint32_t next = 0xF0000;
    for (const auto& [id, bytes] : odd_) {
      // No piece is a part of a character, and the table's texts end at a NUL.
      if (!IsUtf8(bytes) || bytes.find('\0') != std::string::npos) continue;
      std::string name(kPieceBegin);
      AppendCharacter(next++, name);
      out_.rewrites[std::string(kPieceBegin) + bytes + std::string(kPieceEnd)] = name;
      out_.tokens.push_back(name);
      out_.token_ids.push_back(id);
    }
    out_.rewrites[std::string(kPieceBegin)] = out_.rewrites[std::string(kPieceEnd)] = "";
    return absl::OkStatus();
  }

  const text::TokenizerData& data_;
  const bool byte_level_;
  const std::vector<AddedToken>& added_;
  std::unordered_map<std::string_view, int32_t> ids_;  // of what pieces may be
  std::vector<bool> live_;                             // by id: pieces come to it
  std::map<int32_t, std::string> odd_;
  BpeTables out_;
};

}  // namespace

absl::StatusOr<BpeTables> MakeBpeTables(const text::TokenizerData& data, const json::object& model,
                                        bool byte_level, const std::vector<AddedToken>& added) {
  return Tables(data, byte_level, added).Make(model);
}

}  // namespace quantfleet::pipeline
