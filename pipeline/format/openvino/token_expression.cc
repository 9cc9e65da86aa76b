#include "pipeline/format/openvino/token_expression.h"

#include <algorithm>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/expression_syntax.h"
#include "text/tokenizer/regular_expression.h"

namespace quantfleet::pipeline {
namespace {

constexpr size_t kMaxTokenBytes = 512;
// PCRE2 compiles no more than 64 KiB of code.
constexpr size_t kMaxExpressionBytes = 16 << 10;
constexpr size_t kMaxRuns = 256;

bool IsAlphanumeric(std::string_view character) {
  const char c = character.front();
  return character.size() == 1 &&
         ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

// What matches one of the texts, of those that begin at one place the longest: `texts` are sorted,
// and each there once. Many tokens are "<unused123>": what is alike stands there once, so that the
// expression stays small.
std::string Alternatives(std::span<const std::string_view> texts) {
  const bool ends = texts.front().empty();
  if (ends) texts = texts.subspan(1);
  if (texts.empty()) return "";
  std::map<std::string, std::vector<std::string_view>> heads;  // by what may follow
  for (size_t begin = 0; begin < texts.size();) {
    const std::string_view head = texts[begin].substr(0, CharacterBytes(texts[begin]));
    size_t end = begin;
    std::vector<std::string_view> rests;
    for (; end < texts.size() && texts[end].starts_with(head); ++end)
      rests.push_back(texts[end].substr(head.size()));
    heads[Alternatives(rests)].push_back(head);
    begin = end;
  }
  std::vector<std::string> parts;
  for (const auto& [rest, characters] : heads) {
    std::string any;
    for (const std::string_view head : characters) {
      if (IsAlphanumeric(head))
        any += head;
      else
        parts.push_back(QuotedExpression(head) + rest);
    }
    if (any.size() == 1) parts.push_back(any + rest);
    if (any.size() > 1) parts.push_back("[" + any + "]" + rest);
  }
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : "|") + part;
  if (ends) return "(?:" + all + ")?";
  return parts.size() == 1 ? all : "(?:" + all + ")";
}

auto Flags(const text::AddedToken& token) { return std::pair(token.lstrip, token.rstrip); }

}  // namespace

std::string QuotedExpression(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && !IsAlphanumeric(std::string_view(&c, 1))) out += '\\';
    out += c;
  }
  return out;
}

absl::StatusOr<std::string> Pcre2Expression(std::string_view oniguruma) {
  QF_RETURN_IF_ERROR(text::RegularExpression::Create(oniguruma).status());
  QF_ASSIGN_OR_RETURN(const std::string translated, text::ToPcre2(oniguruma));
  return "(?m)" + translated;  // as Oniguruma's ^ and $ are
}

std::string QuotedReplacement(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '$' ? "$$" : std::string(1, c);
  return out;
}

absl::StatusOr<std::string> TokenExpression(const std::vector<text::AddedToken>& tokens) {
  if (tokens.empty()) return "(?!)";  // nothing
  std::vector<const text::AddedToken*> sorted;
  for (const text::AddedToken& token : tokens) {
    // What is one within a word would be found there by the model's operation.
    if (token.single_word)
      return Unimplemented("the added token '{}', which has to be a word", Shown(token.text, 60));
    if (token.text.size() > kMaxTokenBytes)
      return Unimplemented("an added token of {} bytes", token.text.size());
    sorted.push_back(&token);
  }
  // Among tokens of the same flags the expression itself sees to it that the longest counts.
  const bool alike = std::ranges::all_of(
      sorted, [&](const auto* token) { return Flags(*token) == Flags(*sorted.front()); });
  if (!alike)
    std::ranges::sort(sorted, [](const auto* a, const auto* b) {
      return std::tuple(b->text.size(), Flags(*a), a->text) <
             std::tuple(a->text.size(), Flags(*b), b->text);
    });
  QF_ASSIGN_OR_RETURN(const std::string space, text::ToPcre2(R"(\s*)"));
  std::string out;
  size_t runs = 0;
  for (size_t begin = 0; begin < sorted.size(); ++runs) {
    const text::AddedToken& first = *sorted[begin];
    std::vector<std::string_view> texts;
    size_t end = begin;
    for (; end < sorted.size() && Flags(*sorted[end]) == Flags(first); ++end)
      texts.push_back(sorted[end]->text);
    std::ranges::sort(texts);
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    begin = end;
    if (!out.empty()) out += '|';
    if (first.lstrip) out += space;
    out += '(' + Alternatives(texts) + ')';
    if (first.rstrip) out += space;
  }
  if (out.size() > kMaxExpressionBytes || runs > kMaxRuns)
    return Unimplemented("{} added tokens, which need an expression of {} bytes", tokens.size(),
                         out.size());
  return out;
}

}  // namespace quantfleet::pipeline
