#include "text/template/syntax.h"

#include <algorithm>
#include <span>
#include <utility>

#include "text/template/tags.h"

namespace quantfleet::text {
namespace {

// So that no template exhausts the stack.
constexpr int kMaxDepth = 60;      // of brackets and of blocks
constexpr size_t kMaxNodes = 300;  // of an expression: "a + b + c" is as deep as it is long

using Kind = Expression::Kind;

// Reads one expression after Jinja's grammar. What it does not know makes the whole one kUnread.
class ExpressionReader {
 public:
  explicit ExpressionReader(std::span<const TagToken> tokens) : tokens_(tokens) {}

  // All tokens are one expression.
  Expression Whole() {
    Expression read = Choice();
    return at_ == tokens_.size() ? Result(std::move(read)) : Unread();
  }
  // "for x in A if B": A, and B where there is one.
  std::vector<Expression> Iteration() {
    std::vector<Expression> read;
    read.push_back(Result(Or()));
    if (TakeName("if")) read.push_back(Result(Or()));
    if (at_ != tokens_.size() || failed_) return {Unread()};
    return read;
  }

 private:
  Expression Unread() const {
    const TagToken* near = at_ < tokens_.size() ? &tokens_[at_] : nullptr;
    const bool word = near != nullptr && near->kind != TagToken::Kind::kText;
    return {Kind::kUnread,
            word ? fmt::format("an expression, near \"{}\"", near->text) : "an expression",
            0,
            {},
            {}};
  }
  Expression Result(Expression read) const { return failed_ ? Unread() : std::move(read); }
  Expression Fail() {
    failed_ = true;
    return {};
  }
  Expression Make(Kind kind, std::string text, std::vector<Expression> operands) {
    if (++nodes_ > kMaxNodes) return Fail();
    return {kind, std::move(text), 0, std::move(operands), {}};
  }

  bool IsOperator(std::string_view text) const {
    return !failed_ && at_ < tokens_.size() && tokens_[at_].kind == TagToken::Kind::kOperator &&
           tokens_[at_].text == text;
  }
  bool TakeOperator(std::string_view text) { return IsOperator(text) && ++at_ > 0; }
  bool TakeName(std::string_view name) {
    return !failed_ && at_ < tokens_.size() && tokens_[at_].kind == TagToken::Kind::kName &&
           tokens_[at_].text == name && ++at_ > 0;
  }
  std::string AnyName() {
    if (failed_ || at_ >= tokens_.size() || tokens_[at_].kind != TagToken::Kind::kName)
      return Fail().text;
    return tokens_[at_++].text;
  }

  Expression Choice() {
    if (++depth_ > kMaxDepth) return Fail();
    Expression read = Or();
    while (TakeName("if")) {
      Expression condition = Or();
      Expression other = TakeName("else") ? Choice() : Expression();
      read = Make(Kind::kChoice, "", {std::move(read), std::move(condition), std::move(other)});
    }
    --depth_;
    return read;
  }
  Expression Or() {
    Expression read = And();
    while (TakeName("or")) read = Make(Kind::kOr, "", {std::move(read), And()});
    return read;
  }
  Expression And() {
    Expression read = Not();
    while (TakeName("and")) read = Make(Kind::kAnd, "", {std::move(read), Not()});
    return read;
  }
  Expression Not() {
    if (!TakeName("not")) return Comparison();
    if (++depth_ > kMaxDepth) return Fail();
    Expression read = Make(Kind::kNot, "", {Not()});
    --depth_;
    return read;
  }
  Expression Comparison() {
    Expression read = Sum();
    const auto compare = [&](std::string op) {
      // a < b < c compares b with both.
      read = read.kind == Kind::kBinary && compared_
                 ? Fail()
                 : Make(Kind::kBinary, std::move(op), {std::move(read), Sum()});
      compared_ = true;
    };
    compared_ = false;
    for (bool more = true; more && !failed_;) {
      more = false;
      for (const char* op : {"==", "!=", "<=", ">=", "<", ">"})
        if (!more && TakeOperator(op)) compare(op), more = true;
      if (!more && TakeName("in")) compare("in"), more = true;
      if (!more && at_ + 1 < tokens_.size() && tokens_[at_ + 1].text == "in" && TakeName("not"))
        ++at_, compare("not in"), more = true;
    }
    compared_ = false;
    return read;
  }
  template <typename Next>
  Expression LeftToRight(std::initializer_list<const char*> operators, Next next) {
    Expression read = next();
    for (bool more = true; more && !failed_;) {
      more = false;
      for (const char* op : operators)
        if (!more && TakeOperator(op))
          read = Make(Kind::kBinary, op, {std::move(read), next()}), more = true;
    }
    return read;
  }
  Expression Sum() {
    return LeftToRight({"+", "-"}, [this] { return Joined(); });
  }
  Expression Joined() {
    return LeftToRight({"~"}, [this] { return Product(); });
  }
  Expression Product() {
    return LeftToRight({"*", "/", "//", "%"}, [this] { return Signed(); });
  }
  Expression Signed() {
    if (TakeOperator("-")) return Filtered(Make(Kind::kNegative, "", {Postfixed()}));
    return Filtered(Postfixed());
  }

