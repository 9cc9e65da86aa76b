#include "agent/runtime/special_tokens.h"

#include <algorithm>
#include <cctype>
#include <functional>

namespace quantfleet::agent {
namespace {

using pipeline::TokenType;

// Texts of control tokens at which chat models stop, whatever the file's eos is (llama.cpp: llama-vocab.cpp).
constexpr std::string_view kEndTexts[] = {"<|end|>",    "<|endoftext|>", "<|im_end|>",      "<|eot_id|>",
                                          "<|eom_id|>", "<end_of_turn>", "<|end_of_text|>", "<EOT>"};

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

bool IsPhi3(std::string_view model_name) {
  std::string name(model_name);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

}  // namespace

bool IsControl(TokenType type) { return type == TokenType::kControl || type == TokenType::kUnknown; }

SpecialTokens::SpecialTokens(const pipeline::TokenizerData& data, std::string_view model_name)
    : ends_(data.tokens.size(), false) {
  const bool phi3 = IsPhi3(model_name);
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto& [text, score, type] = data.tokens[i];
    if (!IsControl(type) && type != TokenType::kUserDefined) continue;
    ends_[i] = std::ranges::find(kEndTexts, text) != std::end(kEndTexts);
    if (text.empty()) continue;
    const bool strips = phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    special_.push_back({text, static_cast<int32_t>(i), IsControl(type), strips});
  }
  if (data.eos && *data.eos >= 0 && static_cast<size_t>(*data.eos) < ends_.size()) ends_[*data.eos] = true;
  std::ranges::stable_sort(special_, std::greater<>(), [](const Special& s) { return s.text.size(); });
}

bool SpecialTokens::EndsGeneration(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < ends_.size() && ends_[id];
}

void SpecialTokens::SplitOne(std::string_view text, const Special& special, std::vector<Fragment>& out) {
  for (size_t at; (at = text.find(special.text)) != std::string_view::npos;) {
    if (at > 0) out.push_back({text.substr(0, at)});
    out.push_back({{}, special.id});
    text.remove_prefix(at + special.text.size());
    while (special.strips_right && !text.empty() && IsSpace(text[0])) text.remove_prefix(1);
  }
  if (!text.empty()) out.push_back({text});
}

std::vector<SpecialTokens::Fragment> SpecialTokens::Split(std::string_view text, bool parse_special) const {
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
        SplitOne(fragment.text, special, split);
    }
    fragments = std::move(split);
  }
  return fragments;
}

}  // namespace quantfleet::agent
