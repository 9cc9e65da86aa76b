#include "text/tokenizer/describe_keys.h"

#include <boost/json.hpp>
#include <cctype>
#include <string>
#include <utility>

#include "common/base/outside_text.h"
#include "text/tokenizer/named_splits.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kMarkedSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's space

bool IsPhi3(std::string_view model_name) {
  std::string name(model_name);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

json::value UnknownOf(const TokenizerData& data) {
  const bool known =
      data.unknown && *data.unknown >= 0 && static_cast<size_t>(*data.unknown) < data.tokens.size();
  if (!known) return nullptr;
  return json::value(data.tokens[static_cast<size_t>(*data.unknown)].text);
}

json::object Bpe(json::value unknown, bool falls_back, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", std::move(unknown)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", falls_back},
          {"byte_fallback", falls_back},
          {"ignore_merges", ignore_merges}};
}

// SentencePiece's BPE writes a space as a letter, which stands in front of a text as well.
json::object SentencePiece(const TokenizerData& data) {
  json::array normalizers;
  if (data.add_space_prefix)
    normalizers.push_back({{"type", "Prepend"}, {"prepend", kMarkedSpace}});
  normalizers.push_back(
      {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMarkedSpace}});
  json::array decoders{
      {{"type", "Replace"}, {"pattern", {{"String", kMarkedSpace}}}, {"content", " "}},
      {{"type", "ByteFallback"}},
      {{"type", "Fuse"}}};
  if (data.add_space_prefix)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
          {"decoder", {{"type", "Sequence"}, {"decoders", std::move(decoders)}}},
          {"model", Bpe(UnknownOf(data), /*falls_back=*/true, /*ignore_merges=*/false)}};
}

// Bytes as letters, after a text is cut by the expressions of a name.
json::object ByteLevel(const NamedSplit& split) {
  json::array steps;
  for (const std::string_view expression : split.expressions)
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", expression}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  const json::object letters{{"type", "ByteLevel"},
                             {"add_prefix_space", false},
                             {"trim_offsets", true},
                             {"use_regex", false}};
  steps.push_back(letters);
  json::object out{{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}},
                   {"decoder", letters},
                   {"model", Bpe(nullptr, /*falls_back=*/false, split.ignore_merges)}};
  if (split.nfc) out["normalizer"] = {{"type", "NFC"}};
  return out;
}

}  // namespace

std::vector<AddedToken> KeyedAdded(const TokenizerData& data, std::string_view model_name) {
  const bool phi3 = IsPhi3(model_name);
  std::vector<AddedToken> added;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto& [text, score, type] = data.tokens[i];
    if ((!IsControl(type) && type != TokenType::kUserDefined) || text.empty()) continue;
    const bool strips = phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    added.push_back({.id = static_cast<int64_t>(i),
                     .text = text,
                     .special = IsControl(type),
                     .rstrip = strips});
  }
  return added;
}

absl::StatusOr<TokenizerDescription> DescribeKeys(const TokenizerData& data,
                                                  std::string_view model_name) {
  TokenizerDescription out;
  out.added = KeyedAdded(data, model_name);
  if (data.kind == TokenizerData::Kind::kSpm) {
    out.stages = json::serialize(SentencePiece(data));
    return out;
  }
  const NamedSplit* split =
      data.kind == TokenizerData::Kind::kByteBpe ? FindNamedSplit(data.pre) : nullptr;
  if (split == nullptr || split->letters != NamedSplit::Letters::kBytes)
    return Unimplemented("GGUF's keys for a tokenizer cut as '{}' cannot be described",
                         Shown(data.pre, 60));
  out.stages = json::serialize(ByteLevel(*split));
  return out;
}

}  // namespace quantfleet::text
