#include "pipeline/format/safetensors/hf_tokenizer.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>
#include <map>
#include <unordered_map>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "pipeline/family/validate.h"
#include "text/tokenizer/choose_keys.h"
#include "text/tokenizer/end_tokens.h"
#include "text/tokenizer/spm_model.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr float kAddedScore = -1000, kPadScore = -10000;
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxNamedTemplates = 16;

// An added token, as all files together have it. added_tokens.json does not say whether one is
// special.
struct Added {
  std::string text;
  std::optional<bool> special;
};
using AddedById = std::map<int64_t, Added>;

// A later file has the last word about the text, but never makes an ordinary token of a special
// one.
void Merge(int64_t id, std::string text, std::optional<bool> special, AddedById& added) {
  Added& token = added[id];
  token.text = std::move(text);
  if (special) token.special = token.special.value_or(false) || *special;
}

// What tokenizer_config.json says; absent members are nullopt.
struct Settings {
  AddedById added;
  std::optional<std::string> bos, eos, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_prefix_space;
  std::string chat_template;
  std::vector<std::pair<std::string, std::string>> named_templates;
};

// "<s>", or an object whose content is "<s>".
std::optional<std::string> SpecialToken(JsonMembers& from, std::string_view key) {
  const json::value* value = from.Any(key);
  if (value == nullptr || !value->is_object()) return from.Text(key);
  JsonMembers inner(value->get_object(), fmt::format("{}: {}", from.where(), key));
  const auto content = inner.Text("content");
  if (!inner.status().ok()) from.Fail(inner.status());
  return content;
}

absl::Status ReadAddedDecoder(JsonMembers& from, AddedById& added) {
  const json::object* decoder = from.Object("added_tokens_decoder");
  if (decoder == nullptr) return from.status();
  for (const auto& [key, value] : *decoder) {
    int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !value.is_object())
      return InvalidArgument("{}: added_tokens_decoder has the key '{}', which is not a token id",
                             from.where(), std::string(key.data(), key.size()));
    JsonMembers inner(value.get_object(), from.where() + ": added_tokens_decoder");
    Merge(id, inner.Text("content").value_or(""), inner.Bool("special").value_or(false), added);
    QF_RETURN_IF_ERROR(inner.status());
  }
  return absl::OkStatus();
}

// "default" is the one for every chat. Names are letters, digits and _, as llama.cpp writes them.
void AddTemplate(std::string name, std::string text, Settings& out) {
  for (char& c : name)
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) c = '_';
  if (name == "default")
    out.chat_template = std::move(text);
  else if (!name.empty() && !text.empty() && out.named_templates.size() < kMaxNamedTemplates)
    out.named_templates.emplace_back(std::move(name), std::move(text));
}

// A string, or a list of named templates.
void ReadChatTemplates(JsonMembers& from, Settings& out) {
  const json::value* value = from.Any("chat_template");
  if (value == nullptr) return;
  out.named_templates.clear();
  out.chat_template.clear();
  if (!value->is_array()) {
    out.chat_template = from.Text("chat_template").value_or("");
    return;
  }
  for (const json::value& entry : value->get_array()) {
    if (!entry.is_object()) continue;
    JsonMembers inner(entry.get_object(), from.where() + ": chat_template");
    AddTemplate(inner.Text("name").value_or(""), inner.Text("template").value_or(""), out);
  }
}

