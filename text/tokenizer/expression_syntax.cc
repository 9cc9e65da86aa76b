#include "text/tokenizer/expression_syntax.h"

#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/expression_properties.h"

namespace quantfleet::text {
namespace {

constexpr int kMaxGroupDepth = 64;

// What \w has beside these: superscript digits and fractions of Latin-1.
constexpr std::string_view kEscapedWord =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

bool Compiles(const std::string& regex) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

// A set of characters: an expression that matches one of them, and, where that is a plain class,
// its members.
struct Set {
  std::string members;  // empty for any other expression
  bool negated = false;
  std::string other;

  std::string text() const {
    return other.empty() ? (negated ? "[^" : "[") + members + "]" : other;
  }
  bool plain() const { return other.empty() && !negated; }
};

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < in_.size()) QF_RETURN_IF_ERROR(One());
    if (!groups_.empty()) return Broken("a group is not closed");
    out_.append(closers_, ')');
    return std::move(out_);
  }

 private:
  absl::Status Broken(std::string_view what) const {
    return InvalidArgument("the expression {} cannot be read: at byte {} {}", Shown(in_, 120), at_,
                           what);
  }
  bool Next(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  void Atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }

  absl::Status One() {
    switch (in_[at_]) {
      case '\\':
        return Escape();
      case '[': {
        QF_ASSIGN_OR_RETURN(const Set set, Class(0));
        Atom(set.text());
        return absl::OkStatus();
      }
      case '(':
        return Open();
      case ')':
        if (groups_.empty()) return Broken("a group is closed that was not opened");
        out_.append(closers_ + 1, ')');
        atom_ = groups_.back().begin;
        closers_ = groups_.back().closers;
        groups_.pop_back();
        ++at_;
        return absl::OkStatus();
      case '{':
        if (Counted()) return absl::OkStatus();
        Atom("\\{");
        ++at_;
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
      case '|':
      case '^':
      case '$':
      case '.':
        if (in_[at_] == '.') atom_ = out_.size();
        out_ += in_[at_++];
        return absl::OkStatus();
      default: {
        const Character c = FirstCharacter(in_.substr(at_));
        if (c.value == kNoCharacter) return Broken("there is a byte that is not UTF-8");
        Atom(in_.substr(at_, c.length));
        at_ += c.length;
        return absl::OkStatus();
      }
    }
  }

  // "{2}", "{2,}", "{,3}", "{2,3}", where a '+' behind it repeats, and a '?' behind "{2}" makes
  // that optional. False: the brace is a character.
  bool Counted() {
    size_t end = at_ + 1;
    std::string low, high;
    bool comma = false;
    for (; end < in_.size() && in_[end] != '}'; ++end) {
      const char c = in_[end];
      if (c == ',' && !comma)
        comma = true;
      else if (c >= '0' && c <= '9')
        (comma ? high : low) += c;
      else
        return false;
    }
    if (end == in_.size() || (low.empty() && high.empty())) return false;
    if (low.empty()) low = "0";
    out_ += "{" + low + (comma ? "," + high : "") + "}";
    at_ = end + 1;
    if (at_ == in_.size()) return true;
    const bool repeats = in_[at_] == '+', optional = in_[at_] == '?' && !comma;
    if (repeats || optional) {
      out_.insert(std::min(atom_, out_.size()), "(?:");
      out_ += ")";
      out_ += in_[at_++];
    }
    return true;
  }

  absl::Status Open() {
    if (groups_.size() == kMaxGroupDepth) return Broken("groups are nested too deeply");
    const size_t begin = out_.size();
    if (!Next("(?")) {
      ++at_;
      out_ += "(";
    } else if (Next("(?#")) {
      const size_t end = in_.find(')', at_);
      if (end == std::string_view::npos) return Broken("a comment is not closed");
      at_ = end + 1;
      return absl::OkStatus();
    } else if (Next("(?:") || Next("(?=") || Next("(?!") || Next("(?>")) {
      out_ += in_.substr(at_, 3);
      at_ += 3;
    } else if (Next("(?<=") || Next("(?<!")) {
      out_ += in_.substr(at_, 4);
      at_ += 4;
    } else if (Next("(?<")) {
      const size_t end = in_.find('>', at_);
      if (end == std::string_view::npos) return Broken("a group's name is not closed");
      out_ += in_.substr(at_, end + 1 - at_);
      at_ = end + 1;
    } else {
      return Options(begin);
    }
    groups_.push_back({begin, closers_});
    closers_ = 0;
    return absl::OkStatus();
  }

  // "(?i:...)", and "(?i)", which holds to the end of the group around it, alternatives included.
  absl::Status Options(size_t begin) {
    size_t end = at_ + 2;
    std::string options = "(?";
    for (; end < in_.size() && in_[end] != ':' && in_[end] != ')'; ++end) {
      const char c = in_[end];
      if (c != 'i' && c != 'm' && c != '-') {
        at_ = end;
        return Broken("there is a group of an unknown kind");
      }
      options += c == 'm' ? 's' : c;
    }
    if (end == in_.size()) return Broken("a group is not closed");
    out_ += options + ":";
    if (in_[end] == ')') {
      ++closers_;
    } else {
      groups_.push_back({begin, closers_});
      closers_ = 0;
    }
    at_ = end + 1;
    return absl::OkStatus();
  }

  absl::Status Escape() {
    if (at_ + 1 == in_.size()) return Broken("there is a backslash at the end");
    const char c = in_[at_ + 1];
    static constexpr std::string_view kAnchors = "AzZGK", kSame = "RXkg";
    if (c == 'b' || c == 'B') {
      const std::string word = "[" + std::string(kEscapedWord) + "]";
      const std::string edge =
          "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))";
      Atom(c == 'b' ? edge : "(?!" + edge + ")");
      at_ += 2;
      return absl::OkStatus();
    }
    if (kAnchors.find(c) != std::string_view::npos || kSame.find(c) != std::string_view::npos ||
        (c >= '1' && c <= '9')) {
      Atom(in_.substr(at_, 2));
      at_ += 2;
      return absl::OkStatus();
    }
    Set set;
    std::string character;
    QF_RETURN_IF_ERROR(Escaped(set, character));
    Atom(character.empty() ? set.text() : character);
    return absl::OkStatus();
  }

  // What a backslash stands for, in a class or outside: a set, or a character as PCRE2 writes it.
  absl::Status Escaped(Set& set, std::string& character) {
    if (at_ + 1 >= in_.size()) return Broken("there is a backslash at the end");
    const char c = in_[at_ + 1];
    const auto is = [&](std::string_view members, bool negated) {
      set.members = members;
      set.negated = negated;
      at_ += 2;
      return absl::OkStatus();
    };
    switch (c) {
      case 's':
      case 'S':
        return is(kSpaceMembers, c == 'S');
      case 'w':
      case 'W':
        return is(kEscapedWord, c == 'W');
      case 'd':
      case 'D':
        return is(R"(\p{Nd})", c == 'D');
      case 'h':
      case 'H':
        return is("0-9A-Fa-f", c == 'H');
      case 'p':
      case 'P':
        return Property(c == 'P', set);
      case 'x':
      case 'u':
        return Number(c == 'u', character);
      case 't':
      case 'n':
      case 'r':
      case 'f':
      case 'a':
      case 'e':
        character = in_.substr(at_, 2);
        at_ += 2;
        return absl::OkStatus();
      case 'v':
        character = R"(\x0b)";
        at_ += 2;
        return absl::OkStatus();
      case '0':
        character = R"(\x00)";
        at_ += 2;
        return absl::OkStatus();
      default:
        break;
    }
    const Character after = FirstCharacter(in_.substr(at_ + 1));
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || after.value == kNoCharacter) return Broken("there is an unknown escape");
    character = after.value < 0x80 ? "\\" + std::string(1, c)
                                   : std::string(in_.substr(at_ + 1, after.length));
    at_ += 1 + after.length;
    return absl::OkStatus();
  }

  // "\x41", "\x{1f600}", "\u0041"
  absl::Status Number(bool four, std::string& character) {
    size_t begin = at_ + 2, end;
    if (!four && begin < in_.size() && in_[begin] == '{') {
      end = in_.find('}', ++begin);
      if (end == std::string_view::npos) return Broken("a character's number is not closed");
      at_ = end + 1;
    } else {
      for (end = begin; end < in_.size() && end < begin + (four ? 4 : 2) &&
                        std::isxdigit(static_cast<unsigned char>(in_[end]));)
        ++end;
      at_ = end;
    }
    const std::string_view digits = in_.substr(begin, end - begin);
    if (digits.empty() || digits.size() > 8 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      return Broken("there is a character's number that is not one");
    character = "\\x{" + std::string(digits) + "}";
    return absl::OkStatus();
  }

  // "\pL", "\p{Lu}", "\p{^Lu}", "\p{Han}"
  absl::Status Property(bool negated, Set& set) {
    std::string name;
    if (at_ + 2 < in_.size() && in_[at_ + 2] == '{') {
      const size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) return Broken("a property's name is not closed");
      name = in_.substr(at_ + 3, end - at_ - 3);
      at_ = end + 1;
    } else {
      name = in_.substr(at_ + 2, 1);
      at_ += 2 + name.size();
    }
    if (name.starts_with('^')) {
      negated = !negated;
      name.erase(0, 1);
    }
    set.negated = negated;
    set.members = MembersOfProperty(FoldedProperty(name));
    if (!set.members.empty()) return absl::OkStatus();
    for (const char c : name)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != ' ' && c != '-')
        return Broken("there is a property's name that is not one");
    // PCRE2 takes a script's name for the script and its extensions.
    for (const std::string& members : {"\\p{sc:" + name + "}", "\\p{" + name + "}"}) {
      if (!Compiles(members)) continue;
      set.members = members;
      return absl::OkStatus();
    }
    return Unimplemented("the expression {} asks for the property {}, which is not known",
                         Shown(in_, 120), Shown(name, 40));
  }

  // At '['. What `&&` cuts with, and a negated class in another, become lookaheads.
  absl::StatusOr<Set> Class(int depth) {
    if (depth == 8) return Broken("classes are nested too deeply");
    ++at_;
    Set out;
    const bool negated = Next("^");
    if (negated) ++at_;
    std::vector<std::string> others;  // alternatives beside the members
    std::string cut;                  // what all that follows must also be in
    const auto finished = [&]() -> std::string {
      std::string one = out.members.empty() ? "" : "[" + out.members + "]";
      for (const std::string& other : others) one += (one.empty() ? "" : "|") + other;
      if (one.empty()) one = "(?!)";
      if (others.size() + !out.members.empty() > 1) one = "(?:" + one + ")";
      return cut.empty() ? one : "(?:" + cut + one + ")";
    };
    for (bool first = true;; first = false) {
      if (at_ >= in_.size()) return Broken("a class is not closed");
      if (in_[at_] == ']' && !first) break;
      if (Next("&&")) {
        cut += "(?=" + finished() + ")";
        out.members.clear();
        others.clear();
        at_ += 2;
        continue;
      }
      QF_RETURN_IF_ERROR(Member(depth, out.members, others));
    }
    ++at_;
    if (others.empty() && cut.empty()) {
      out.negated = negated;
      return out;
    }
    out.other = finished();
    if (negated) out.other = "(?:(?!" + out.other + ")(?s:.))";
    return out;
  }

  absl::Status Member(int depth, std::string& members, std::vector<std::string>& others) {
    Set set;
    std::string character;
    if (Next("[:")) {
      const size_t end = in_.find(":]", at_);
      if (end == std::string_view::npos) return Broken("a class is not closed");
      const bool negated = in_.substr(at_ + 2).starts_with('^');
      set.negated = negated;
      set.members = MembersOfProperty(in_.substr(at_ + 2 + negated, end - at_ - 2 - negated));
      if (in_.substr(at_, end - at_).ends_with("punct")) set.members = R"(\p{P}\p{S})";
      if (set.members.empty()) return Broken("there is an unknown class");
      at_ = end + 2;
    } else if (in_[at_] == '[') {
      QF_ASSIGN_OR_RETURN(set, Class(depth + 1));
    } else if (in_[at_] == '\\') {
      if (Next("\\b")) {
        character = "\\x08";
        at_ += 2;
      } else {
        QF_RETURN_IF_ERROR(Escaped(set, character));
      }
    } else {
      QF_RETURN_IF_ERROR(Plain(character));
    }
    if (character.empty()) {
      if (set.plain())
        members += set.members;
      else
        others.push_back(set.text());
      return absl::OkStatus();
    }
    members += character;
    const bool range = Next("-") && at_ + 1 < in_.size() && in_[at_ + 1] != ']' && !Next("-&&");
    if (!range) return absl::OkStatus();
    const size_t dash = at_++;
    std::string last;
    Set none;
    if (in_[at_] == '\\')
      QF_RETURN_IF_ERROR(Escaped(none, last));
    else if (in_[at_] != '[')
      QF_RETURN_IF_ERROR(Plain(last));
    if (last.empty()) {
      at_ = dash + 1;  // "[a-\d]": the dash is a character
      members += "\\-";
      return absl::OkStatus();
    }
    members += "-" + last;
    return absl::OkStatus();
  }

  absl::Status Plain(std::string& character) {
    const Character c = FirstCharacter(in_.substr(at_));
    if (c.value == kNoCharacter) return Broken("there is a byte that is not UTF-8");
    static constexpr std::string_view kMeans = "[]^-\\";
    if (kMeans.find(in_[at_]) != std::string_view::npos) character = "\\";
    character += in_.substr(at_, c.length);
    at_ += c.length;
    return absl::OkStatus();
  }

  struct Group {
    size_t begin;    // where it stands in out_
    size_t closers;  // of what is around it
  };

  const std::string_view in_;
  size_t at_ = 0, atom_ = 0;
  std::string out_;
  std::vector<Group> groups_;
  size_t closers_ = 0;  // brackets that the end of this group closes beside its own
};

}  // namespace

absl::StatusOr<std::string> ToPcre2(std::string_view oniguruma) {
  return Translator(oniguruma).Run();
}

}  // namespace quantfleet::text