  Expression Filtered(Expression of) {
    while (!failed_) {
      if (TakeOperator("|")) {
        Expression filter = Make(Kind::kFilter, AnyName(), {std::move(of)});
        filter.keywords.emplace_back();
        if (TakeOperator("(")) Arguments(filter);
        of = std::move(filter);
      } else if (TakeName("is")) {
        const bool negated = TakeName("not");
        of = Make(Kind::kTest, AnyName(), {std::move(of)});
        // A test with an argument: divisibleby 2, equalto 'x', in (...).
        if (at_ < tokens_.size() && (tokens_[at_].kind != TagToken::Kind::kName
                                         ? tokens_[at_].kind != TagToken::Kind::kOperator ||
                                               IsOperator("(") || IsOperator("[")
                                         : !IsConnective(tokens_[at_].text)))
          return Fail();
        if (negated) of = Make(Kind::kNot, "", {std::move(of)});
      } else {
        break;
      }
    }
    return of;
  }
  static bool IsConnective(std::string_view name) {
    return name == "and" || name == "or" || name == "if" || name == "else" || name == "is" ||
           name == "in" || name == "not";
  }

  Expression Postfixed() {
    Expression of = Primary();
    while (!failed_) {
      if (TakeOperator(".")) {
        of = Make(Kind::kAttribute, AnyName(), {std::move(of)});
      } else if (TakeOperator("(")) {
        Expression call = Make(Kind::kCall, "", {std::move(of)});
        call.keywords.emplace_back();
        Arguments(call);
        of = std::move(call);
      } else if (TakeOperator("[")) {
        of = Subscript(std::move(of));
      } else {
        break;
      }
    }
    return of;
  }
  Expression Subscript(Expression of) {
    if (IsOperator("]")) return Fail();
    std::vector<Expression> parts(1);
    bool slice = false;
    while (!failed_ && !TakeOperator("]")) {
      if (TakeOperator(":")) {
        slice = true;
        parts.emplace_back();
      } else {
        parts.back() = Choice();
        if (!IsOperator(":") && !IsOperator("]")) return Fail();
      }
    }
    if (failed_ || parts.size() > 3) return Fail();
    if (slice) {
      parts.resize(3);
      parts.insert(parts.begin(), std::move(of));
      return Make(Kind::kSlice, "", std::move(parts));
    }
    if (parts[0].kind == Kind::kText) return Make(Kind::kAttribute, parts[0].text, {std::move(of)});
    return Make(Kind::kIndex, "", {std::move(of), std::move(parts[0])});
  }
  // Behind the bracket that opens.
  void Arguments(Expression& call) {
    while (!failed_ && !TakeOperator(")")) {
      const bool named = at_ + 1 < tokens_.size() && tokens_[at_].kind == TagToken::Kind::kName &&
                         tokens_[at_ + 1].text == "=" &&
                         tokens_[at_ + 1].kind == TagToken::Kind::kOperator;
      call.keywords.push_back(named ? AnyName() : "");
      if (named) ++at_;
      call.operands.push_back(Choice());
      if (!TakeOperator(",") && !IsOperator(")")) Fail();
    }
  }

