// From a tokenizer's data to its stages: those that it describes, or those that GGUF's keys mean.
#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <utility>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "text/tokenizer/end_tokens.h"
#include "text/tokenizer/model_bpe.h"
#include "text/tokenizer/model_scores.h"
#include "text/tokenizer/model_unigram.h"
#include "text/tokenizer/model_wordpiece.h"
#include "text/tokenizer/named_splits.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_stages.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr size_t kMaxPieceCharacters = 100;  // WordPiece's default

absl::Status CheckIds(const TokenizerData& data) {
  const auto count = static_cast<int32_t>(data.tokens.size());
  if (count == 0) return InvalidArgument("the tokenizer has no tokens");
  for (const auto& [name, id] :
       {std::pair("bos", data.bos), {"eos", data.eos}, {"unknown", data.unknown}}) {
    if (id && (*id < 0 || *id >= count))
      return InvalidArgument("the tokenizer's {} id {} is outside its {} tokens", name, *id, count);
  }
  return absl::OkStatus();
}

std::vector<bool> Ends(const TokenizerData& data) {
  std::vector<bool> ends;
  for (const Token& token : data.tokens) ends.push_back(EndsByText(token));
  for (const int32_t id : EndIds(data))
    if (id >= 0 && static_cast<size_t>(id) < ends.size()) ends[static_cast<size_t>(id)] = true;
  return ends;
}

BpeModel::Merges Split(const std::vector<std::string>& merges) {
  BpeModel::Merges out;
  out.reserve(merges.size());
  for (const std::string& merge : merges) {
    // A space may be the first letter of a symbol, as llama.cpp has it.
    const size_t space = merge.find(' ', 1);
    const std::string_view all = merge;
    if (space == std::string::npos)
      out.emplace_back(all, "");
    else
      out.emplace_back(all.substr(0, space), all.substr(space + 1));
  }
  return out;
}

absl::StatusOr<Normalizer> NormalizerOf(const char* stage) {
  const json::value value = json::parse(stage);
  return Normalizer::Create(&value);
}

// ---- What GGUF's keys mean, as llama.cpp runs them.

bool IsPhi3(std::string_view model_name) {
  std::string name(model_name);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

AddedTokens KeyedAdded(const TokenizerData& data, std::string_view model_name) {
  const bool phi3 = IsPhi3(model_name);
  std::vector<AddedToken> added;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto& [text, score, type] = data.tokens[i];
    if ((!IsControl(type) && type != TokenType::kUserDefined) || text.empty()) continue;
    const bool strips = phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    added.push_back({.id = static_cast<int64_t>(i),
                     .text = text,
                     .special = IsControl(type),
                     .rstrip = strips});
  }
  return AddedTokens(std::move(added));
}

absl::Status TakeSentencePiece(const TokenizerData& data, const Vocabulary& vocabulary,
                               TokenizerStages& out) {
  QF_ASSIGN_OR_RETURN(out.normalizer,
                      NormalizerOf(data.add_space_prefix
                                       ? R"({"type": "Sequence", "normalizers": [
                            {"type": "Prepend", "prepend": "▁"},
                            {"type": "Replace", "pattern": " ", "content": "▁"}]})"
                                       : R"({"type": "Replace", "pattern": " ", "content": "▁"})"));
  out.model = std::make_unique<ScoresModel>(vocabulary, data.unknown);
  out.decoder = Decoder::OfSentencePiece(data.add_space_prefix);
  return absl::OkStatus();
}

