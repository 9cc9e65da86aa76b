#include "pipeline/format/openvino/openvino_stages.h"

#include <boost/json.hpp>
#include <functional>
#include <map>
#include <optional>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "pipeline/format/openvino/character_map.h"
#include "pipeline/format/openvino/mark_order.h"
#include "pipeline/format/openvino/token_expression.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr std::string_view kNormalizer = "tokenizer.json: normalizer",
                           kPreTokenizer = "tokenizer.json: pre_tokenizer";
// Where a piece begins, and what every piece has.
constexpr std::string_view kFront = R"(\A)";
// What ByteLevel itself splits by.
constexpr std::string_view kByteLevel =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kWords = R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+)"
                                    R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";
constexpr std::string_view kPunctuation = R"([\p{P}!-/:-@\[-`{-~])";
// BERT's own list, with a gap that is its authors'.
constexpr std::string_view kChinese =
    R"(([\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2b73f})"
    R"(\x{2b740}-\x{2b81f}\x{2b920}-\x{2ceaf}\x{f900}-\x{faff}\x{2f800}-\x{2fa1f}]))";
// A character for private use, of which no table of characters is made, and all of them with NUL.
constexpr uint32_t kPrivate = 0xE000;
constexpr std::string_view kUntabled = R"([\x{0}\x{e000}-\x{f8ff}\x{f0000}-\x{10ffff}])";

// Where characters end that have another form or case, and begin that are no text.
constexpr uint32_t kIdeographs = 0x30000, kTags = 0xE0000, kMostTabled = 0xE1000;

absl::Status Unsupported(const JsonMembers& from, std::string_view what) {
  return Unimplemented("{}: {} has no counterpart in OpenVINO's tokenizers", from.where(), what);
}

// The expression of a "pattern", and the least that it matches in bytes.
struct PatternText {
  std::string expression;
  size_t least;
};
absl::StatusOr<PatternText> ReadPatternText(JsonMembers& from) {
  QF_RETURN_IF_ERROR(text::ReadPattern(from).status());  // with its bounds
  const json::value* pattern = from.Any("pattern");
  const json::object* object = pattern->if_object();
  const json::value* literal = object ? object->if_contains("String") : pattern;
  const json::value* regex = object ? object->if_contains("Regex") : nullptr;
  if (literal != nullptr && literal->is_string()) {
    const json::string& text = literal->get_string();
    if (text.empty()) return Unsupported(from, "an empty pattern");
    return PatternText{QuotedExpression({text.data(), text.size()}), text.size()};
  }
  const json::string& text = regex->get_string();
  QF_ASSIGN_OR_RETURN(std::string expression, Pcre2Expression({text.data(), text.size()}));
  return PatternText{std::move(expression), 1};
}

// The operation has room for four times the text.
absl::Status CheckReplacement(const JsonMembers& from, std::string_view content, size_t least) {
  if (content.size() > 4 * least || content.find('\\') != std::string_view::npos ||
      content.find('\0') != std::string_view::npos)
    return Unsupported(from, "such a replacement");
  return absl::OkStatus();
}

void ReplaceAll(std::string_view expression, std::string_view content, IrTexts& texts) {
  // A constant has a byte at least: nothing is what an empty group captured.
  if (content.empty())
    texts.Replace(std::string("(?:") + std::string(expression) + ")()", "$1");
  else
    texts.Replace(expression, QuotedReplacement(content));
}

// A normalizer that goes by characters: what it makes of each.
absl::Status AddByCharacter(const json::value& stage, IrTexts& texts) {
  QF_ASSIGN_OR_RETURN(const text::Normalizer normalizer, text::Normalizer::Create(&stage));
  const auto changed = [&](uint32_t c) -> absl::StatusOr<std::optional<std::string>> {
    std::string text;
    AppendCharacter(c, text);
    std::string made = text;
    QF_RETURN_IF_ERROR(normalizer.Apply(made));
    return made == text ? std::nullopt : std::optional(std::move(made));
  };
  QF_ASSIGN_OR_RETURN(const auto untabled, changed(kPrivate));
  if (untabled) ReplaceAll(kUntabled, *untabled, texts);
  std::map<std::string, std::string> entries;
  for (uint32_t c = 1; c < kMostTabled; ++c) {
    if (c == kIdeographs) c = kTags;          // nothing between them has another form
    if (c >= 0xD800 && c < 0xF900) continue;  // surrogates, and for private use
    QF_ASSIGN_OR_RETURN(auto made, changed(c));
    if (!made) continue;
    std::string text;
    AppendCharacter(c, text);
    entries.emplace(std::move(text), *std::move(made));
  }
  QF_ASSIGN_OR_RETURN(const std::string table, BuildCharacterMap(entries));
  texts.Map(table);
  return absl::OkStatus();
}

