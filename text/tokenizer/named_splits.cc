#include "text/tokenizer/named_splits.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <string>

#include "common/base/json.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

// The expressions, by the model that had each first.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
                                    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)"
    R"(|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kUfakZeka =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kJais2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S))"
    R"(|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kYoutuWords =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kYoutuScripts =
    R"([가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+)";
constexpr std::string_view kGraniteEmbedding =
    R"([^\r\n\p{L}\p{N}]?(?:(?=[\p{L}\p{M}])[^a-z])*(?:(?=[\p{L}\p{M}])[^A-Z])+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?(?:(?=[\p{L}\p{M}])[^a-z])+(?:(?=[\p{L}\p{M}])[^A-Z])*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kKimiK2 =
    R"([\p{Han}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kExaoneMoe =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kMiniCpm5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekHan = R"([一-龥぀-ゟ゠-ヿ]+)";
constexpr std::string_view kDeepSeekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSparkWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
// Letters with two cases, of the Unicode that DeepSeek's authors had.
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯ\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386})"
    R"(\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}Ҋ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿ)"
    R"(ᴀ-ᴫᵫ-ᵷᵹ-ᶚ\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d})"
    R"(\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4})"
    R"(\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3})"
    R"(\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}ℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ)"
    R"(\x{212a}-\x{212d}ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓)"
    R"(𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekMarks = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kDeepSeekCjk = R"([一-龥ࠀ-一가-퟿]+)";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kAfMoeScripts =
    R"([一-鿿㐀-䶿\x{f900}-\x{faff}぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+)";
constexpr std::string_view kThrees = R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))";
constexpr std::string_view kDigit = R"(\p{N})", kUpTo3 = R"(\p{N}{1,3})";
constexpr std::string_view kLines = R"([^\n]+|[\n]+)";

std::vector<NamedSplit> MakeSplits() {
  using Letters = NamedSplit::Letters;
  std::vector<NamedSplit> out;
  const auto add = [&](std::initializer_list<std::string_view> names, const NamedSplit& split) {
    for (const std::string_view name : names) {
      out.push_back(split);
      out.back().name = name;
    }
  };
  const std::vector<std::string_view> digits = {kDigit, kGpt2};
  add({"llama-bpe"}, {.expressions = {kLlama3}, .ignore_merges = true, .add_bos = true});
  add({"dbrx"}, {.expressions = {kLlama3}});
  add({"gpt-4o"}, {.expressions = {kGpt4o}});
  add({"qwen2"}, {.expressions = {kQwen2}, .nfc = true});
  add({"gpt-2"}, {.expressions = {kGpt2}});
  add({"refact"}, {.expressions = digits});

  add({"llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"},
      {.expressions = {kLlama3}, .ignore_merges = true, .add_bos = true});
  add({"smaug-bpe", "glm4", "chatglm-bpe"}, {.expressions = {kLlama3}});
  add({"llama4", "kanana2", "talkie", "minimax-m2"}, {.expressions = {kGpt4o}});
  add({"stablelm2", "deepseek-r1-qwen", "kormo", "megrez", "hunyuan", "solar-open", "grok-2"},
      {.expressions = {kQwen2}});
  add({"f2llmv2"}, {.expressions = {kQwen2}, .nfc = true});
  add({"qwen35"}, {.expressions = {kQwen35}, .nfc = true});
  add({"olmo", "mpt"}, {.expressions = {kGpt2}, .nfc = true});
  add({"phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
       "modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe", "jais", "trillion",
       "granite-docling", "exaone4"},
      {.expressions = {kGpt2}});
  add({"command-r"}, {.expressions = digits, .nfc = true});
  add({"smollm", "starcoder", "codeshell", "exaone", "minerva-7b", "mellum2"},
      {.expressions = digits});
  add({"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
      {.expressions = {kUpTo3, kDeepSeekHan, kDeepSeekWords}});
  add({"spark2_5"}, {.expressions = {kUpTo3, kDeepSeekHan, kSparkWords, kDigit}});
  add({"deepseek-llm"}, {.expressions = {"[\r\n]", kDeepSeekLetters, kDeepSeekMarks, R"(\s+$)",
                                         kDeepSeekCjk, R"(\p{N}+)"}});
  add({"deepseek-coder"},
      {.expressions = {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekCjk, kDigit}});
  add({"youtu"}, {.expressions = {kYoutuScripts, kYoutuWords}, .ignore_merges = true});
  add({"falcon"}, {.expressions = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}});
  add({"jais-2"}, {.expressions = {kJais2}});
  add({"poro-chat", "bloom", "gpt3-finnish"}, {.expressions = {kBloom}});
  add({"viking"}, {.expressions = {kBloom, kDigit}});
  add({"tekken"}, {.expressions = {kTekken}, .ignore_merges = true, .add_bos = true});
  add({"chameleon"},
      {.expressions = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                       "([\\t\\n]|    |  )", kDigit, R"([\p{P}!-/:-@\[-`{-~])", kGpt2},
       .add_bos = true});
  add({"granite-embed-multi-97m"}, {.expressions = {kGraniteEmbedding}, .ignore_merges = true});
  add({"tiny_aya", "cohere2moe"}, {.expressions = {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o}});
  add({"kimi-k2"}, {.expressions = {kKimiK2}});
  add({"superbpe"}, {.expressions = {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}});
  add({"bailingmoe", "bailingmoe2", "llada-moe"}, {.expressions = {kBailing}});
  add({"seed-coder"}, {.expressions = {kSeedCoder}});
  add({"ufakzeka"}, {.expressions = {kUfakZeka}});
  add({"afmoe"}, {.expressions = {kThrees, kAfMoeScripts, kDeepSeekWords}});
  add({"laguna"}, {.expressions = {kLines, kQwen2}});
  add({"exaone-moe"}, {.expressions = {kExaoneMoe}});
  add({"minicpm5"}, {.expressions = {kUpTo3, kMiniCpm5}, .ignore_merges = true});
  add({"gemma4", "granite-embed-multi-311m", "sarvam-moe"},
      {.expressions = {kLines}, .letters = Letters::kMarkedSpaces});
  add({"whitespace"}, {.expressions = {R"(\S+)"}, .letters = Letters::kPlain});
  add({"default"},
      {.expressions = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}});
  return out;
}