absl::StatusOr<Settings> ReadSettings(const HfTokenizerFiles& files) {
  Settings out;
  if (files.added_tokens) {
    QF_ASSIGN_OR_RETURN(const json::object object,
                        ParseJsonObject(*files.added_tokens, "added_tokens.json"));
    for (const auto& [text, id] : object) {
      if (!id.is_int64()) return InvalidArgument("added_tokens.json: an id is not an integer");
      Merge(id.get_int64(), std::string(text.data(), text.size()), std::nullopt, out.added);
    }
  }
  if (files.tokenizer_config) {
    QF_ASSIGN_OR_RETURN(const json::object object,
                        ParseJsonObject(*files.tokenizer_config, "tokenizer_config.json"));
    JsonMembers from(object, "tokenizer_config.json");
    QF_RETURN_IF_ERROR(ReadAddedDecoder(from, out.added));
    out.bos = SpecialToken(from, "bos_token");
    out.eos = SpecialToken(from, "eos_token");
    out.unknown = SpecialToken(from, "unk_token");
    out.padding = SpecialToken(from, "pad_token");
    out.add_bos = from.Bool("add_bos_token");
    out.add_eos = from.Bool("add_eos_token");
    out.add_prefix_space = from.Bool("add_prefix_space");
    ReadChatTemplates(from, out);
    QF_RETURN_IF_ERROR(from.status());
  }
  if (files.chat_template_json) {
    QF_ASSIGN_OR_RETURN(const json::object object,
                        ParseJsonObject(*files.chat_template_json, "chat_template.json"));
    JsonMembers from(object, "chat_template.json");
    ReadChatTemplates(from, out);
    QF_RETURN_IF_ERROR(from.status());
  }
  // As in transformers, templates that are files are all that a model has.
  if (files.chat_template || !files.more_templates.empty()) {
    out.chat_template = files.chat_template.value_or("");
    out.named_templates.clear();
    for (const auto& [name, text] : files.more_templates) AddTemplate(name, text, out);
  }
  size_t bytes = out.chat_template.size();
  for (const auto& [name, text] : out.named_templates) bytes += text.size();
  if (bytes > kMaxTemplateBytes)
    return InvalidArgument("the chat template has {} bytes; the maximum is {}", bytes,
                           kMaxTemplateBytes);
  return out;
}

void Pad(int64_t vocab, text::TokenizerData& t) {
  for (int64_t i = static_cast<int64_t>(t.tokens.size()); i < vocab; ++i)
    t.tokens.push_back({fmt::format("[PAD{}]", i), kPadScore, text::TokenType::kUnused});
}

// Some publishers forget to call their control tokens special. llama.cpp's converter goes by the
// same spellings.
bool LooksSpecial(std::string_view text) {
  const auto between = [&](std::string_view first, std::string_view last) {
    return text.size() >= first.size() + last.size() && text.starts_with(first) &&
           text.ends_with(last);
  };
  constexpr std::string_view kWideBar = "\xef\xbd\x9c";
  return text == "<pad>" || text == "<mask>" || text == "<2mass>" || text == "[@BOS@]" ||
         between("<|", "|>") || between("<" + std::string(kWideBar), std::string(kWideBar) + ">") ||
         between("<unused", ">");
}

// A user-defined token is looked for in the text itself, where SentencePiece's mark for a space is
// a space.
std::string PlainSpaces(std::string text) {
  constexpr std::string_view kMark = "\xe2\x96\x81";
  for (size_t at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at + 1))
    text.replace(at, kMark.size(), " ");
  return text;
}

// A token that the vocabulary has as a control token or a byte, and that is listed again without a
// word about what it is, remains what it was: as an ordinary token, "</s>" in a message would end
// the turn.
bool Remains(text::TokenType type, const Added& token) {
  return !token.special && (type == text::TokenType::kControl || type == text::TokenType::kByte);
}

// Added tokens beyond the vocabulary exist in the wild; the model has no row for them, so they can
// never occur. Returns the control tokens that a file expressly calls ordinary.
std::vector<int32_t> ApplyAdded(const AddedById& added, const Family* family,
                                text::TokenizerData& t) {
  const bool spm = t.kind == text::TokenizerData::Kind::kSpm;
  const bool literal = spm && family != nullptr && family->literal_added_tokens;
  std::vector<int32_t> lowered;
  for (const auto& [id, token] : added) {
    if (id < 0 || id >= static_cast<int64_t>(t.tokens.size()) || token.text.empty()) continue;
    text::Token& slot = t.tokens[static_cast<size_t>(id)];
    const float score = spm ? kAddedScore : 0.0f;
    if (slot.type == text::TokenType::kUnknown) {
      slot = {token.text, score, text::TokenType::kUnknown};
    } else if (token.special.value_or(false) || (!literal && LooksSpecial(token.text))) {
      slot = {token.text, score, text::TokenType::kControl};
    } else if (Remains(slot.type, token)) {
      slot.text = token.text;
    } else {
      if (slot.type == text::TokenType::kControl) lowered.push_back(static_cast<int32_t>(id));
      slot = {literal ? token.text : PlainSpaces(token.text), score, text::TokenType::kUserDefined};
    }
  }
  return lowered;
}