absl::Status AddBert(JsonMembers& from, IrTexts& texts) {
  const bool lowercase = from.Bool("lowercase").value_or(true);
  json::object rest{{"type", "BertNormalizer"},
                    {"clean_text", from.Bool("clean_text").value_or(true)},
                    {"handle_chinese_chars", false},
                    {"strip_accents", from.Bool("strip_accents").value_or(lowercase)},
                    {"lowercase", lowercase}};
  // Too many for a table.
  if (from.Bool("handle_chinese_chars").value_or(true)) texts.Replace(kChinese, " $1 ");
  return AddByCharacter(json::value(std::move(rest)), texts);
}

absl::Status AddStrip(JsonMembers& from, IrTexts& texts) {
  for (const auto& [key, expression] :
       {std::pair("strip_left", R"(\A\s+)"), {"strip_right", R"(\s+\z)"}}) {
    if (!from.Bool(key).value_or(true)) continue;
    QF_ASSIGN_OR_RETURN(const std::string translated, Pcre2Expression(expression));
    ReplaceAll(translated, "", texts);
  }
  return absl::OkStatus();
}

// The operation goes by the longest sequences that it knows, and leaves marks in their order.
void AddForm(bool compatible, bool composes, IrTexts& texts) {
  texts.Normalize(compatible ? "nfkd" : "nfd");
  const std::string order = MarkOrderExpression();
  for (int pass = 0; pass < kMarkPasses; ++pass) texts.Replace(order, kMarkOrder);
  if (!composes) return;
  const char* form = compatible ? "nfkc" : "nfc";
  texts.Normalize(form);
  const std::string distant = DistantMarkExpression();
  for (int pass = 0; pass < kDistantPasses; ++pass) {
    texts.Replace(distant, kDistantMark);
    texts.Normalize("nfd");  // what is composed in part is no sequence that it knows
    texts.Normalize(form);
  }
}

absl::Status AddRewrite(std::string_view type, JsonMembers& from, IrTexts& texts) {
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    AddForm(type == "NFKC" || type == "NFKD", type.ends_with('C'), texts);
    return absl::OkStatus();
  }
  if (type == "Lowercase" || type == "StripAccents" || type == "Nmt")
    return AddByCharacter(json::object{{"type", type}}, texts);
  if (type == "BertNormalizer") return AddBert(from, texts);
  if (type == "Strip") return AddStrip(from, texts);
  if (type == "Prepend") {
    const std::string front = from.Text("prepend").value_or("");
    QF_RETURN_IF_ERROR(CheckReplacement(from, front, 1));
    if (!front.empty()) ReplaceAll(kFront, front, texts);
    return absl::OkStatus();
  }
  if (type == "Replace") {
    QF_ASSIGN_OR_RETURN(const PatternText pattern, ReadPatternText(from));
    const std::string content = from.Text("content").value_or("");
    QF_RETURN_IF_ERROR(CheckReplacement(from, content, pattern.least));
    ReplaceAll(pattern.expression, content, texts);
    return absl::OkStatus();
  }
  return Unsupported(from, "this stage");
}

// Pieces by the matches of an expression, as a "behavior" says.
absl::Status AddCut(const JsonMembers& from, const std::string& expression,
                    std::string_view behavior, bool invert, IrTexts& texts) {
  const std::string group = "(?:" + expression + ")";
  if (behavior == "Isolated") {
    texts.Cut(expression, false, false);
  } else if (behavior == "Removed") {
    texts.Cut(expression, true, invert);
  } else if (behavior == "Contiguous") {
    texts.Cut(group + "+", false, false);
  } else if (behavior == "MergedWithPrevious" && !invert) {
    texts.Cut("(?s:.*?)" + group, false, false);
  } else if (behavior == "MergedWithNext" && !invert) {
    texts.Cut(group + "(?s:.*?)(?=" + expression + R"(|\z))", false, false);
  } else {
    return Unsupported(from, fmt::format("the behavior '{}'", Shown(behavior, 40)));
  }
  return absl::OkStatus();
}

absl::Status AddOwnCut(std::string_view oniguruma, bool removes, bool invert, IrTexts& texts) {
  QF_ASSIGN_OR_RETURN(const std::string expression, Pcre2Expression(oniguruma));
  texts.Cut(expression, removes, invert);
  return absl::OkStatus();
}

