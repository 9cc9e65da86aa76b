#include "text/tokenizer/tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "text/tokenizer/tokenizer_stages.h"

namespace quantfleet::text {
namespace {

constexpr size_t kMaxText = size_t{1}
                            << 28;  // symbols are numbered by int, and take up to 32 bytes each

bool Touches(std::span<const DataRange> data, size_t begin, size_t end) {
  const auto first = std::ranges::upper_bound(data, begin, {}, &DataRange::end);
  return first != data.end() && first->begin < end;
}

// Where the data of a text lies once it is normalized, if anything, too much of it: a boundary
// stands where what is in front of it ends, or where what is behind it begins.
std::vector<DataRange> NormalizedData(const Normalizer& normalizer, std::string_view text,
                                      size_t normalized_bytes, const AddedTokens::IsData& is_data) {
  std::vector<DataRange> out;
  const auto length = [&](std::string_view part) -> size_t {
    std::string copy(part);
    return normalizer.Apply(copy).ok() ? copy.size() : 0;
  };
  for (size_t begin = 0; begin < text.size();) {
    if (!is_data(begin, begin + 1)) {
      ++begin;
      continue;
    }
    size_t end = begin + 1;
    while (end < text.size() && is_data(end, end + 1)) ++end;
    const auto behind = [&](size_t at) {
      return normalized_bytes - std::min(normalized_bytes, length(text.substr(at)));
    };
    const size_t from = std::min(length(text.substr(0, begin)), behind(begin));
    const size_t to = std::max(length(text.substr(0, end)), behind(end));
    if (!out.empty() && from < out.back().end)
      out.back().end = std::max(out.back().end, to);
    else
      out.push_back({from, to});
    begin = end;
  }
  return out;
}

bool Has(int32_t id, const std::vector<bool>& flags) {
  return id >= 0 && static_cast<size_t>(id) < flags.size() && flags[static_cast<size_t>(id)];
}

absl::Status EncodeNormalized(const TokenizerStages& stages, std::string text, bool at_start,
                              std::vector<int32_t>& out) {
  Pieces pieces;
  if (!text.empty()) pieces.pieces.push_back({0, text.size()});
  pieces.steps = MatchSteps(text.size());
  pieces.text = std::move(text);
  pieces.at_start = at_start;
  QF_RETURN_IF_ERROR(stages.pre_tokenizer.Apply(pieces));
  for (size_t i = 0; i < pieces.pieces.size(); ++i) stages.model->Encode(pieces[i], out);
  return absl::OkStatus();
}

absl::Status EncodePlain(const TokenizerStages& stages, std::string_view text, bool at_start,
                         bool parse_special, const AddedTokens::IsData& is_data,
                         std::vector<int32_t>& out) {
  std::string normalized(text);
  bool keeps_front = true;
  QF_RETURN_IF_ERROR(stages.normalizer.Apply(normalized, &keeps_front));
  at_start = at_start && keeps_front;
  if (!stages.added.has_normalized())
    return EncodeNormalized(stages, std::move(normalized), at_start, out);

  std::optional<std::vector<DataRange>> data;
  AddedTokens::IsData touches;
  if (is_data) {
    touches = [&](size_t begin, size_t end) {
      if (!data) data = NormalizedData(stages.normalizer, text, normalized.size(), is_data);
      return Touches(*data, begin, end);
    };
  }
  std::vector<AddedTokens::Fragment> fragments;
  stages.added.Split(normalized, true, parse_special, touches, fragments);
  for (const auto& [begin, end, token] : fragments) {
    if (token >= 0)
      out.push_back(token);
    else
      QF_RETURN_IF_ERROR(EncodeNormalized(stages, normalized.substr(begin, end - begin),
                                          at_start && begin == 0, out));
  }
  return absl::OkStatus();
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerStages> stages) : stages_(std::move(stages)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_bos,
                                                       bool parse_special,
                                                       std::span<const DataRange> data) const {
  if (text.size() > kMaxText)
    return InvalidArgument("a text of {} bytes; the maximum is {}", text.size(), kMaxText);
  std::vector<int32_t> out;
  if (add_bos) out = stages_->before;
  const auto is_data = [&](size_t from) -> AddedTokens::IsData {
    if (data.empty()) return nullptr;
    return
        [data, from](size_t begin, size_t end) { return Touches(data, from + begin, from + end); };
  };
  std::vector<AddedTokens::Fragment> fragments;
  stages_->added.Split(text, false, parse_special, is_data(0), fragments);
  for (const auto& [begin, end, token] : fragments) {
    if (token >= 0)
      out.push_back(token);
    else
      QF_RETURN_IF_ERROR(EncodePlain(*stages_, text.substr(begin, end - begin), begin == 0,
                                     parse_special, is_data(begin), out));
  }
  if (std::ranges::find(out, kNoToken) != out.end()) {
    return InvalidArgument(
        "the text has bytes for which the tokenizer has no token, and it has no unknown token");
  }
  return out;
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodeWhole(std::string_view text,
                                                            bool parse_special) const {
  QF_ASSIGN_OR_RETURN(std::vector<int32_t> ids, Encode(text, true, parse_special));
  ids.insert(ids.end(), stages_->after.begin(), stages_->after.end());
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids)
    if (id >= 0 && static_cast<size_t>(id) < stages_->texts.size() && !Has(id, stages_->control))
      tokens.push_back(stages_->texts[static_cast<size_t>(id)]);
  return stages_->decoder.Decode(std::move(tokens));
}

bool Tokenizer::AddsLeadingSpace() const { return stages_->decoder.strips_first_space(); }

bool Tokenizer::EndsGeneration(int32_t id) const { return Has(id, stages_->ends); }

std::string Tokenizer::Piece(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= stages_->texts.size() || Has(id, stages_->control))
    return "";
  const std::string& text = stages_->texts[static_cast<size_t>(id)];
  return Has(id, stages_->literal) ? text : stages_->decoder.Piece(text);
}

}  // namespace quantfleet::text
