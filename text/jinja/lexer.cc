#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/jinja/python_characters.h"
#include "text/jinja/string_literal.h"

namespace quantfleet::jinja {
namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNamePart(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Line ends are \n, and a single one at the end is lost.
std::string Normalized(std::string_view source) {
  std::string out = NormalizeLineEnds(source);
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) QF_RETURN_IF_ERROR(Root());
    Add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view Rest() const { return source_.substr(at_); }
  Place Here() {
    // Asked for ever later places: lines are counted once.
    while (counted_ < at_) {
      if (source_[counted_] == '\n') {
        ++line_;
        line_begin_ = counted_ + 1;
      }
      ++counted_;
    }
    return {line_, static_cast<int>(at_ - line_begin_) + 1};
  }
  absl::Status Fail(std::string_view what) { return InvalidArgument("{}: {}", Show(Here()), what); }
  void Add(Token::Kind kind, std::string_view text) {
    tokens_.push_back({kind, std::string(text), 0, 0, Here()});
  }
  void SkipSpace() {
    while (const size_t bytes = SpaceBytes(Rest(), false)) at_ += bytes;
  }
  // Takes the next `size` bytes, and what the end of a tag takes with it.
  void TakeEnd(size_t size, bool strips, bool trims_line) {
    at_ += size;
    if (strips) SkipSpace();
    if (!strips && trims_line && Rest().starts_with('\n')) ++at_;
    line_starting_ = source_[at_ - 1] == '\n';
  }

  absl::Status Root();
  absl::Status Comment();
  std::optional<size_t> RawBegins() const;
  absl::Status Raw();
  void AddData(std::string_view text, char sign, bool output);
  absl::Status Tag(bool output);
  bool TakeTagEnd(bool output);
  absl::Status TagToken();
  absl::Status TextToken();
  absl::Status NumberToken();
  absl::Status OperatorToken();

  std::string_view source_;
  size_t at_ = 0, counted_ = 0, line_begin_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last tag took a line's end with it
  std::string open_;           // brackets in the tag
  std::vector<Token> tokens_;
};

char SignAt(std::string_view text, size_t at) {
  return at < text.size() && (text[at] == '-' || text[at] == '+') ? text[at] : ' ';
}

// The text before a tag, less the white space that the tag takes away.
void Lexer::AddData(std::string_view text, char sign, bool output) {
  if (sign == '-') {
    while (const size_t bytes = SpaceBytes(text, true)) text.remove_suffix(bytes);
  } else if (sign != '+' && !output) {
    const size_t line = text.rfind('\n') + 1;  // 0: none
    std::string_view space = text.substr(line);
    while (const size_t bytes = SpaceBytes(space, false)) space.remove_prefix(bytes);
    if (space.empty() && (line > 0 || line_starting_)) text = text.substr(0, line);
  }
  if (!text.empty()) Add(Token::Kind::kData, text);
}

absl::Status Lexer::Root() {
  const std::string_view rest = Rest();
  size_t tag = 0;
  const auto is_tag = [rest](size_t at) {
    const char next = at + 1 < rest.size() ? rest[at + 1] : '\0';
    return next == '{' || next == '%' || next == '#';
  };
  while ((tag = rest.find('{', tag)) != std::string_view::npos && !is_tag(tag)) ++tag;
  if (tag == std::string_view::npos) {
    Add(Token::Kind::kData, rest);
    at_ = source_.size();
    return absl::OkStatus();
  }
  const char kind = rest[tag + 1], sign = SignAt(rest, tag + 2);
  AddData(rest.substr(0, tag), sign, kind == '{');
  at_ += tag;
  if (kind == '#') return Comment();
  if (kind == '%' && RawBegins()) return Raw();
  return Tag(kind == '{');
}

absl::Status Lexer::Comment() {
  const size_t begin = 2 + (SignAt(Rest(), 2) != ' ');
  const size_t end = Rest().find("#}", begin);
  if (end == std::string_view::npos) return Fail("the comment has no end");
  const char sign = end > begin ? SignAt(Rest(), end - 1) : ' ';
  TakeEnd(end + 2, sign == '-', sign != '+');
  return absl::OkStatus();
}

// What follows `{%`, its sign and `name`, where that stands there.
std::optional<size_t> AfterWord(std::string_view text, std::string_view name) {
  size_t at = 2 + (SignAt(text, 2) != ' ');
  while (const size_t bytes = SpaceBytes(text.substr(at), false)) at += bytes;
  if (!text.substr(at).starts_with(name)) return std::nullopt;
  at += name.size();
  while (const size_t bytes = SpaceBytes(text.substr(at), false)) at += bytes;
  return at;
}

// Where the raw text begins, before white space is taken from it.
std::optional<size_t> Lexer::RawBegins() const {
  const std::optional<size_t> end = AfterWord(Rest(), "raw");
  if (!end) return std::nullopt;
  if (Rest().substr(*end).starts_with("-%}")) return *end + 3;
  if (Rest().substr(*end).starts_with("%}")) return *end + 2;
  return std::nullopt;
}

absl::Status Lexer::Raw() {
  const size_t begin = *RawBegins();
  TakeEnd(begin, Rest()[begin - 3] == '-', false);
  for (size_t tag = 0; (tag = Rest().find("{%", tag)) != std::string_view::npos; ++tag) {
    const std::optional<size_t> end = AfterWord(Rest().substr(tag), "endraw");
    if (!end) continue;
    const size_t stop = tag + *end;
    const char sign = SignAt(Rest(), stop);
    const size_t marks = sign == ' ' ? 0 : 1;
    if (!Rest().substr(stop + marks).starts_with("%}")) continue;
    AddData(Rest().substr(0, tag), SignAt(Rest(), tag + 2), false);
    TakeEnd(stop + marks + 2, sign == '-', sign != '+');
    return absl::OkStatus();
  }
  return Fail("the raw block has no end");
}

bool Lexer::TakeTagEnd(bool output) {
  if (!open_.empty()) return false;
  const std::string_view end = output ? "}}" : "%}";
  const std::string_view rest = Rest();
  const bool sign = rest.starts_with('-') || (!output && rest.starts_with('+'));
  if (!rest.substr(sign ? 1 : 0).starts_with(end)) return false;
  const bool strips = rest[0] == '-', keeps = rest[0] == '+';
  Add(output ? Token::Kind::kOutputEnd : Token::Kind::kBlockEnd, "");
  TakeEnd(end.size() + (sign ? 1 : 0), strips, !output && !keeps);
  return true;
}

absl::Status Lexer::Tag(bool output) {
  Add(output ? Token::Kind::kOutputBegin : Token::Kind::kBlockBegin, "");
  at_ += 2;
  if (SignAt(source_, at_) != ' ') ++at_;
  open_.clear();
  while (true) {
    SkipSpace();
    if (at_ >= source_.size())
      return Fail(output ? "the {{ before has no }}" : "the {% before has no %}");
    if (TakeTagEnd(output)) return absl::OkStatus();
    QF_RETURN_IF_ERROR(TagToken());
  }
}

absl::Status Lexer::TagToken() {
  const char c = source_[at_];
  if (IsDigit(c)) return NumberToken();
  if (IsNamePart(c)) {
    const auto end = std::ranges::find_if_not(Rest(), IsNamePart);
    const auto size = static_cast<size_t>(end - Rest().begin());
    Add(Token::Kind::kName, Rest().substr(0, size));
    at_ += size;
    return absl::OkStatus();
  }
  if (c == '\'' || c == '"') return TextToken();
  return OperatorToken();
}

absl::Status Lexer::TextToken() {
  size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != source_[at_]) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) return Fail("the text in quotes has no end");
  absl::StatusOr<std::string> value = Unescape(source_.substr(at_ + 1, end - at_ - 1));
  if (!value.ok()) return Fail(Message(value.status()));
  Add(Token::Kind::kText, *value);
  at_ = end + 1;
  return absl::OkStatus();
}

