// The tokens of a template, as its parser takes them, and the numbers of its names.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/base/outside_text.h"
#include "text/jinja/lexer.h"

namespace quantfleet::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  bool IsOperator(std::string_view text) const { return current().IsOperator(text); }
  bool IsName(std::string_view text) const { return current().IsName(text); }
  Token Take() { return at_ + 1 < tokens_.size() ? std::move(tokens_[at_++]) : tokens_[at_]; }
  void Skip() { at_ += at_ + 1 < tokens_.size(); }
  bool SkipOperator(std::string_view text) { return SkipIf(IsOperator(text)); }
  bool SkipName(std::string_view text) { return SkipIf(IsName(text)); }

  absl::Status Fail(std::string_view what) const { return FailAt(current().place, what); }
  absl::Status FailAt(const Place& place, std::string_view what) const {
    return InvalidArgument("{}: {}", Show(place), what);
  }
  absl::Status Unexpected(std::string_view wanted) const {
    return Fail(fmt::format("expected {}, found {}", wanted, Found()));
  }
  absl::Status ExpectOperator(std::string_view text) {
    return SkipOperator(text) ? absl::OkStatus() : Unexpected(fmt::format("\"{}\"", text));
  }
  absl::Status ExpectName(std::string_view text) {
    return SkipName(text) ? absl::OkStatus() : Unexpected(fmt::format("\"{}\"", text));
  }

  int Number(std::string_view name) {
    for (size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == name) return static_cast<int>(i);
    names_.emplace_back(name);
    return static_cast<int>(names_.size()) - 1;
  }
  std::vector<std::string> TakeNames() { return std::move(names_); }

  // Refuses what nests too deeply to be carried out.
  absl::Status Enter() {
    return ++depth_ > kMost ? Fail("the template is nested too deeply") : absl::OkStatus();
  }
  void Leave() { --depth_; }

 private:
  static constexpr int kMost = 100;

  bool SkipIf(bool condition) {
    if (condition) Skip();
    return condition;
  }
  std::string Found() const {
    switch (current().kind) {
      case Token::Kind::kEnd:
        return "the template's end";
      case Token::Kind::kBlockEnd:
        return "\"%}\"";
      case Token::Kind::kOutputEnd:
        return "\"}}\"";
      case Token::Kind::kInteger:
      case Token::Kind::kFloat:
        return "a number";
      case Token::Kind::kText:
        return "a text";
      default:
        return fmt::format("\"{}\"", Shown(current().text, 60));
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::vector<std::string> names_;
  int depth_ = 0;
};

}  // namespace quantfleet::jinja