  Expression Primary() {
    if (failed_ || at_ >= tokens_.size()) return Fail();
    const TagToken& token = tokens_[at_];
    switch (token.kind) {
      case TagToken::Kind::kName:
        ++at_;
        return IsConnective(token.text) ? Fail() : Make(Kind::kName, token.text, {});
      case TagToken::Kind::kNumber:
        ++at_;
        return {Kind::kNumber, "", token.number, {}, {}};
      case TagToken::Kind::kText: {
        // Texts side by side are one.
        std::string text;
        for (; at_ < tokens_.size() && tokens_[at_].kind == TagToken::Kind::kText; ++at_)
          text += tokens_[at_].text;
        return Make(Kind::kText, std::move(text), {});
      }
      case TagToken::Kind::kOperator:
        break;
    }
    if (TakeOperator("(")) {
      Expression read = Choice();
      return TakeOperator(")") ? read : Fail();
    }
    if (!TakeOperator("[")) return Fail();
    Expression list = Make(Kind::kList, "", {});
    while (!failed_ && !TakeOperator("]")) {
      list.operands.push_back(Choice());
      if (!TakeOperator(",") && !IsOperator("]")) return Fail();
    }
    return list;
  }

  const std::span<const TagToken> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  size_t nodes_ = 0;
  bool failed_ = false, compared_ = false;
};

class StatementReader {
 public:
  explicit StatementReader(std::vector<Tag> tags) : tags_(std::move(tags)) {}

  absl::StatusOr<std::vector<Statement>> All() {
    std::vector<Statement> all;
    QF_RETURN_IF_ERROR(Body(all));
    if (at_ < tags_.size()) return InvalidArgument("\"{}\" without a matching opening tag", Word());
    return all;
  }

 private:
  std::string_view Word() const {
    return at_ < tags_.size() && tags_[at_].kind == Tag::Kind::kBlock && !tags_[at_].tokens.empty()
               ? std::string_view(tags_[at_].tokens[0].text)
               : std::string_view();
  }
  std::span<const TagToken> Tokens(size_t from) const {
    const std::span<const TagToken> all = tags_[at_].tokens;
    return all.subspan(std::min(from, all.size()));
  }
  bool TokenIs(size_t which, std::string_view text) const {
    return which < tags_[at_].tokens.size() && tags_[at_].tokens[which].text == text &&
           tags_[at_].tokens[which].kind != TagToken::Kind::kText;
  }

  // Up to what ends it, on which it stops.
  absl::Status Body(std::vector<Statement>& body) {
    if (++depth_ > kMaxDepth) return InvalidArgument("blocks nested more than {} deep", kMaxDepth);
    for (; at_ < tags_.size(); ++at_) {
      Tag& tag = tags_[at_];
      if (tag.kind == Tag::Kind::kText) {
        body.push_back({Statement::Kind::kText, std::move(tag.text), "", {}, {}});
      } else if (tag.kind == Tag::Kind::kOutput) {
        body.push_back(
            {Statement::Kind::kOutput, "", "", {ExpressionReader(Tokens(0)).Whole()}, {}});
      } else {
        const std::string_view word = Word();
        if (word == "elif" || word == "else" || word.starts_with("end")) break;
        QF_RETURN_IF_ERROR(Block(std::string(word), body));
      }
    }
    --depth_;
    return absl::OkStatus();
  }