absl::Status TakeNamedBpe(const TokenizerData& data, const Vocabulary& vocabulary,
                          TokenizerStages& out) {
  const NamedSplit* split = FindNamedSplit(data.pre);
  if (split == nullptr)
    return Unimplemented(
        "the model's pre-tokenizer '{}' is not known. Create the GGUF again from its "
        "tokenizer.json, or run the model with llama.cpp",
        Shown(data.pre, 60));
  if (split->nfc) {
    QF_ASSIGN_OR_RETURN(out.normalizer, NormalizerOf(R"({"type": "NFC"})"));
  } else if (split->letters == NamedSplit::Letters::kMarkedSpaces) {
    QF_ASSIGN_OR_RETURN(out.normalizer,
                        NormalizerOf(R"({"type": "Replace", "pattern": " ", "content": "▁"})"));
  }
  QF_ASSIGN_OR_RETURN(out.pre_tokenizer, PreTokenizer::OfExpressions(split->expressions));
  BpeOptions options{
      .ignore_merges = split->ignore_merges, .loose_merges = true, .unknown = data.unknown};
  options.byte_level = split->letters == NamedSplit::Letters::kBytes;
  options.byte_fallback = !options.byte_level;
  out.decoder = options.byte_level ? Decoder::OfByteLevel() : Decoder::OfSentencePiece(false);
  QF_ASSIGN_OR_RETURN(out.model, BpeModel::Create(vocabulary, Split(data.merges), options,
                                                  "tokenizer.ggml.merges"));
  return absl::OkStatus();
}

absl::StatusOr<TokenizerStages> KeyedStages(const TokenizerData& data,
                                            std::string_view model_name) {
  if (data.add_bos && !data.bos)
    return InvalidArgument("the tokenizer adds a BOS token but does not define one");
  TokenizerStages out;
  if (data.add_bos) out.before = {*data.bos};
  if (data.add_eos && data.eos) out.after = {*data.eos};
  const bool spm = data.kind == TokenizerData::Kind::kSpm;
  Vocabulary vocabulary;
  for (const auto& [text, score, type] : data.tokens) {
    vocabulary.texts.push_back(text);
    vocabulary.scores.push_back(score);
    // What a text says becomes no control token, however its pieces merge.
    const bool literal = type == TokenType::kUserDefined;
    vocabulary.reachable.push_back(!IsControl(type) && (spm || !literal));
    out.control.push_back(IsControl(type));
    out.literal.push_back(literal);
  }
  out.added = KeyedAdded(data, model_name);
  switch (data.kind) {
    case TokenizerData::Kind::kSpm:
      QF_RETURN_IF_ERROR(TakeSentencePiece(data, vocabulary, out));
      break;
    case TokenizerData::Kind::kByteBpe:
      QF_RETURN_IF_ERROR(TakeNamedBpe(data, vocabulary, out));
      break;
    default:
      return Unimplemented(
          "a tokenizer of this kind is run from its tokenizer.json only: create the GGUF again "
          "from a model's Hugging Face folder, or run the model with llama.cpp");
  }
  out.texts = std::move(vocabulary.texts);
  return out;
}

// ---- What a tokenizer.json describes.

// The added tokens of the description, and those that only other files name.
absl::StatusOr<std::vector<AddedToken>> DescribedAdded(const TokenizerData& data) {
  std::vector<AddedToken> added;
  std::vector<bool> seen(data.tokens.size());
  for (const AddedToken& token : data.description->added) {
    if (token.id < 0 || token.id >= static_cast<int64_t>(data.tokens.size()))
      return InvalidArgument(
          "tokenizer.json: added_tokens: '{}' has the id {}, which is outside "
          "the vocabulary of {}",
          Shown(token.text, 60), token.id, data.tokens.size());
    const auto id = static_cast<size_t>(token.id);
    seen[id] = true;
    added.push_back(token);
    // What other files call a control token is one.
    added.back().special = token.special || IsControl(data.tokens[id].type);
  }
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const auto& [text, score, type] = data.tokens[id];
    if (seen[id] || (type != TokenType::kControl && type != TokenType::kUserDefined)) continue;
    added.push_back(
        {.id = static_cast<int64_t>(id), .text = text, .special = type == TokenType::kControl});
  }
  return added;
}

