// Expressions, as Jinja's own parser reads them. Errors are INVALID_ARGUMENT with line and column.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/syntax.h"
#include "text/jinja/token_stream.h"

namespace quantfleet::jinja {

// An expression of a kind, at a place, of its operands.
Expression Make(ExpressionKind kind, const Place& place, std::vector<Expression> operands,
                std::string text = "");
Expression Make(ExpressionKind kind, const Place& place, Expression operand, std::string text = "");
Expression Make(ExpressionKind kind, const Place& place, Expression left, Expression right,
                std::string text = "");
Expression Constant(const Place& place, Value value);

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  absl::StatusOr<Expression> Whole();  // with `if` and `else`
  // Several with commas are a tuple. `choice`: whether `if` and `else` may follow.
  absl::StatusOr<Expression> Tuple(bool choice, std::string_view end_name = "");
  // What a set or for statement fills. `attribute`: it may be a namespace's.
  absl::StatusOr<Expression> Target(bool attribute, std::string_view end_name = "");
  // The filters that a block's output goes through: the first stands without "|" when `inline`.
  // kAbsent: none.
  absl::StatusOr<Expression> Filters(bool inline_first);

 private:
  using Result = absl::StatusOr<Expression>;
  Result WholeOnce();
  Result Or();
  Result And();
  Result Not();
  Result Compare();
  Result Sum();
  Result Join();
  Result Product();
  Result Power();
  Result Unary(bool filters);
  Result UnaryOnce(bool filters);
  Result Primary();
  Result List();
  Result Dictionary();
  Result Postfix(Expression of);
  Result FiltersOf(Expression of);
  Result Subscript(Expression of);
  Result Call(Expression of);
  Result Filter(Expression of);
  Result Test(Expression of);
  Result Operand(const Place& place, std::string_view what);
  Result LeftToRight(std::initializer_list<std::string_view> operators,
                     Result (ExpressionParser::*operand)());
  // `operand` word `operand` word ...: one expression with all of them, however many.
  Result Flat(std::string_view word, ExpressionKind kind, Result (ExpressionParser::*operand)());
  absl::Status Argument(Expression& call, bool& named);
  absl::Status Arguments(Expression& call);
  absl::StatusOr<std::string> DottedName();
  bool IsTupleEnd(std::string_view end_name) const;

  TokenStream& tokens_;
};

}  // namespace quantfleet::jinja
