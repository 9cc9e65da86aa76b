#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace quantfleet::jinja {
namespace {

std::optional<Value> Word(std::string_view name) {
  if (name == "true" || name == "True") return Value(true);
  if (name == "false" || name == "False") return Value(false);
  if (name == "none" || name == "None") return Value(None{});
  return std::nullopt;
}

}  // namespace

// Bounded by the depth of the brackets in the template.
Expression Make(ExpressionKind kind, const Place& place, std::vector<Expression> operands,
                std::string text) {
  Expression made{kind, place};
  made.operands = std::move(operands);
  made.text = std::move(text);
  return made;
}

Expression Make(ExpressionKind kind, const Place& place, Expression operand, std::string text) {
  std::vector<Expression> operands;
  operands.push_back(std::move(operand));
  return Make(kind, place, std::move(operands), std::move(text));
}

Expression Make(ExpressionKind kind, const Place& place, Expression left, Expression right,
                std::string text) {
  Expression made = Make(kind, place, std::move(left), std::move(text));
  made.operands.push_back(std::move(right));
  return made;
}

Expression Constant(const Place& place, Value value) {
  Expression made{ExpressionKind::kConstant, place};
  made.constant = std::move(value);
  return made;
}

absl::StatusOr<Expression> ExpressionParser::Whole() {
  QF_RETURN_IF_ERROR(tokens_.Enter());
  absl::StatusOr<Expression> whole = WholeOnce();
  tokens_.Leave();
  return whole;
}

absl::StatusOr<Expression> ExpressionParser::WholeOnce() {
  QF_ASSIGN_OR_RETURN(Expression first, Or());
  // "a if b if c": only nested by brackets or behind else, so chains are bounded by Whole.
  for (int chain = 0; tokens_.IsName("if"); ++chain) {
    if (chain > 50) return tokens_.Fail("the template is nested too deeply");
    const Place place = tokens_.current().place;
    tokens_.Skip();
    QF_ASSIGN_OR_RETURN(Expression condition, Or());
    Expression otherwise{ExpressionKind::kAbsent, place};
    if (tokens_.SkipName("else")) {
      QF_ASSIGN_OR_RETURN(otherwise, Whole());
    }
    first = Make(ExpressionKind::kChoice, place, std::move(first), std::move(condition));
    first.operands.push_back(std::move(otherwise));
  }
  return first;
}

// Left to right: a long chain becomes a flat list where its kind allows that (kAnd, kOr, kJoin),
// and a bounded tree elsewhere.
absl::StatusOr<Expression> ExpressionParser::LeftToRight(
    std::initializer_list<std::string_view> operators, Result (ExpressionParser::*operand)()) {
  QF_ASSIGN_OR_RETURN(Expression left, (this->*operand)());
  for (int chain = 0;; ++chain) {
    const auto* const found = std::ranges::find_if(
        operators, [this](std::string_view op) { return tokens_.IsOperator(op); });
    if (found == operators.end()) return left;
    if (chain > 200) return tokens_.Fail("the expression is too long");
    const Place place = tokens_.current().place;
    tokens_.Skip();
    QF_ASSIGN_OR_RETURN(Expression right, (this->*operand)());
    left = Make(ExpressionKind::kBinary, place, std::move(left), std::move(right),
                std::string(*found));
  }
}

absl::StatusOr<Expression> ExpressionParser::Flat(std::string_view word, ExpressionKind kind,
                                                  Result (ExpressionParser::*operand)()) {
  QF_ASSIGN_OR_RETURN(Expression left, (this->*operand)());
  if (!tokens_.IsName(word)) return left;
  Expression all = Make(kind, tokens_.current().place, std::move(left));
  while (tokens_.SkipName(word)) {
    QF_ASSIGN_OR_RETURN(Expression right, (this->*operand)());
    all.operands.push_back(std::move(right));
  }
  return all;
}

absl::StatusOr<Expression> ExpressionParser::Or() {
  return Flat("or", ExpressionKind::kOr, &ExpressionParser::And);
}

absl::StatusOr<Expression> ExpressionParser::And() {
  return Flat("and", ExpressionKind::kAnd, &ExpressionParser::Not);
}

