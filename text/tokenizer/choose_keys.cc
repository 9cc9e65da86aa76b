#include "text/tokenizer/choose_keys.h"

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <utility>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "text/tokenizer/named_splits.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/proven_keys.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

// What pre-tokenizers and normalizers tell apart, in many scripts. Composed, where a character has
// two spellings: llama.cpp composes nothing, whatever the model's authors do.
constexpr std::string_view kSamples[] = {
    "The quick brown fox jumps over the lazy dog. It's what they'd've said, I'LL, YOU'RE, we'Re.",
    "  leading and trailing   ",
    "\n\n\n  lines\r\n\r\n\t\ttabs \n x  y   z    \n",
    "1 12 123 1234 12345 123456 1234567 0.5 1,000,000 2024-01-31 ½ ² Ⅷ ١٢٣٤ १२३४",
    "camelCase HTTPServer XMLHttpRequest2 snake_case kebab-case UPPER lower Title ABCdef aBc",
    "def f(x):\n    return {\"a\": [1, 2.50], 'b': x**2 // 3}  # 100%\n\tif x != y: pass",
    "!!! ??? ... --- ___ *** ### $$$ @@@ ~~~ ``` ||| \\\\ ^^^ <<<>>> «»„“”‚‘’ …—–•†‡§¶©®™°±×÷€£¥₿ "
    "!a .b -c /d",
    "Größenwahn, œuvre, naïveté, Ångström, straße, déjà vu; Съешь же ещё этих мягких булок.",
    "Η γρήγορη αλεπού. שלום עולם. مرحبا بالعالم، كيف حالك؟ ქართული ՀԱՅԵՐԵՆ አማርኛ ሰላም",
    "नमस्ते दुनिया, क्षत्रिय. বাংলা ভাষা। தமிழ் மொழி. తెలుగు ಕನ್ನಡ മലയാളം ไทยสวัสดี ພາສາລາວ ខ្មែរ မြန်မာ",
    "你好,世界!今天天气怎么样?我想吃北京烤鸭。「繁體中文」 中文abc中文123",
    "こんにちは世界。カタカナとひらがな、漢字。 안녕하세요 세계! 한국어 Tiếng Việt: ă â đ ê ô ơ ư.",
    "😀😃 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ✅ "
    "a\u00a0b\u2003c\u3000d\u200be "
    "▁ "
    "▁▁a",
    "a",
    " ",
    "",
    "  ",
    "\n",
};
constexpr size_t kSampledTokens = 4096, kTokensPerProbe = 8, kSampledAdded = 256;

std::vector<std::string> Cut(const PreTokenizer& pre, bool& ok) {
  std::vector<std::string> out;
  for (const std::string_view sample : kSamples) {
    Pieces pieces;
    pieces.text = sample;
    pieces.steps = MatchSteps(sample.size());
    if (!sample.empty()) pieces.pieces.push_back({0, sample.size()});
    ok = ok && pre.Apply(pieces).ok();
    for (size_t i = 0; i < pieces.pieces.size(); ++i) out.emplace_back(pieces[i]);
    out.emplace_back();
  }
  return out;
}

// The first name that cuts the samples the same way, or null.
const NamedSplit* FindByBehavior(const json::object& stages, bool ignore_merges) {
  absl::StatusOr<PreTokenizer> pre = PreTokenizer::Create(stages.if_contains("pre_tokenizer"));
  bool ok = pre.ok();
  if (!ok) return nullptr;
  const std::vector<std::string> wanted = Cut(*pre, ok);
  const std::vector<std::string_view>* last = nullptr;
  for (const NamedSplit& split : NamedSplits()) {
    if (split.ignore_merges != ignore_merges || split.letters != NamedSplit::Letters::kBytes)
      continue;
    if (last != nullptr && *last == split.expressions) continue;
    last = &split.expressions;
    const auto other = PreTokenizer::OfExpressions(split.expressions);
    if (ok && other.ok() && Cut(*other, ok) == wanted && ok) return &split;
  }
  return nullptr;
}

