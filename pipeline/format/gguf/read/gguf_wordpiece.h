// WordPiece as llama.cpp's files of BERT have it: tokens are spelled otherwise than in Hugging
// Face's, and keys stand in for a tokenizer.json. Pure.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/format/gguf/read/gguf_file.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kClsKey = "tokenizer.ggml.cls_token_id";
// llama.cpp's own spelling.
inline constexpr std::string_view kSepKey = "tokenizer.ggml.seperator_token_id";
inline constexpr std::string_view kTokenTypesKey = "tokenizer.ggml.token_type_count";

// "▁word" of "word", "ing" of "##ing"; what stands in brackets stays as it is.
std::string ToGgufWordPiece(std::string_view text);
std::string FromGgufWordPiece(std::string_view text);

// What llama.cpp does with a text where `data` has tokens and no description: lower case without
// accents, [CLS] in front and [SEP] behind.
absl::Status DescribeWordPiece(const GgufFile& file, text::TokenizerData& data);

}  // namespace quantfleet::pipeline