absl::StatusOr<Expression> ExpressionParser::Not() {
  if (!tokens_.IsName("not")) return Compare();
  const Place place = tokens_.current().place;
  tokens_.Skip();
  QF_RETURN_IF_ERROR(tokens_.Enter());
  absl::StatusOr<Expression> operand = Not();
  tokens_.Leave();
  QF_RETURN_IF_ERROR(operand.status());
  return Make(ExpressionKind::kNot, place, *std::move(operand));
}

absl::StatusOr<Expression> ExpressionParser::Compare() {
  static constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
  QF_ASSIGN_OR_RETURN(Expression first, Sum());
  Expression all{ExpressionKind::kCompare, tokens_.current().place};
  all.operands.push_back(std::move(first));
  while (true) {
    std::string name;
    if (std::ranges::any_of(kOperators,
                            [this](std::string_view op) { return tokens_.IsOperator(op); })) {
      name = tokens_.Take().text;
    } else if (tokens_.SkipName("in")) {
      name = "in";
    } else if (tokens_.IsName("not") && tokens_.next().IsName("in")) {
      tokens_.Skip();
      tokens_.Skip();
      name = "not in";
    } else {
      break;
    }
    QF_ASSIGN_OR_RETURN(Expression next, Sum());
    all.operands.push_back(std::move(next));
    all.names.push_back(std::move(name));
  }
  if (all.names.empty()) return std::move(all.operands.front());
  return all;
}

absl::StatusOr<Expression> ExpressionParser::Sum() {
  return LeftToRight({"+", "-"}, &ExpressionParser::Join);
}

absl::StatusOr<Expression> ExpressionParser::Join() {
  QF_ASSIGN_OR_RETURN(Expression first, Product());
  if (!tokens_.IsOperator("~")) return first;
  Expression all = Make(ExpressionKind::kJoin, tokens_.current().place, std::move(first));
  while (tokens_.SkipOperator("~")) {
    QF_ASSIGN_OR_RETURN(Expression next, Product());
    all.operands.push_back(std::move(next));
  }
  return all;
}

absl::StatusOr<Expression> ExpressionParser::Product() {
  return LeftToRight({"*", "/", "//", "%"}, &ExpressionParser::Power);
}

absl::StatusOr<Expression> ExpressionParser::Power() {
  QF_ASSIGN_OR_RETURN(Expression left, Unary(true));
  for (int chain = 0; tokens_.IsOperator("**"); ++chain) {
    if (chain > 50) return tokens_.Fail("the expression is too long");
    const Place place = tokens_.current().place;
    tokens_.Skip();
    QF_ASSIGN_OR_RETURN(Expression right, Unary(true));
    left = Make(ExpressionKind::kBinary, place, std::move(left), std::move(right), "**");
  }
  return left;
}

absl::StatusOr<Expression> ExpressionParser::Unary(bool filters) {
  QF_RETURN_IF_ERROR(tokens_.Enter());
  absl::StatusOr<Expression> made = UnaryOnce(filters);
  tokens_.Leave();
  return made;
}

absl::StatusOr<Expression> ExpressionParser::UnaryOnce(bool filters) {
  const Place place = tokens_.current().place;
  Expression made;
  if (tokens_.IsOperator("-") || tokens_.IsOperator("+")) {
    const ExpressionKind kind =
        tokens_.IsOperator("-") ? ExpressionKind::kNegative : ExpressionKind::kPositive;
    tokens_.Skip();
    QF_ASSIGN_OR_RETURN(Expression operand, Unary(false));
    made = Make(kind, place, std::move(operand));
  } else {
    QF_ASSIGN_OR_RETURN(made, Primary());
  }
  QF_ASSIGN_OR_RETURN(made, Postfix(std::move(made)));
  if (filters) return FiltersOf(std::move(made));
  return made;
}

