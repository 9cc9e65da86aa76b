// From a tokenizer's data to its stages: those that it describes, or those that GGUF's keys mean.
#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <utility>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "text/tokenizer/describe_keys.h"
#include "text/tokenizer/described_tokens.h"
#include "text/tokenizer/end_tokens.h"
#include "text/tokenizer/model_bpe.h"
#include "text/tokenizer/model_scores.h"
#include "text/tokenizer/model_unigram.h"
#include "text/tokenizer/model_wordlevel.h"
#include "text/tokenizer/model_wordpiece.h"
#include "text/tokenizer/named_splits.h"
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

absl::StatusOr<Normalizer> NormalizerOf(const char* stage) {
  const json::value value = json::parse(stage);
  return Normalizer::Create(&value);
}

// ---- What GGUF's keys mean, as llama.cpp runs them.

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
  QF_ASSIGN_OR_RETURN(out.model, BpeModel::Create(vocabulary, SplitMerges(data.merges), options,
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
  out.added = AddedTokens(KeyedAdded(data, model_name));
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

std::optional<int32_t> FindToken(std::string_view text, const TextTable& table) {
  const int32_t id = table.Find(text);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

absl::Status TakeModel(const json::object& model, const TokenizerData& data,
                       const Vocabulary& vocabulary, TokenizerStages& out) {
  JsonMembers from(model, "tokenizer.json: model");
  TextTable table(vocabulary.texts);
  for (size_t id = 0; id < vocabulary.texts.size(); ++id)
    if (!vocabulary.texts[id].empty()) table.Insert(static_cast<int32_t>(id));
  const auto unknown_text = from.Text("unk_token");
  const bool byte_fallback = from.Bool("byte_fallback").value_or(false);
  std::optional<int32_t> unknown = FindToken(unknown_text.value_or(""), table);

  if (data.kind == TokenizerData::Kind::kUnigram) {
    const auto id = from.Integer("unk_id");
    if (id && (*id < 0 || *id >= static_cast<int64_t>(vocabulary.texts.size())))
      return InvalidArgument("{}: unk_id is {}, which is outside the vocabulary of {}",
                             from.where(), *id, vocabulary.texts.size());
    if (id) unknown = static_cast<int32_t>(*id);
    out.model = std::make_unique<UnigramModel>(vocabulary, unknown, byte_fallback);
    return from.status();
  }
  if (from.Text("type") == "WordLevel") {
    if (!unknown_text) unknown = FindToken("<unk>", table);
    out.model = std::make_unique<WordLevelModel>(vocabulary, unknown);
    return from.status();
  }
  if (data.kind == TokenizerData::Kind::kWordPiece) {
    const std::string prefix = from.Text("continuing_subword_prefix").value_or("##");
    const int64_t most = from.Integer("max_input_chars_per_word").value_or(kMaxPieceCharacters);
    QF_RETURN_IF_ERROR(from.status());
    if (most < 0) return InvalidArgument("{}: max_input_chars_per_word is {}", from.where(), most);
    if (!unknown_text) unknown = FindToken("[UNK]", table);
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
  QF_ASSIGN_OR_RETURN(const BpeModel::Merges merges, DescribedMerges(data, model));
  QF_ASSIGN_OR_RETURN(
      out.model, BpeModel::Create(vocabulary, merges, options, "tokenizer.json: model: merges"));
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
  QF_ASSIGN_OR_RETURN(PostProcessor post,
                      DescribedTemplate(data, stages.if_contains("post_processor")));
  out.before = BeginOfText(data, post);
  out.after = std::move(post.after);

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
  QF_RETURN_IF_ERROR(TakeModel(*model, data, vocabulary, out));
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