// Phi-3 calls "</s>" ordinary, and it is: nothing there ends with it. What does begin or end a text
// is a control token, whatever a file says.
void RaiseEnds(const std::vector<int32_t>& lowered, text::TokenizerData& t) {
  const std::vector<int32_t> ends = text::EndIds(t);
  for (const int32_t id : lowered)
    if (t.bos == id || std::ranges::find(ends, id) != ends.end())
      t.tokens[static_cast<size_t>(id)].type = text::TokenType::kControl;
}

// llama.cpp does not load a vocabulary that holds a text twice.
absl::Status CheckUnique(const text::TokenizerData& t) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < t.tokens.size(); ++i) {
    if (t.tokens[i].text.empty()) continue;
    const auto [first, fresh] = ids.emplace(t.tokens[i].text, i);
    if (!fresh)
      return InvalidArgument("the tokenizer's files give ids {} and {} the same text '{}'",
                             first->second, i, Shown(t.tokens[i].text));
  }
  return absl::OkStatus();
}

std::optional<int32_t> IdOf(const std::optional<std::string>& text, const text::TokenizerData& t) {
  if (!text || text->empty()) return std::nullopt;
  // From the end: added tokens stand there, and most special tokens are added.
  for (size_t i = t.tokens.size(); i-- > 0;)
    if (t.tokens[i].text == *text) return static_cast<int32_t>(i);
  return std::nullopt;
}

std::optional<int32_t> InVocabulary(std::optional<int64_t> id, int64_t vocab) {
  return id && *id >= 0 && *id < vocab ? std::optional(static_cast<int32_t>(*id)) : std::nullopt;
}

absl::Status TakeSpm(const HfTokenizerFiles& files, const HfConfig& config,
                     text::TokenizerData& t) {
  QF_ASSIGN_OR_RETURN(text::SpmModel model, text::ParseSpmModel(*files.model));
  t.kind = text::TokenizerData::Kind::kSpm;
  t.tokens = std::move(model.pieces);
  t.add_space_prefix = model.add_dummy_prefix;
  t.bos = InVocabulary(model.bos, config.hyper.vocab);
  t.eos = InVocabulary(model.eos, config.hyper.vocab);
  t.unknown = InVocabulary(model.unknown, config.hyper.vocab);
  t.padding = InVocabulary(model.padding, config.hyper.vocab);
  return absl::OkStatus();
}

// SentencePiece's tables, as a tokenizer.json has them: scores in the order of merges, and what is
// a byte or unknown by its text.
void ScoreMerges(text::TokenizerData& t) {
  std::unordered_map<std::string, size_t> ids;
  for (size_t i = 0; i < t.tokens.size(); ++i) {
    text::Token& token = t.tokens[i];
    if (token.type == text::TokenType::kUnused) continue;
    token.score = -static_cast<float>(t.merges.size());
    if (token.text.size() == 6 && token.text.starts_with("<0x") && token.text.ends_with(">"))
      token.type = text::TokenType::kByte;
    ids.emplace(token.text, i);
  }
  for (size_t rank = t.merges.size(); rank-- > 0;) {
    std::string joined = t.merges[rank];
    joined.erase(joined.find(' '), 1);
    if (const auto found = ids.find(joined); found != ids.end())
      t.tokens[found->second].score = -static_cast<float>(rank);
  }
}

// Whether a text begins with a space that is not its own: a Prepend, or a Metaspace that does so.
bool PrependsSpace(const json::object& stages) {
  const std::string text = json::serialize(stages);
  return text.find(R"("type":"Prepend")") != std::string::npos ||
         (text.find(R"("type":"Metaspace")") != std::string::npos &&
          text.find(R"("prepend_scheme":"never")") == std::string::npos);
}