absl::StatusOr<Expression> ExpressionParser::Primary() {
  const Place place = tokens_.current().place;
  switch (tokens_.current().kind) {
    case Token::Kind::kName: {
      Token token = tokens_.Take();
      if (std::optional<Value> word = Word(token.text)) return Constant(place, *std::move(word));
      Expression name{ExpressionKind::kName, place, std::move(token.text)};
      name.name = tokens_.Number(name.text);
      return name;
    }
    case Token::Kind::kText: {
      std::string text;
      while (tokens_.current().kind == Token::Kind::kText) text += tokens_.Take().text;
      return Constant(place, Value::Plain(text));
    }
    case Token::Kind::kInteger:
      return Constant(place, Value(tokens_.Take().integer));
    case Token::Kind::kFloat:
      return Constant(place, Value(tokens_.Take().real));
    default:
      break;
  }
  if (tokens_.SkipOperator("(")) {
    if (tokens_.SkipOperator(")")) return Expression{ExpressionKind::kTuple, place};
    QF_ASSIGN_OR_RETURN(Expression inner, Tuple(true));
    QF_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return inner;
  }
  if (tokens_.IsOperator("[")) return List();
  if (tokens_.IsOperator("{")) return Dictionary();
  return tokens_.Unexpected("an expression");
}

bool ExpressionParser::IsTupleEnd(std::string_view end_name) const {
  const Token& token = tokens_.current();
  return token.kind == Token::Kind::kOutputEnd || token.kind == Token::Kind::kBlockEnd ||
         token.IsOperator(")") || (!end_name.empty() && token.IsName(end_name));
}

absl::StatusOr<Expression> ExpressionParser::Tuple(bool choice, std::string_view end_name) {
  Expression all{ExpressionKind::kTuple, tokens_.current().place};
  bool comma = false;
  while (!IsTupleEnd(end_name)) {
    QF_ASSIGN_OR_RETURN(Expression one, choice ? Whole() : Or());
    all.operands.push_back(std::move(one));
    if (!tokens_.SkipOperator(",")) break;
    comma = true;
  }
  if (comma) return all;
  if (all.operands.empty()) return tokens_.Unexpected("an expression");
  Expression only = std::move(all.operands.front());
  return only;
}

absl::StatusOr<Expression> ExpressionParser::Target(bool attribute, std::string_view end_name) {
  Expression all{ExpressionKind::kTuple, tokens_.current().place};
  bool comma = false;
  while (all.operands.empty() || (!IsTupleEnd(end_name) && !tokens_.IsOperator("="))) {
    const Place place = tokens_.current().place;
    if (tokens_.SkipOperator("(")) {
      QF_RETURN_IF_ERROR(tokens_.Enter());
      absl::StatusOr<Expression> inner = Target(false);
      tokens_.Leave();
      QF_RETURN_IF_ERROR(inner.status());
      QF_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
      all.operands.push_back(*std::move(inner));
    } else {
      if (tokens_.current().kind != Token::Kind::kName || Word(tokens_.current().text))
        return tokens_.Unexpected("a name to assign to");
      Expression name{ExpressionKind::kName, place, tokens_.Take().text};
      name.name = tokens_.Number(name.text);
      if (attribute && tokens_.SkipOperator(".")) {
        if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
        name = Make(ExpressionKind::kAttribute, place, std::move(name), tokens_.Take().text);
      }
      all.operands.push_back(std::move(name));
    }
    if (!tokens_.SkipOperator(",")) break;
    comma = true;
  }
  if (comma) return all;
  Expression only = std::move(all.operands.front());
  return only;
}

absl::StatusOr<Expression> ExpressionParser::List() {
  Expression list{ExpressionKind::kList, tokens_.current().place};
  tokens_.Skip();
  while (!tokens_.IsOperator("]")) {
    if (!list.operands.empty()) {
      QF_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("]")) break;
    }
    QF_ASSIGN_OR_RETURN(Expression element, Whole());
    list.operands.push_back(std::move(element));
  }
  tokens_.Skip();
  return list;
}

absl::StatusOr<Expression> ExpressionParser::Dictionary() {
  Expression dictionary{ExpressionKind::kDictionary, tokens_.current().place};
  tokens_.Skip();
  while (!tokens_.IsOperator("}")) {
    if (!dictionary.operands.empty()) {
      QF_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("}")) break;
    }
    QF_ASSIGN_OR_RETURN(Expression key, Whole());
    QF_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    QF_ASSIGN_OR_RETURN(Expression value, Whole());
    dictionary.operands.push_back(std::move(key));
    dictionary.operands.push_back(std::move(value));
  }
  tokens_.Skip();
  return dictionary;
}

// a.b(c)[d] is a chain that becomes a tree as deep as it is long.

}  // namespace quantfleet::jinja