absl::Status Lexer::NumberToken() {
  // Digits, each with one underscore before it at most.
  const auto digits = [this](size_t from, auto is_digit) {
    size_t end = from;
    while (end < source_.size() &&
           (is_digit(source_[end]) || (source_[end] == '_' && end > from &&
                                       end + 1 < source_.size() && is_digit(source_[end + 1]))))
      ++end;
    return end;
  };
  const auto cleaned = [this](size_t from, size_t to) {
    std::string text(source_.substr(from, to - from));
    std::erase(text, '_');
    return text;
  };
  size_t end = digits(at_, IsDigit);
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
  bool real = false;
  if (!after_dot) {
    if (end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) {
      end = digits(end + 1, IsDigit);
      real = true;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-'))
        ++exponent;
      if (exponent < source_.size() && IsDigit(source_[exponent])) {
        end = digits(exponent, IsDigit);
        real = true;
      }
    }
  }
  Token token{real ? Token::Kind::kFloat : Token::Kind::kInteger, "", 0, 0, Here()};
  const std::string text = cleaned(at_, end);
  std::from_chars_result result{};
  if (real) {
    result = std::from_chars(text.data(), text.data() + text.size(), token.real);
  } else {
    const char base =
        text == "0" && end < source_.size() ? static_cast<char>(source_[end] | 0x20) : ' ';
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
    const auto of_radix = [radix](char c) {
      const int value = IsDigit(c) ? c - '0' : (c | 0x20) >= 'a' ? (c | 0x20) - 'a' + 10 : 99;
      return value < radix;
    };
    std::string whole = text;
    if (radix != 10) {
      const size_t from = end + 1;
      end = digits(from, of_radix);
      whole = cleaned(from, end);
    } else if (text[0] == '0') {
      // 007 is 0, and then a 7 that nothing expects.
      const size_t zeros = std::min(text.find_first_not_of('0'), text.size());
      if (zeros < text.size()) return Fail("a number begins with 0");
    }
    result = std::from_chars(whole.data(), whole.data() + whole.size(), token.integer, radix);
  }
  if (result.ec != std::errc()) return Fail("the number is too large");
  tokens_.push_back(std::move(token));
  at_ = end;
  return absl::OkStatus();
}

absl::Status Lexer::OperatorToken() {
  const auto* const found = std::ranges::find_if(
      kOperators, [this](std::string_view op) { return Rest().starts_with(op); });
  if (found == std::end(kOperators))
    return Fail(fmt::format("unexpected character \"{}\"",
                            Shown(Rest().substr(0, CharacterBytes(Rest())))));
  const char c = found->size() == 1 ? found->front() : ' ';
  if (c == '{' || c == '(' || c == '[') open_ += c == '{' ? '}' : c == '(' ? ')' : ']';
  if (c == '}' || c == ')' || c == ']') {
    if (open_.empty() || open_.back() != c) return Fail(fmt::format("unexpected \"{}\"", c));
    open_.pop_back();
  }
  Add(Token::Kind::kOperator, *found);
  at_ += found->size();
  return absl::OkStatus();
}

}  // namespace

std::string Show(const Place& place) {
  return fmt::format("line {}, column {}", place.line, place.column);
}

absl::StatusOr<std::vector<Token>> Lex(std::string_view source) {
  if (!IsUtf8(source)) return InvalidArgument("the template is not valid UTF-8");
  const std::string text = Normalized(source);
  return Lexer(text).Run();
}

}  // namespace quantfleet::jinja