absl::Status TakeJson(const text::TokenizerData& from, const HfConfig& config,
                      text::TokenizerData& t) {
  t.kind = from.kind;
  t.merges = from.merges;
  t.add_bos = t.add_space_prefix = false;
  if (static_cast<int64_t>(from.tokens.size()) > config.hyper.vocab)
    return InvalidArgument("tokenizer.json has a token with the id {}, but vocab_size is {}",
                           from.tokens.size() - 1, config.hyper.vocab);
  Pad(config.hyper.vocab, t);
  for (size_t i = 0; i < from.tokens.size(); ++i)
    if (from.tokens[i].type != text::TokenType::kUnused) t.tokens[i] = from.tokens[i];
  const bool word_piece = t.kind == text::TokenizerData::Kind::kWordPiece;
  if (t.kind != text::TokenizerData::Kind::kSpm && !word_piece) return absl::OkStatus();

  QF_ASSIGN_OR_RETURN(const json::object stages,
                      ParseJsonObject(from.description->stages, "tokenizer.json"));
  if (word_piece) {
    JsonMembers model(stages.at("model").get_object(), "tokenizer.json: model");
    t.unknown = IdOf(model.Text("unk_token"), t);
    return model.status();
  }
  for (const std::string& merge : t.merges)
    if (merge.find(' ') == std::string::npos)
      return InvalidArgument("tokenizer.json: model: merges: '{}' is not two tokens",
                             Shown(merge, 60));
  ScoreMerges(t);
  t.add_space_prefix = PrependsSpace(stages);
  JsonMembers model(stages.at("model").get_object(), "tokenizer.json: model");
  if (const auto unknown = model.Text("unk_token")) {
    const auto found = std::ranges::find(t.tokens, *unknown, &text::Token::text);
    if (found != t.tokens.end()) {
      found->type = text::TokenType::kUnknown;
      t.unknown = static_cast<int32_t>(found - t.tokens.begin());
    }
  }
  t.merges.clear();  // the scores say the same
  return model.status();
}

// The vocabulary of tokenizer.json is that of tokenizer.model, which came with it.
bool SameVocabulary(const text::TokenizerData& from, const AddedById& added,
                    const text::TokenizerData& t) {
  if (from.tokens.size() > t.tokens.size()) return false;
  for (size_t i = 0; i < from.tokens.size(); ++i)
    if (from.tokens[i].type != text::TokenType::kUnused &&
        from.tokens[i].text != t.tokens[i].text && !added.contains(static_cast<int64_t>(i)))
      return false;
  return true;
}

// Keeps the description where the keys of a GGUF do not say all of it. Of a tokenizer.model, the
// tokenizer.json beside it adds what it can: what cannot be carried out there is not missed.
absl::Status Choose(text::TokenizerData from, const Settings& settings, bool has_model,
                    const HfConfig& config, text::TokenizerData& t) {
  if (!from.description || (has_model && !SameVocabulary(from, settings.added, t)))
    return absl::OkStatus();
  // For tokens beyond its vocabulary the model has no row.
  std::erase_if(from.description->added, [&](const text::AddedToken& token) {
    return token.id < 0 || token.id >= config.hyper.vocab;
  });
  text::TokenizerData with = t;
  const absl::Status chosen = text::ChooseKeys(std::move(from), config.published_name, with);
  if (!chosen.ok()) return has_model ? absl::OkStatus() : chosen;
  t = std::move(with);
  return absl::OkStatus();
}

// What llama.cpp does with every text of a WordPiece model, whatever its files say.
bool IsUncasedBert(const text::TokenizerDescription& description) {
  const auto stages = ParseJsonObject(description.stages, "tokenizer.json");
  if (!stages.ok()) return false;
  JsonMembers all(*stages, "tokenizer.json");
  const json::object *normalizer = all.Object("normalizer"), *pre = all.Object("pre_tokenizer");
  if (normalizer == nullptr || pre == nullptr) return false;
  JsonMembers lowers(*normalizer, all.where()), splits(*pre, all.where());
  return lowers.Text("type") == "BertNormalizer" && lowers.Bool("lowercase").value_or(false) &&
         lowers.Bool("strip_accents").value_or(true) && splits.Text("type") == "BertPreTokenizer";
}

