// What follows the beginning of an expression: attributes, subscripts, calls, filters, tests.
#include "text/jinja/expression_parser.h"

namespace quantfleet::jinja {

absl::StatusOr<Expression> ExpressionParser::Postfix(Expression of) {
  for (int chain = 0;; ++chain) {
    if (chain > 100) return tokens_.Fail("the expression is too long");
    if (tokens_.IsOperator(".") || tokens_.IsOperator("[")) {
      QF_ASSIGN_OR_RETURN(of, Subscript(std::move(of)));
    } else if (tokens_.IsOperator("(")) {
      QF_ASSIGN_OR_RETURN(of, Call(std::move(of)));
    } else {
      return of;
    }
  }
}

absl::StatusOr<Expression> ExpressionParser::FiltersOf(Expression of) {
  for (int chain = 0;; ++chain) {
    if (chain > 100) return tokens_.Fail("the expression is too long");
    if (tokens_.SkipOperator("|")) {
      QF_ASSIGN_OR_RETURN(of, Filter(std::move(of)));
    } else if (tokens_.IsName("is")) {
      QF_ASSIGN_OR_RETURN(of, Test(std::move(of)));
    } else if (tokens_.IsOperator("(")) {
      QF_ASSIGN_OR_RETURN(of, Call(std::move(of)));
    } else {
      return of;
    }
  }
}

absl::StatusOr<Expression> ExpressionParser::Filters(bool inline_first) {
  Expression of{ExpressionKind::kAbsent, tokens_.current().place};
  if (inline_first) {
    QF_ASSIGN_OR_RETURN(of, Filter(std::move(of)));
  }
  for (int chain = 0; tokens_.SkipOperator("|"); ++chain) {
    if (chain > 100) return tokens_.Fail("the expression is too long");
    QF_ASSIGN_OR_RETURN(of, Filter(std::move(of)));
  }
  return of;
}

absl::StatusOr<Expression> ExpressionParser::Subscript(Expression of) {
  const Place place = tokens_.current().place;
  if (tokens_.SkipOperator(".")) {
    if (tokens_.current().kind == Token::Kind::kInteger)
      return Make(ExpressionKind::kItem, place, std::move(of),
                  Constant(place, Value(tokens_.Take().integer)));
    if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
    return Make(ExpressionKind::kAttribute, place, std::move(of), tokens_.Take().text);
  }
  tokens_.Skip();
  std::vector<Expression> parts;  // of the slice, or the subscript alone
  bool slice = false;
  Expression part{ExpressionKind::kAbsent, place};
  while (true) {
    if (tokens_.IsOperator(":") || tokens_.IsOperator("]")) {
      parts.push_back(std::move(part));
      part = Expression{ExpressionKind::kAbsent, place};
      if (tokens_.SkipOperator("]")) break;
      tokens_.Skip();
      slice = true;
      if (parts.size() == 3) return tokens_.Fail("a slice has at most three parts");
      continue;
    }
    if (part.kind != ExpressionKind::kAbsent) return tokens_.Unexpected("\"]\"");
    QF_ASSIGN_OR_RETURN(part, Tuple(true, ""));
  }
  if (!slice) {
    if (parts[0].kind == ExpressionKind::kAbsent)
      parts[0] = Expression{ExpressionKind::kTuple, place};
    return Make(ExpressionKind::kItem, place, std::move(of), std::move(parts[0]));
  }
  Expression made = Make(ExpressionKind::kSlice, place, std::move(of));
  for (Expression& one : parts) made.operands.push_back(std::move(one));
  while (made.operands.size() < 4)
    made.operands.push_back(Expression{ExpressionKind::kAbsent, place});
  return made;
}

absl::Status ExpressionParser::Argument(Expression& call, bool& named) {
  std::string name;
  if (tokens_.SkipOperator("*")) {
    name = "*";
  } else if (tokens_.SkipOperator("**")) {
    name = "**";
  } else if (tokens_.current().kind == Token::Kind::kName && tokens_.next().IsOperator("=")) {
    name = tokens_.Take().text;
    tokens_.Skip();
  } else if (named) {
    return tokens_.Fail("an argument without a name follows one with a name");
  }
  named = named || !name.empty();
  QF_ASSIGN_OR_RETURN(Expression value, Whole());
  call.operands.push_back(std::move(value));
  call.names.push_back(std::move(name));
  return absl::OkStatus();
}

absl::Status ExpressionParser::Arguments(Expression& call) {
  QF_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  bool named = false;
  while (!tokens_.IsOperator(")")) {
    if (call.operands.size() > 1) {
      QF_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator(")")) break;
    }
    QF_RETURN_IF_ERROR(Argument(call, named));
  }
  tokens_.Skip();
  return absl::OkStatus();
}

absl::StatusOr<Expression> ExpressionParser::Call(Expression of) {
  Expression call = Make(ExpressionKind::kCall, tokens_.current().place, std::move(of));
  QF_RETURN_IF_ERROR(Arguments(call));
  return call;
}

absl::StatusOr<std::string> ExpressionParser::DottedName() {
  if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
  std::string name = tokens_.Take().text;
  while (tokens_.SkipOperator(".")) {
    if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
    name += "." + tokens_.Take().text;
  }
  return name;
}

absl::StatusOr<Expression> ExpressionParser::Filter(Expression of) {
  Expression filter = Make(ExpressionKind::kFilter, tokens_.current().place, std::move(of));
  QF_ASSIGN_OR_RETURN(filter.text, DottedName());
  if (tokens_.IsOperator("(")) QF_RETURN_IF_ERROR(Arguments(filter));
  return filter;
}

absl::StatusOr<Expression> ExpressionParser::Test(Expression of) {
  const Place place = tokens_.current().place;
  tokens_.Skip();
  const bool negated = tokens_.SkipName("not");
  Expression test = Make(ExpressionKind::kTest, place, std::move(of));
  QF_ASSIGN_OR_RETURN(test.text, DottedName());
  const Token& next = tokens_.current();
  const bool value = next.kind == Token::Kind::kName || next.kind == Token::Kind::kText ||
                     next.kind == Token::Kind::kInteger || next.kind == Token::Kind::kFloat ||
                     next.IsOperator("[") || next.IsOperator("{");
  if (tokens_.IsOperator("(")) {
    QF_RETURN_IF_ERROR(Arguments(test));
  } else if (value && !next.IsName("else") && !next.IsName("or") && !next.IsName("and")) {
    if (next.IsName("is")) return tokens_.Fail("tests cannot be chained with \"is\"");
    QF_ASSIGN_OR_RETURN(Expression argument, Primary());
    QF_ASSIGN_OR_RETURN(argument, Postfix(std::move(argument)));
    test.operands.push_back(std::move(argument));
    test.names.emplace_back();
  }
  if (!negated) return test;
  return Make(ExpressionKind::kNot, place, std::move(test));
}

}  // namespace quantfleet::jinja