  // The body behind the tag that opens, and its end.
  absl::Status Closed(std::string_view word, std::vector<Statement>& body) {
    ++at_;
    QF_RETURN_IF_ERROR(Body(body));
    if (Word() != "end" + std::string(word)) return InvalidArgument("a {} without an end", word);
    return absl::OkStatus();
  }

  absl::Status Block(const std::string& word, std::vector<Statement>& body) {
    if (word == "if") return If(body);
    if (word == "for") return For(body);
    if (word == "set") return Set(body);
    // Marks what the assistant says, for training; it adds nothing.
    if (word == "generation") return Closed(word, body);
    if (word == "raw") return InvalidArgument("a raw block");
    std::vector<Statement> inner;
    if (word == "macro")
      return Closed(word, inner);  // counts where it is called, which is not understood
    if (word == "call" || word == "filter" || word == "with")
      QF_RETURN_IF_ERROR(Closed(word, inner));
    body.push_back({Statement::Kind::kUnread, "the statement \"" + word + "\"", "", {}, {}});
    return absl::OkStatus();
  }

  absl::Status If(std::vector<Statement>& body) {
    Statement made{Statement::Kind::kIf, "", "", {}, {}};
    while (true) {
      const std::string word(Word());
      if (word != "else") made.values.push_back(ExpressionReader(Tokens(1)).Whole());
      made.bodies.emplace_back();
      ++at_;
      QF_RETURN_IF_ERROR(Body(made.bodies.back()));
      if (Word() == "endif") break;
      if (word == "else" || (Word() != "elif" && Word() != "else"))
        return InvalidArgument("an if without an end");
    }
    body.push_back(std::move(made));
    return absl::OkStatus();
  }

  absl::Status For(std::vector<Statement>& body) {
    Statement made{Statement::Kind::kFor, "", "", {}, {{}}};
    if (TokenIs(2, "in")) {
      made.text = tags_[at_].tokens[1].text;
      made.values = ExpressionReader(Tokens(3)).Iteration();
    } else {
      made = {Statement::Kind::kUnread, "a for loop with several variables", "", {}, {{}}};
    }
    ++at_;
    QF_RETURN_IF_ERROR(Body(made.bodies[0]));
    if (Word() == "else") {
      made = {Statement::Kind::kUnread, "a for loop with an else", "", {}, {{}}};
      ++at_;
      QF_RETURN_IF_ERROR(Body(made.bodies[0]));
    }
    if (Word() != "endfor") return InvalidArgument("a for loop without an end");
    body.push_back(std::move(made));
    return absl::OkStatus();
  }

  absl::Status Set(std::vector<Statement>& body) {
    Statement made{Statement::Kind::kSet,
                   tags_[at_].tokens.size() > 1 ? tags_[at_].tokens[1].text : "",
                   "",
                   {},
                   {}};
    if (TokenIs(2, "=")) {
      made.values.push_back(ExpressionReader(Tokens(3)).Whole());
    } else if (TokenIs(2, ".") && TokenIs(4, "=")) {
      made.attribute = tags_[at_].tokens[3].text;
      made.values.push_back(ExpressionReader(Tokens(5)).Whole());
    } else if (std::ranges::any_of(Tokens(1),
                                   [](const TagToken& token) { return token.text == "="; })) {
      made = {Statement::Kind::kUnread, "a set with several variables", "", {}, {}};
    } else {
      std::vector<Statement> inner;
      QF_RETURN_IF_ERROR(Closed("set", inner));
      made = {Statement::Kind::kUnread, "a set block", "", {}, {}};
    }
    body.push_back(std::move(made));
    return absl::OkStatus();
  }

  std::vector<Tag> tags_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Statement>> ReadTemplate(std::string_view text) {
  QF_ASSIGN_OR_RETURN(std::vector<Tag> tags, CutIntoTags(text));
  return StatementReader(std::move(tags)).All();
}

}  // namespace quantfleet::text