// Merges that the description itself has, as pairs, because a token in them has a space.
absl::StatusOr<BpeModel::Merges> PairedMerges(JsonMembers& from) {
  BpeModel::Merges out;
  const json::array* merges = from.Array("merges");
  QF_RETURN_IF_ERROR(from.status());
  if (merges == nullptr) return out;
  for (const json::value& merge : *merges) {
    const json::array* pair = merge.if_array();
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() ||
        !pair->at(1).is_string())
      return InvalidArgument("{}: merges: merge {} is not a pair", from.where(), out.size());
    const json::string &left = pair->at(0).get_string(), &right = pair->at(1).get_string();
    out.emplace_back(std::string_view(left.data(), left.size()),
                     std::string_view(right.data(), right.size()));
  }
  return out;
}

absl::Status TakeModel(JsonMembers& from, const TokenizerData& data, const Vocabulary& vocabulary,
                       TokenizerStages& out) {
  TextTable table(vocabulary.texts);
  for (size_t id = 0; id < vocabulary.texts.size(); ++id)
    if (!vocabulary.texts[id].empty()) table.Insert(static_cast<int32_t>(id));
  const auto unknown_text = from.Text("unk_token");
  const bool byte_fallback = from.Bool("byte_fallback").value_or(false);
  std::optional<int32_t> unknown;
  if (unknown_text)
    if (const int32_t id = table.Find(*unknown_text); id >= 0) unknown = id;

  if (data.kind == TokenizerData::Kind::kUnigram) {
    const auto id = from.Integer("unk_id");
    if (id && (*id < 0 || *id >= static_cast<int64_t>(vocabulary.texts.size())))
      return InvalidArgument("{}: unk_id is {}, which is outside the vocabulary of {}",
                             from.where(), *id, vocabulary.texts.size());
    if (id) unknown = static_cast<int32_t>(*id);
    out.model = std::make_unique<UnigramModel>(vocabulary, unknown, byte_fallback);
    return from.status();
  }
  if (data.kind == TokenizerData::Kind::kWordPiece) {
    const std::string prefix = from.Text("continuing_subword_prefix").value_or("##");
    const int64_t most = from.Integer("max_input_chars_per_word").value_or(kMaxPieceCharacters);
    QF_RETURN_IF_ERROR(from.status());
    if (most < 0) return InvalidArgument("{}: max_input_chars_per_word is {}", from.where(), most);
    if (!unknown_text)
      unknown = table.Find("[UNK]") >= 0 ? std::optional(table.Find("[UNK]")) : unknown;
    out.model =
        std::make_unique<WordPieceModel>(vocabulary, unknown, prefix, static_cast<size_t>(most));
    return absl::OkStatus();
  }
  if (data.kind == TokenizerData::Kind::kSpm && data.merges.empty() &&
      from.Array("merges") == nullptr) {
    out.model = std::make_unique<ScoresModel>(vocabulary, unknown);
    return from.status();
  }
  BpeOptions options{.byte_level = out.pre_tokenizer.to_bytes(),
                     .ignore_merges = from.Bool("ignore_merges").value_or(false),
                     .byte_fallback = byte_fallback,
                     .fuse_unknown = from.Bool("fuse_unk").value_or(false),
                     .drops_missing = !unknown_text,
                     .unknown = unknown,
                     .prefix = from.Text("continuing_subword_prefix").value_or(""),
                     .suffix = from.Text("end_of_word_suffix").value_or("")};
  const double dropout = from.Number("dropout").value_or(0);
  QF_RETURN_IF_ERROR(from.status());
  if (dropout != 0)
    return Unimplemented("{}: dropout is {}: with it, a text has no ids of its own", from.where(),
                         dropout);
  QF_ASSIGN_OR_RETURN(const BpeModel::Merges pairs, PairedMerges(from));
  QF_ASSIGN_OR_RETURN(
      out.model, BpeModel::Create(vocabulary, pairs.empty() ? Split(data.merges) : pairs, options,
                                  "tokenizer.json: model: merges"));
  return absl::OkStatus();
}