// What a tokenizer.json says, in the words of the table.
struct Written {
  std::vector<std::string> expressions;
  bool nfc = false, to_bytes = false, known = true;
};

// Some files have the characters of lines themselves in an expression.
std::string Escaped(std::string_view regex) {
  std::string out;
  for (const char c : regex)
    if (c == '\r' || c == '\n')
      out += c == '\r' ? "\\r" : "\\n";
    else
      out += c;
  return out;
}

void TakeSplit(JsonMembers& from, Written& out) {
  const std::string behavior = from.Text("behavior").value_or("");
  const bool invert = from.Bool("invert").value_or(false);
  const json::object* pattern = from.Object("pattern");
  const json::value* regex = pattern == nullptr ? nullptr : pattern->if_contains("Regex");
  // Removing what does not match is the same as isolating what does: the expressions of which there
  // is one match every text.
  out.known = out.known && regex != nullptr && regex->is_string() &&
              ((behavior == "Isolated" && !invert) || (behavior == "Removed" && invert));
  if (out.known) {
    const json::string& text = regex->get_string();
    out.expressions.push_back(Escaped({text.data(), text.size()}));
  }
}

Written ReadWritten(const json::object& stages) {
  Written out;
  const absl::Status normalizer =
      ForEachStage(stages.if_contains("normalizer"), "", "normalizers",
                   [&](std::string_view type, JsonMembers&) {
                     out.known = out.known && type == "NFC" && !std::exchange(out.nfc, true);
                     return absl::OkStatus();
                   });
  const absl::Status pre =
      ForEachStage(stages.if_contains("pre_tokenizer"), "", "pretokenizers",
                   [&](std::string_view type, JsonMembers& from) {
                     out.known = out.known && !out.to_bytes;
                     if (type == "Split") {
                       TakeSplit(from, out);
                     } else if (type == "Digits") {
                       out.known = out.known && from.Bool("individual_digits").value_or(false);
                       out.expressions.emplace_back(kDigit);
                     } else if (type == "ByteLevel") {
                       out.known = out.known && !from.Bool("add_prefix_space").value_or(true);
                       if (from.Bool("use_regex").value_or(true))
                         out.expressions.emplace_back(kGpt2);
                       out.to_bytes = true;
                     } else {
                       out.known = false;
                     }
                     return absl::OkStatus();
                   });
  out.known = out.known && normalizer.ok() && pre.ok() && out.to_bytes;
  return out;
}

}  // namespace

std::span<const NamedSplit> NamedSplits() {
  static const std::vector<NamedSplit> splits = MakeSplits();
  return splits;
}

const NamedSplit* FindNamedSplit(std::string_view name) {
  const auto found = std::ranges::find(NamedSplits(), name, &NamedSplit::name);
  return found == NamedSplits().end() ? nullptr : &*found;
}

const NamedSplit* MatchNamedSplit(const json::object& stages) {
  const Written written = ReadWritten(stages);
  const json::value* model = stages.if_contains("model");
  if (!written.known || model == nullptr || !model->is_object()) return nullptr;
  JsonMembers from(model->get_object(), "");
  const bool ignore_merges = from.Bool("ignore_merges").value_or(false);
  const NamedSplit* but_for_nfc = nullptr;
  for (const NamedSplit& split : NamedSplits()) {
    // gpt-4o's vocabularies are closed under their merges: both settings of ignore_merges give the
    // same tokens.
    if (split.ignore_merges != ignore_merges && split.name != "gpt-4o") continue;
    if (split.letters != NamedSplit::Letters::kBytes ||
        !std::ranges::equal(split.expressions, written.expressions, {}, Escaped))
      continue;
    if (split.nfc == written.nfc) return &split;
    if (but_for_nfc == nullptr) but_for_nfc = &split;
  }
  return but_for_nfc;
}

}  // namespace quantfleet::text