// The configured name of a token wins over config.json's id, which wins over what the tokenizer's
// model says.
void ChooseIds(const Settings& settings, const HfConfig& config, text::TokenizerData& t) {
  const int64_t vocab = config.hyper.vocab;
  const auto choose = [&](const std::optional<std::string>& name, std::optional<int64_t> configured,
                          std::optional<int32_t>& id) {
    if (const auto found = IdOf(name, t)) {
      id = found;
    } else if (const auto valid = InVocabulary(configured, vocab)) {
      id = valid;
    }
  };
  choose(settings.bos, config.bos, t.bos);
  choose(settings.eos, config.ends.empty() ? std::nullopt : std::optional(config.ends.front()),
         t.eos);
  choose(settings.unknown, std::nullopt, t.unknown);
  choose(settings.padding, config.padding, t.padding);
  std::vector<int32_t> ends;
  for (const int64_t end : config.ends)
    if (const auto valid = InVocabulary(end, vocab)) ends.push_back(*valid);
  text::SetMoreEnds(std::move(ends), t);
}

}  // namespace

absl::StatusOr<text::TokenizerData> BuildTokenizer(const HfTokenizerFiles& files,
                                                   const HfConfig& config) {
  text::TokenizerData t;
  QF_ASSIGN_OR_RETURN(Settings settings, ReadSettings(files));
  t.chat_template = std::move(settings.chat_template);
  t.named_templates = std::move(settings.named_templates);
  if (!files.model && !files.tokenizer_json) {
    // A folder of weights alone is a model without text; one whose tokenizer is described but not
    // there is a cut copy.
    if (files.tokenizer_config) {
      return NotFound(
          "tokenizer_config.json is present, but tokenizer.model and tokenizer.json are missing: "
          "copy the tokenizer's file from the published model as well");
    }
    return t;
  }

  text::TokenizerJson from_json;
  if (files.tokenizer_json) {
    absl::StatusOr<text::TokenizerJson> whole =
        text::ParseTokenizerJson(*files.tokenizer_json, true);
    if (!whole.ok() && files.model) whole = text::ParseTokenizerJson(*files.tokenizer_json, false);
    QF_ASSIGN_OR_RETURN(from_json, std::move(whole));
    for (const text::AddedToken& token : from_json.added)
      Merge(token.id, token.text, token.special, settings.added);
  }
  QF_RETURN_IF_ERROR(files.model ? TakeSpm(files, config, t) : TakeJson(from_json.data, config, t));
  Pad(config.hyper.vocab, t);
  const std::vector<int32_t> lowered = ApplyAdded(settings.added, config.family, t);
  QF_RETURN_IF_ERROR(CheckUnique(t));
  ChooseIds(settings, config, t);
  // What no file names, the post-processor may.
  if (!files.model && !t.bos) t.bos = IdOf(from_json.first_special, t);
  // An embedding model's config.json may name tokens that no text of its gets.
  if (config.embeds && !files.model) {
    if (const auto first = IdOf(from_json.first_special, t)) t.bos = first;
    if (const auto last = IdOf(from_json.last_special, t)) t.eos = last;
  }
  RaiseEnds(lowered, t);

  const auto is_special = [&](const std::optional<int32_t>& id, const std::string& text) {
    return id && !text.empty() && t.tokens[static_cast<size_t>(*id)].text == text;
  };
  if (!files.model) {
    t.add_bos = is_special(t.bos, from_json.first_special);
    t.add_eos = is_special(t.eos, from_json.last_special);
  }
  t.add_bos = settings.add_bos.value_or(t.add_bos) && t.bos.has_value();
  t.add_eos = settings.add_eos.value_or(t.add_eos) && t.eos.has_value();
  if (t.kind == text::TokenizerData::Kind::kSpm)
    t.add_space_prefix = settings.add_prefix_space.value_or(t.add_space_prefix);
  QF_RETURN_IF_ERROR(
      Choose(std::move(from_json.data), settings, files.model.has_value(), config, t));
  if (t.llama_cpp_differs && config.family != nullptr && config.family->encoder)
    t.llama_cpp_differs = !IsUncasedBert(*t.description);
  QF_RETURN_IF_ERROR(ValidateTokenizer(t, config.hyper.vocab));
  return t;
}

}  // namespace quantfleet::pipeline
