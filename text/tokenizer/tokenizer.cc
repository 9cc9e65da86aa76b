#include "text/tokenizer/tokenizer.h"

#include "text/tokenizer/bpe_tokenizer.h"
#include "text/tokenizer/spm_tokenizer.h"

namespace quantfleet::text {

namespace {
constexpr size_t kMaxText = size_t{1}
                            << 28;  // symbols are numbered by int, and take up to 32 bytes each
}  // namespace

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_bos,
                                                       bool parse_special,
                                                       std::span<const DataRange> data) const {
  if (text.size() > kMaxText)
    return InvalidArgument("a text of {} bytes; the maximum is {}", text.size(), kMaxText);
  return EncodeText(text, add_bos, parse_special, data);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerData& data,
                                                         std::string_view model_name) {
  switch (data.kind) {
    case TokenizerData::Kind::kSpm:
      return SpmTokenizer::Create(data, model_name);
    case TokenizerData::Kind::kByteBpe:
      return BpeTokenizer::Create(data, model_name);
    case TokenizerData::Kind::kNone:
      break;
  }
  return InvalidArgument(
      "the model has no tokenizer: create the GGUF again from a source that has one");
}

}  // namespace quantfleet::text
