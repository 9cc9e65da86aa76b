#include "agent/runtime/tokenizer.h"

#include "agent/runtime/bpe_tokenizer.h"
#include "agent/runtime/spm_tokenizer.h"
#include "pipeline/format/gguf/gguf_tokenizer.h"

namespace quantfleet::agent {

using pipeline::TokenizerData;

namespace {
constexpr size_t kMostText = size_t{1}
                             << 28;  // symbols are numbered by int, and take up to 32 bytes each
}  // namespace

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_bos,
                                                       bool parse_special,
                                                       std::span<const DataRange> data) const {
  if (text.size() > kMostText)
    return InvalidArgument("a text of {} bytes; at most {}", text.size(), kMostText);
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
      "the model carries no tokenizer; make the GGUF again from a source that has one");
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(FileSystem& files, const fs::path& gguf) {
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(gguf, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const auto header, pipeline::GgufFile::Read(*file, gguf.string()));
  QF_ASSIGN_OR_RETURN(const TokenizerData data, pipeline::ReadTokenizer(header));
  QF_ASSIGN_OR_RETURN(const auto name, header.Text("general.name"));
  return MakeTokenizer(data, name.value_or(""));
}

}  // namespace quantfleet::agent