absl::Status TakeTemplate(const TokenizerData& data, const json::value* stage,
                          TokenizerStages& out) {
  const auto find = [&](std::string_view text) {
    for (const AddedToken& token : data.description->added)
      if (token.text == text) return static_cast<int32_t>(token.id);
    const auto found = std::ranges::find(data.tokens, text, &Token::text);
    return found == data.tokens.end() ? -1 : static_cast<int32_t>(found - data.tokens.begin());
  };
  QF_ASSIGN_OR_RETURN(PostProcessor post, PostProcessor::Create(stage, find));
  for (const std::vector<int32_t>* ids : {&post.before, &post.after})
    for (const int32_t id : *ids)
      if (id < 0 || static_cast<size_t>(id) >= data.tokens.size())
        return InvalidArgument(
            "tokenizer.json: post_processor: the id {} is outside the vocabulary of {}", id,
            data.tokens.size());
  // What other files say about BOS decides about one token; more of them only the template knows.
  if (data.bos && post.before.size() < 2) {
    if (data.add_bos) out.before = {*data.bos};
  } else {
    out.before = std::move(post.before);
  }
  out.after = std::move(post.after);
  return absl::OkStatus();
}

absl::StatusOr<TokenizerStages> DescribedStages(const TokenizerData& data) {
  QF_ASSIGN_OR_RETURN(const json::object stages,
                      ParseJsonObject(data.description->stages, "tokenizer.json"));
  JsonMembers members(stages, "tokenizer.json");
  const json::object* model = members.Object("model");
  QF_RETURN_IF_ERROR(members.status());
  if (model == nullptr) return InvalidArgument("tokenizer.json: there is no model");
  TokenizerStages out;
  QF_ASSIGN_OR_RETURN(out.normalizer, Normalizer::Create(stages.if_contains("normalizer")));
  QF_ASSIGN_OR_RETURN(out.pre_tokenizer, PreTokenizer::Create(stages.if_contains("pre_tokenizer")));
  QF_ASSIGN_OR_RETURN(out.decoder, Decoder::Create(stages.if_contains("decoder")));
  QF_RETURN_IF_ERROR(TakeTemplate(data, stages.if_contains("post_processor"), out));

  Vocabulary vocabulary;
  for (const auto& [text, score, type] : data.tokens) {
    const bool unused = type == TokenType::kUnused;
    vocabulary.texts.push_back(unused ? "" : text);
    vocabulary.scores.push_back(score);
    vocabulary.reachable.push_back(!unused);
  }
  out.control.resize(data.tokens.size());
  QF_ASSIGN_OR_RETURN(std::vector<AddedToken> added, DescribedAdded(data));
  std::vector<AddedToken> found;
  std::vector<std::pair<size_t, std::string>> shown;  // what a token is in the text of ids
  for (AddedToken& token : added) {
    const auto id = static_cast<size_t>(token.id);
    vocabulary.texts[id] = token.text;
    // What a text says becomes no control token, however its pieces merge.
    vocabulary.reachable[id] = token.in_model && !token.special;
    out.control[id] = token.special;
    if (token.normalized) {
      QF_RETURN_IF_ERROR(out.normalizer.Apply(token.text));
      shown.emplace_back(id, token.text);
    }
    if (!token.text.empty()) found.push_back(std::move(token));
  }
  out.added = AddedTokens(std::move(found));
  JsonMembers from(*model, "tokenizer.json: model");
  QF_RETURN_IF_ERROR(TakeModel(from, data, vocabulary, out));
  out.texts = std::move(vocabulary.texts);
  for (auto& [id, text] : shown) out.texts[id] = std::move(text);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerData& data,
                                                         std::string_view model_name) {
  if (data.kind == TokenizerData::Kind::kNone)
    return InvalidArgument(
        "the model has no tokenizer: create the GGUF again from a source that has one");
  QF_RETURN_IF_ERROR(CheckIds(data));
  QF_ASSIGN_OR_RETURN(TokenizerStages stages,
                      data.description ? DescribedStages(data) : KeyedStages(data, model_name));
  stages.ends = Ends(data);
  return std::make_unique<Tokenizer>(std::make_unique<const TokenizerStages>(std::move(stages)));
}

}  // namespace quantfleet::text
