#include "text/template/tags.h"

#include <algorithm>
#include <charconv>

namespace quantfleet::text {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

bool IsSpace(char c) { return kSpaces.find(c) != std::string_view::npos; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool BeginsName(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// One kind of line end, and without the last.
std::string WithPlainLines(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    plain += text[i] == '\r' ? '\n' : text[i];
  }
  if (plain.ends_with('\n')) plain.pop_back();
  return plain;
}

class Cutter {
 public:
  explicit Cutter(std::string text) : text_(std::move(text)) {}

  absl::StatusOr<std::vector<Tag>> Cut() {
    while (at_ < text_.size()) {
      const size_t open = NextTag();
      if (open == std::string::npos) {
        AddText(text_.substr(at_));
        break;
      }
      const char kind = text_[open + 1];
      const char sign = open + 2 < text_.size() ? text_[open + 2] : '\0';
      AddText(TextBefore(open, kind, sign));
      at_ = open + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      QF_RETURN_IF_ERROR(kind == '#' ? SkipComment() : ReadTag(kind));
    }
    return std::move(tags_);
  }

 private:
  size_t NextTag() const {
    for (size_t i = at_; i + 1 < text_.size(); ++i)
      if (text_[i] == '{' && (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#'))
        return i;
    return std::string::npos;
  }

  std::string TextBefore(size_t open, char kind, char sign) const {
    std::string text = text_.substr(at_, open - at_);
    if (sign == '-') {
      text.resize(text.find_last_not_of(kSpaces) + 1);  // npos + 1: nothing is left
    } else if (sign != '+' && kind != '{') {
      // A block that stands alone on its line so far takes the line's beginning with it.
      const size_t line = text.rfind('\n') + 1;
      if ((line > 0 || line_begins_) &&
          std::all_of(text.begin() + static_cast<ptrdiff_t>(line), text.end(), IsSpace))
        text.resize(line);
    }
    return text;
  }

  void AddText(std::string text) {
    if (!text.empty()) tags_.push_back({Tag::Kind::kText, std::move(text), {}});
  }

  // Behind a tag that ends with `sign`: what of the text that follows belongs to it.
  void EndTag(char sign, bool trims_line) {
    const size_t end = at_;
    if (sign == '-')
      while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    else if (trims_line && sign != '+' && at_ < text_.size() && text_[at_] == '\n')
      ++at_;
    line_begins_ = at_ > end && text_[at_ - 1] == '\n';
  }

  absl::Status SkipComment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) return InvalidArgument("a comment without an end");
    const char sign = end > at_ ? text_[end - 1] : '\0';
    at_ = end + 2;
    EndTag(sign, true);
    return absl::OkStatus();
  }

  absl::Status ReadTag(char kind) {
    const char close = kind == '{' ? '}' : '%';
    Tag tag{kind == '{' ? Tag::Kind::kOutput : Tag::Kind::kBlock, "", {}};
    std::string open;  // brackets
    while (true) {
      while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
      if (at_ >= text_.size()) return InvalidArgument("a tag without an end");
      const std::string_view rest = std::string_view(text_).substr(at_);
      const bool sign = rest[0] == '-' || (rest[0] == '+' && kind == '%');
      const std::string_view end = rest.substr(sign ? 1 : 0);
      if (open.empty() && end.size() >= 2 && end[0] == close && end[1] == '}') {
        at_ += sign ? 3 : 2;
        EndTag(sign ? rest[0] : '\0', kind == '%');
        tags_.push_back(std::move(tag));
        return absl::OkStatus();
      }
      QF_RETURN_IF_ERROR(ReadToken(tag.tokens, open));
    }
  }

  absl::Status ReadToken(std::vector<TagToken>& tokens, std::string& open) {
    const char first = text_[at_];
    if (first == '\'' || first == '"') return ReadText(tokens);
    if (BeginsName(first)) {
      const size_t begin = at_;
      while (at_ < text_.size() && (BeginsName(text_[at_]) || IsDigit(text_[at_]))) ++at_;
      tokens.push_back({TagToken::Kind::kName, text_.substr(begin, at_ - begin)});
      return absl::OkStatus();
    }
    if (IsDigit(first)) {
      TagToken token{TagToken::Kind::kNumber, ""};
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), token.number);
      if (error != std::errc()) return InvalidArgument("a number that is too large");
      at_ = static_cast<size_t>(end - text_.data());
      tokens.push_back(std::move(token));
      return absl::OkStatus();
    }
    static constexpr std::string_view kOperators[] = {
        "==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<",
        ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ",", ":", ".", "|"};
    for (const std::string_view op : kOperators) {
      if (std::string_view(text_).substr(at_, op.size()) != op) continue;
      if (op == "(" || op == "[" || op == "{") open += op;
      if (op == ")" || op == "]" || op == "}") {
        if (open.empty()) return InvalidArgument("a closing bracket without an opening one");
        open.pop_back();
      }
      at_ += op.size();
      tokens.push_back({TagToken::Kind::kOperator, std::string(op)});
      return absl::OkStatus();
    }
    return InvalidArgument("the character \"{}\" in a tag", std::string(1, first));
  }

  absl::Status ReadText(std::vector<TagToken>& tokens) {
    const char quote = text_[at_++];
    TagToken token{TagToken::Kind::kText, ""};
    for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] != '\\') {
        token.text += text_[at_];
        continue;
      }
      static constexpr std::string_view kEscapes = "ntrfv\\'\"", kMeant = "\n\t\r\f\v\\'\"";
      if (++at_ >= text_.size()) break;
      const size_t which = kEscapes.find(text_[at_]);
      if (which == std::string_view::npos)
        token.kind = TagToken::Kind::kOperator;  // one that means nothing
      token.text += which == std::string_view::npos ? '\\' : kMeant[which];
    }
    if (at_ >= text_.size()) return InvalidArgument("a string without an end");
    ++at_;
    tokens.push_back(std::move(token));
    return absl::OkStatus();
  }

  const std::string text_;
  size_t at_ = 0;
  bool line_begins_ = true;
  std::vector<Tag> tags_;
};

}  // namespace

absl::StatusOr<std::vector<Tag>> CutIntoTags(std::string_view text) {
  return Cutter(WithPlainLines(text)).Cut();
}

}  // namespace quantfleet::text
