#include "text/tokenizer/word_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

// Steps of one match. A run of n characters of one kind takes a few times n; the known expressions
// do not nest repeats, so that no text takes more than that.
constexpr uint32_t kMaxSteps = 50'000'000;
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

}  // namespace

void WordSplitter::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<WordSplitter> WordSplitter::Create(std::string_view regex) {
  int error = 0;
  PCRE2_SIZE at = 0;
  // Not compiled to machine code: a device's service may not write what it executes.
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (code == nullptr)
    return InvalidArgument("the pre-tokenizer's expression is invalid at byte {}: {}", at,
                           Message(error));
  return WordSplitter(code);
}

absl::Status WordSplitter::SplitValid(std::string_view text,
                                      std::vector<std::string_view>& words) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatch> limits(pcre2_match_context_create(nullptr));
  if (match == nullptr || limits == nullptr)
    return ResourceExhausted("not enough memory to match a text");
  pcre2_set_match_limit(limits.get(), kMaxSteps);
  pcre2_set_heap_limit(limits.get(), kMaxHeapKiB);
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
  for (size_t at = 0; at < text.size(); at = found[1]) {
    // Checked once before, not from every word to the text's end.
    const int matched =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), limits.get());
    if (matched == PCRE2_ERROR_NOMATCH) {
      words.push_back(text.substr(at));
      break;
    }
    // 0: the expression captures, which is not asked for here.
    if (matched < 0)
      return InvalidArgument("the text cannot be split into words after byte {}: {}", at,
                             Message(matched));
    if (found[0] > at) words.push_back(text.substr(at, found[0] - at));
    words.push_back(text.substr(found[0], found[1] - found[0]));
  }
  return absl::OkStatus();
}

absl::Status WordSplitter::Split(std::string_view text,
                                 std::vector<std::string_view>& words) const {
  while (!text.empty()) {
    const size_t valid = WholeUtf8Length(text);
    QF_RETURN_IF_ERROR(SplitValid(text.substr(0, valid), words));
    size_t bad = valid;
    while (bad < text.size() && WholeUtf8Length(text.substr(bad, 4)) == 0) ++bad;
    if (bad > valid) words.push_back(text.substr(valid, bad - valid));
    text.remove_prefix(bad);
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::text
