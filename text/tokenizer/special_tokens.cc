#include "text/tokenizer/special_tokens.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "text/tokenizer/end_tokens.h"

namespace quantfleet::text {
namespace {

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

bool Touches(std::span<const DataRange> data, size_t begin, size_t end) {
  const auto first = std::ranges::upper_bound(data, begin, {}, &DataRange::end);
  return first != data.end() && first->begin < end;
}

// Turns are marked so, and some files have these marks as words of the user's.
bool IsMark(std::string_view text) {
  return text.size() > 4 && text.starts_with("<|") && text.ends_with("|>");
}

bool IsPhi3(std::string_view model_name) {
  std::string name(model_name);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

}  // namespace

bool IsControl(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

SpecialTokens::SpecialTokens(const TokenizerData& data, std::string_view model_name)
    : ends_(data.tokens.size(), false) {
  const bool phi3 = IsPhi3(model_name);
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto& [text, score, type] = data.tokens[i];
    if (!IsControl(type) && type != TokenType::kUserDefined) continue;
    ends_[i] = EndsByText(data.tokens[i]);
    if (text.empty()) continue;
    const bool strips = phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    special_.push_back(
        {text, static_cast<int32_t>(i), IsControl(type), IsControl(type) || IsMark(text), strips});
  }
  for (const int32_t id : EndIds(data))
    if (id >= 0 && static_cast<size_t>(id) < ends_.size()) ends_[id] = true;
  // The longest first; of equally long ones the lower id.
  std::ranges::sort(special_, {}, [](const Special& s) {
    return std::pair(-static_cast<int64_t>(s.text.size()), s.id);
  });
}

bool SpecialTokens::EndsGeneration(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < ends_.size() && ends_[id];
}

void SpecialTokens::SplitOne(std::string_view text, const Special& special, const char* base,
                             std::span<const DataRange> data, std::vector<Fragment>& out) {
  for (size_t from = 0, at; (at = text.find(special.text, from)) != std::string_view::npos;) {
    const size_t begin = static_cast<size_t>(text.data() - base) + at;
    if (special.guarded && Touches(data, begin, begin + special.text.size())) {
      from = at + 1;
      continue;
    }
    if (at > 0) out.push_back({text.substr(0, at)});
    out.push_back({{}, special.id});
    text.remove_prefix(at + special.text.size());
    while (special.strips_right && !text.empty() && IsSpace(text[0])) text.remove_prefix(1);
    from = 0;
  }
  if (!text.empty()) out.push_back({text});
}

std::vector<SpecialTokens::Fragment> SpecialTokens::Split(std::string_view text, bool parse_special,
                                                          std::span<const DataRange> data) const {
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({text});
  for (const Special& special : special_) {
    if (!parse_special && special.control) continue;
    if (text.find(special.text) == std::string_view::npos) continue;
    std::vector<Fragment> split;
    for (const Fragment& fragment : fragments) {
      if (fragment.token >= 0)
        split.push_back(fragment);
      else
        SplitOne(fragment.text, special, text.data(), data, split);
    }
    fragments = std::move(split);
  }
  return fragments;
}

}  // namespace quantfleet::text
