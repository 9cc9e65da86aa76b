#include "pipeline/format/gguf/read/gguf_wordpiece.h"

#include <optional>

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kWord = "\xe2\x96\x81", kPart = "##";

bool InBrackets(std::string_view text) {
  return text.size() >= 2 && text.front() == '[' && text.back() == ']';
}

absl::StatusOr<int32_t> IdOf(const GgufFile& file, std::string_view key, int32_t otherwise,
                             const text::TokenizerData& data) {
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> id, file.Integer(key));
  const int64_t value = id.value_or(otherwise);
  if (value < 0 || value >= static_cast<int64_t>(data.tokens.size()))
    return InvalidArgument("{}: key '{}' names token {}, which is outside the vocabulary of {}",
                           file.name(), key, value, data.tokens.size());
  return static_cast<int32_t>(value);
}

}  // namespace

std::string ToGgufWordPiece(std::string_view text) {
  if (text.empty() || InBrackets(text)) return std::string(text);
  if (text.starts_with(kPart)) return std::string(text.substr(kPart.size()));
  return std::string(kWord).append(text);
}

std::string FromGgufWordPiece(std::string_view text) {
  if (text.empty() || InBrackets(text)) return std::string(text);
  if (text.starts_with(kWord)) return std::string(text.substr(kWord.size()));
  return std::string(kPart).append(text);
}

absl::Status DescribeWordPiece(const GgufFile& file, text::TokenizerData& data) {
  // llama.cpp's own defaults, those of BERT's vocabularies.
  constexpr int32_t kCls = 101, kSep = 102, kUnknown = 100;
  QF_ASSIGN_OR_RETURN(const int32_t cls, IdOf(file, kClsKey, data.bos.value_or(kCls), data));
  QF_ASSIGN_OR_RETURN(const int32_t sep, IdOf(file, kSepKey, kSep, data));
  if (!data.unknown && data.tokens.size() > kUnknown) data.unknown = kUnknown;
  data.bos = cls;
  data.eos = sep;
  data.add_bos = data.add_eos = true;
  text::TokenizerDescription description;
  description.stages = fmt::format(
      R"({{"normalizer":{{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}},)"
      R"("pre_tokenizer":{{"type":"BertPreTokenizer"}},)"
      R"("post_processor":{{"type":"BertProcessing","cls":["[CLS]",{}],"sep":["[SEP]",{}]}},)"
      R"("decoder":{{"type":"WordPiece","prefix":"##","cleanup":true}},)"
      R"("model":{{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100}}}})",
      cls, sep);
  data.description = std::move(description);
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