// Texts on which two ways to make ids are compared.
std::vector<std::string> Probes(const Tokenizer& tokenizer, const TokenizerData& data) {
  std::vector<std::string> out(std::begin(kSamples), std::end(kSamples));
  // Runs, in which the order of merges shows.
  for (const char c : std::string_view(" \n\t=-_*#.,/~0aA"))
    for (const size_t length : {2, 3, 4, 5, 7, 11, 16, 17, 31, 33, 48, 63, 64, 65, 100, 129, 200})
      out.push_back(std::string(length, c) + "x");
  // Tokens from all over the vocabulary, in an order that puts unlike ones together.
  const size_t count = data.tokens.size(), stride = std::max<size_t>(count / kSampledTokens, 1);
  std::string probe;
  size_t held = 0;
  for (size_t from = 0; from < kTokensPerProbe; ++from) {
    for (size_t i = from * stride; i < count; i += kTokensPerProbe * stride) {
      if (data.tokens[i].type == TokenType::kUnused) continue;
      const std::string piece = tokenizer.Piece(static_cast<int32_t>(i));
      if (!IsUtf8(piece)) continue;
      probe += piece;
      if (++held % kTokensPerProbe == 0) out.push_back(std::exchange(probe, {}));
    }
  }
  out.push_back(std::move(probe));
  size_t added = 0;
  for (const AddedToken& token : data.description->added) {
    if (++added > kSampledAdded) break;
    out.push_back(token.text);
    out.push_back("x " + token.text + "  y" + token.text + token.text + "\nz" + token.text + " ");
  }
  return out;
}

// Whether ids are the same wherever both make some: what one of them has no token for, it refuses.
// `otherwise` where nothing can be compared.
bool Same(const Tokenizer& a, const Tokenizer& b, const std::vector<std::string>& probes,
          bool otherwise) {
  bool compared = false;
  for (const std::string& probe : probes) {
    const auto of_a = a.Encode(probe, true, true), of_b = b.Encode(probe, true, true);
    if (!of_a.ok() || !of_b.ok()) continue;
    if (*of_a != *of_b) return false;
    compared = compared || !probe.empty();
  }
  return compared || otherwise;
}

}  // namespace

absl::Status ChooseKeys(TokenizerData json, std::string_view model_name, TokenizerData& data) {
  QF_ASSIGN_OR_RETURN(const json::object stages,
                      ParseJsonObject(json.description->stages, "tokenizer.json"));
  bool known = data.kind == TokenizerData::Kind::kSpm;
  const NamedSplit* written = nullptr;  // as the stages are
  if (data.kind == TokenizerData::Kind::kByteBpe) {
    const NamedSplit* split = written = MatchNamedSplit(stages);
    known = split != nullptr;
    const json::value* model = stages.if_contains("model");
    if (!known && model != nullptr && model->is_object()) {
      JsonMembers from(model->get_object(), "tokenizer.json: model");
      split = FindByBehavior(stages, from.Bool("ignore_merges").value_or(false));
    }
    if (split != nullptr) data.pre = split->name;
  }
  json.tokens.resize(data.tokens.size(), {"", 0, TokenType::kUnused});
  json.bos = data.bos;
  json.add_bos = data.add_bos;
  QF_ASSIGN_OR_RETURN(const auto described, MakeTokenizer(json, model_name));
  if (written != nullptr && AreProven(json, stages, *written, data)) return absl::OkStatus();
  const auto by_keys = MakeTokenizer(data, model_name);
  const bool same =
      by_keys.ok() && Same(*described, **by_keys, Probes(*described, json), /*otherwise=*/known);
  if (same && known) return absl::OkStatus();
  data.description = std::move(json.description);
  data.llama_cpp_differs = !same;
  if (data.kind == TokenizerData::Kind::kSpm) {
    // Half a million merges need not go along where scores say the same.
    data.merges.clear();
    const auto scored = MakeTokenizer(data, model_name);
    if (scored.ok() && Same(*described, **scored, Probes(*described, data), /*otherwise=*/false))
      return absl::OkStatus();
  }
  data.merges = std::move(json.merges);
  // As it is read again, with what other files say of tokens.
  return MakeTokenizer(data, model_name).status();
}

}  // namespace quantfleet::text
