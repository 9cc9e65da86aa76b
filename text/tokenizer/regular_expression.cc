#include "text/tokenizer/regular_expression.h"

#include <algorithm>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/expression_syntax.h"

namespace quantfleet::text {
namespace {

constexpr size_t kMaxExpressionBytes = 16 << 10;
constexpr uint32_t kFirstSteps = 2'000, kMaxSteps = 50'000'000;
constexpr uint32_t kMaxHeapKiB = 64 << 10;

std::string Message(int code) {
  PCRE2_UCHAR text[200];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) return fmt::format("error {}", code);
  return reinterpret_cast<const char*>(text);
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

// Where matches are found, kept between texts.
class Matcher {
 public:
  Matcher()
      : match_(pcre2_match_data_create(1, nullptr)), limits_(pcre2_match_context_create(nullptr)) {
    if (limits_ != nullptr) pcre2_set_heap_limit(limits_.get(), kMaxHeapKiB);
  }
  bool ok() const { return match_ != nullptr && limits_ != nullptr; }

  // A match in `valid` UTF-8 at or behind `at`: false where there is none.
  absl::StatusOr<bool> Find(const pcre2_code* code, std::string_view valid, size_t at,
                            MatchSteps& purse) {
    for (uint32_t steps = kFirstSteps;; steps *= 16) {
      steps = std::min(steps, kMaxSteps);
      pcre2_set_match_limit(limits_.get(), steps);
      // Checked once before, not from every match to the text's end.
      const int matched =
          pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(valid.data()), valid.size(), at,
                      PCRE2_NO_UTF_CHECK, match_.get(), limits_.get());
      if (matched == PCRE2_ERROR_NOMATCH) return false;
      // 0: the expression captures, which is not asked for here.
      if (matched >= 0) return true;
      const bool more =
          matched == PCRE2_ERROR_MATCHLIMIT && steps < kMaxSteps && steps <= purse.left;
      if (!more)
        return InvalidArgument("the text cannot be split into words after byte {}: {}", at,
                               Message(matched));
      purse.left -= steps;
    }
  }
  size_t begin() const { return pcre2_get_ovector_pointer(match_.get())[0]; }
  size_t end() const { return pcre2_get_ovector_pointer(match_.get())[1]; }

 private:
  const std::unique_ptr<pcre2_match_data, FreeMatch> match_;
  const std::unique_ptr<pcre2_match_context, FreeMatch> limits_;
};

}  // namespace

void RegularExpression::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<RegularExpression> RegularExpression::Create(std::string_view oniguruma) {
  if (oniguruma.size() > kMaxExpressionBytes)
    return InvalidArgument("an expression of {} bytes; the maximum is {}", oniguruma.size(),
                           kMaxExpressionBytes);
  QF_ASSIGN_OR_RETURN(const std::string regex, ToPcre2(oniguruma));
  int error = 0;
  PCRE2_SIZE at = 0;
  // Not compiled to machine code: a device's service may not write what it executes.
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE, &error, &at, nullptr);
  if (code == nullptr)
    return InvalidArgument("the expression {} is not valid: {}", Shown(oniguruma, 120),
                           Message(error));
  return RegularExpression(code);
}

absl::Status RegularExpression::ForEachMatch(
    std::string_view text, MatchSteps& steps,
    const std::function<void(size_t, size_t)>& found) const {
  static thread_local Matcher matcher;
  if (!matcher.ok()) return ResourceExhausted("not enough memory to match a text");
  for (size_t base = 0; base < text.size();) {
    const std::string_view valid = text.substr(base, WholeUtf8Length(text.substr(base)));
    // An empty match where the last one ended does not count; then a character is passed over.
    for (size_t at = 0, last = std::string_view::npos; at <= valid.size() && !valid.empty();) {
      QF_ASSIGN_OR_RETURN(const bool any, matcher.Find(code_.get(), valid, at, steps));
      if (!any) break;
      const size_t begin = matcher.begin(), end = matcher.end();
      // Lookbehinds may set a match's begin behind its end.
      if (begin <= end && !(begin == end && last == end)) {
        found(base + begin, base + end);
        last = end;
        at = end;
        if (begin != end) continue;
      }
      at = std::max(at, end);
      if (at == valid.size()) break;
      at += FirstCharacter(valid.substr(at)).length;
    }
    base += valid.size();
    while (base < text.size() && WholeUtf8Length(text.substr(base, 4)) == 0) ++base;
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::text
