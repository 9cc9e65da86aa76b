#include "text/tokenizer/pre_tokenizer.h"

#include <boost/json.hpp>

#include "common/base/json.h"
#include "common/base/outside_text.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kCl100k =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
                                    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// What ByteLevel itself splits by if use_regex is set.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr PreTokenizer kPreTokenizers[] = {
    {"llama-bpe", kCl100k, true},  // Llama 3
    {"dbrx", kCl100k, false},      // Phi-4
    {"gpt-4o", kO200k, false},     // Phi-4-mini
    {"qwen2", kQwen2, false},     {"gpt-2", kGpt2, false},
};

// gpt-4o's vocabularies are closed under their merges: both settings of ignore_merges give the same
// tokens.
bool EitherWay(const PreTokenizer& known) { return known.name == "gpt-4o"; }

absl::Status UnknownPre(std::string_view what) {
  return Unimplemented(
      "tokenizer.json: the pre-tokenizer is not known: {}; known are those of Llama 3 (llama-bpe), "
      "Phi-4 "
      "(dbrx), "
      "Phi-4-mini (gpt-4o), Qwen 2 (qwen2) and GPT-2 (gpt-2)",
      what);
}

absl::Status CheckByteLevel(const json::object& object, bool own_regex) {
  JsonMembers from(object, "tokenizer.json: pre_tokenizer");
  const bool prefix = from.Bool("add_prefix_space").value_or(true);
  const bool regex = from.Bool("use_regex").value_or(true);
  QF_RETURN_IF_ERROR(from.status());
  if (prefix) return UnknownPre("ByteLevel with add_prefix_space");
  if (regex != own_regex) return UnknownPre(fmt::format("ByteLevel with use_regex {}", regex));
  return absl::OkStatus();
}

absl::StatusOr<std::string> PreOfSplit(const json::object& object, bool ignore_merges) {
  JsonMembers from(object, "tokenizer.json: pre_tokenizer");
  const std::string behavior = from.Text("behavior").value_or("");
  const bool invert = from.Bool("invert").value_or(false);
  const json::object* pattern = from.Object("pattern");
  QF_RETURN_IF_ERROR(from.status());
  if (pattern == nullptr) return UnknownPre("Split without a pattern");
  JsonMembers inner(*pattern, "tokenizer.json: pre_tokenizer: pattern");
  const std::string regex = inner.Text("Regex").value_or("");
  QF_RETURN_IF_ERROR(inner.status());
  // Removing what does not match is the same as isolating what does: the known expressions match
  // every text.
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert))
    return UnknownPre(
        fmt::format("Split with behavior {}{}", Shown(behavior), invert ? ", inverted" : ""));
  bool known = false;
  for (const PreTokenizer& split : kPreTokenizers) {
    if (split.name == "gpt-2" || regex != split.regex) continue;
    if (EitherWay(split) || split.ignore_merges == ignore_merges) return std::string(split.name);
    known = true;
  }
  if (known)
    return UnknownPre(
        fmt::format("ignore_merges {} with the regular expression {}", ignore_merges, regex));
  return UnknownPre(fmt::format("the regular expression {}", Shown(regex)));
}

}  // namespace

const PreTokenizer* FindPreTokenizer(std::string_view name) {
  if (name == "llama3" || name == "llama-v3") name = "llama-bpe";  // other spellings of it
  for (const PreTokenizer& known : kPreTokenizers) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

absl::StatusOr<std::string> PreTokenizerName(const json::object* pre, bool ignore_merges) {
  if (pre == nullptr) return UnknownPre("there is none");
  const json::object& object = *pre;
  JsonMembers from(object, "tokenizer.json: pre_tokenizer");
  const std::string type = from.Text("type").value_or("");
  const json::array* steps = from.Array("pretokenizers");
  QF_RETURN_IF_ERROR(from.status());
  if (type == "ByteLevel") {
    QF_RETURN_IF_ERROR(CheckByteLevel(object, true));
    if (ignore_merges) return UnknownPre("ByteLevel with ignore_merges");
    return "gpt-2";
  }
  if (type != "Sequence" || steps == nullptr)
    return UnknownPre(fmt::format("of type '{}'", Shown(type)));
  std::string types;
  for (const json::value& step : *steps) {
    const json::value* t = step.is_object() ? step.get_object().if_contains("type") : nullptr;
    types +=
        (types.empty() ? "" : ", ") + (t && t->is_string() ? std::string(t->get_string()) : "?");
  }
  if (types != "Split, ByteLevel") return UnknownPre(fmt::format("a sequence of {}", Shown(types)));
  QF_RETURN_IF_ERROR(CheckByteLevel(steps->at(1).get_object(), false));
  return PreOfSplit(steps->at(0).get_object(), ignore_merges);
}

}  // namespace quantfleet::text