struct Metaspace {
  std::string mark, scheme;
  bool split;
};
absl::StatusOr<Metaspace> ReadMetaspace(JsonMembers& from) {
  QF_ASSIGN_OR_RETURN(std::string mark, text::ReadCharacter(from, "replacement"));
  Metaspace out{std::move(mark), from.Text("prepend_scheme").value_or("always"),
                from.Bool("split").value_or(true)};
  if (from.Bool("add_prefix_space") == false) out.scheme = "never";
  QF_RETURN_IF_ERROR(from.status());
  if (out.mark == "\\" || out.mark == "$") return Unsupported(from, "such a replacement");
  return out;
}

absl::Status AddMetaspace(JsonMembers& from, IrTexts& texts) {
  QF_ASSIGN_OR_RETURN(const Metaspace metaspace, ReadMetaspace(from));
  const std::string quoted = QuotedExpression(metaspace.mark);
  if (metaspace.scheme == "always") texts.Replace("\\A(?! |" + quoted + ")", metaspace.mark);
  texts.Replace(" ", metaspace.mark);
  if (!metaspace.split) return absl::OkStatus();
  return AddCut(from, quoted, "MergedWithNext", false, texts);
}

absl::Status AddPiecesOf(std::string_view type, JsonMembers& from, IrTexts& texts) {
  if (type == "Split") {
    QF_ASSIGN_OR_RETURN(const PatternText pattern, ReadPatternText(from));
    return AddCut(from, pattern.expression, from.Text("behavior").value_or(""),
                  from.Bool("invert").value_or(false), texts);
  }
  if (type == "Metaspace") return AddMetaspace(from, texts);
  if (type == "Whitespace") return AddOwnCut(kWords, true, true, texts);
  if (type == "WhitespaceSplit") return AddOwnCut(R"(\s+)", true, false, texts);
  if (type == "BertPreTokenizer") {
    QF_RETURN_IF_ERROR(AddOwnCut(R"(\s+)", true, false, texts));
    texts.Cut(kPunctuation, false, false);
    return absl::OkStatus();
  }
  if (type == "Digits")
    return AddCut(from, R"(\p{N})",
                  from.Bool("individual_digits").value_or(false) ? "Isolated" : "Contiguous", false,
                  texts);
  if (type == "Punctuation")
    return AddCut(from, std::string(kPunctuation), from.Text("behavior").value_or("Isolated"),
                  false, texts);
  if (type == "CharDelimiterSplit") {
    QF_ASSIGN_OR_RETURN(const std::string delimiter, text::ReadCharacter(from, "delimiter"));
    texts.Cut(QuotedExpression(delimiter), true, false);
    return absl::OkStatus();
  }
  if (type == "ByteLevel") {
    if (from.Bool("add_prefix_space").value_or(true)) texts.Replace(R"(\A(?! ))", " ");
    if (from.Bool("use_regex").value_or(true)) return AddOwnCut(kByteLevel, false, false, texts);
    return absl::OkStatus();
  }
  return Unsupported(from, "this stage");
}

}  // namespace

absl::Status AddNormalizer(const json::value* stage, IrTexts& texts) {
  return text::ForEachStage(
      stage, std::string(kNormalizer), "normalizers",
      [&](std::string_view type, JsonMembers& from) { return AddRewrite(type, from, texts); });
}

absl::StatusOr<bool> AddPreTokenizer(const json::value* stage, IrTexts& texts) {
  bool byte_level = false;
  const auto add = [&](std::string_view type, JsonMembers& from) -> absl::Status {
    if (byte_level) return Unsupported(from, "a stage after ByteLevel");
    byte_level = type == "ByteLevel";
    return AddPiecesOf(type, from, texts);
  };
  QF_RETURN_IF_ERROR(text::ForEachStage(stage, std::string(kPreTokenizer), "pretokenizers", add));
  return byte_level;
}

absl::StatusOr<std::string> FirstMarkOf(const json::value* stage) {
  std::string mark;
  size_t stages = 0;
  const auto look = [&](std::string_view type, JsonMembers& from) -> absl::Status {
    ++stages;
    if (type != "Metaspace") return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(const Metaspace metaspace, ReadMetaspace(from));
    if (metaspace.scheme != "first") return absl::OkStatus();
    if (stages > 1) return Unsupported(from, "a prefix behind other stages");
    mark = metaspace.mark;
    return absl::OkStatus();
  };
  QF_RETURN_IF_ERROR(text::ForEachStage(stage, std::string(kPreTokenizer), "pretokenizers", look));
  return mark;
}

}  // namespace quantfleet::pipeline
