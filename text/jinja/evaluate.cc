// Expressions.
#include <fmt/format.h>

#include "common/base/outside_text.h"
#include "text/jinja/access.h"
#include "text/jinja/iterate.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {

absl::StatusOr<Value> Machine::Evaluate(const Expression& expression,
                                        const std::shared_ptr<Scope>& scope) {
  if (expression.kind == ExpressionKind::kConstant) return expression.constant;
  absl::Status status = budget_.Take(1);
  if (status.ok()) status = budget_.Enter();
  if (!status.ok()) {
    if (failed_ == nullptr) failed_ = &expression.place;
    return status;
  }
  absl::StatusOr<Value> value = EvaluateOnce(expression, scope);
  budget_.Leave();
  if (!value.ok() && failed_ == nullptr) failed_ = &expression.place;
  return value;
}

absl::StatusOr<Value> Machine::EvaluateOnce(const Expression& expression,
                                            const std::shared_ptr<Scope>& scope) {
  const std::vector<Expression>& operands = expression.operands;
  switch (expression.kind) {
    case ExpressionKind::kConstant:
      return expression.constant;
    case ExpressionKind::kAbsent:
      return Value(None{});
    case ExpressionKind::kName:
      return Name(expression, *scope);
    case ExpressionKind::kList:
    case ExpressionKind::kTuple:
      return EvaluateSequence(expression, scope);
    case ExpressionKind::kDictionary:
      return EvaluateDictionary(expression, scope);
    case ExpressionKind::kAttribute: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      return Attribute(*this, of, expression.text);
    }
    case ExpressionKind::kItem: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      QF_ASSIGN_OR_RETURN(const Value key, Evaluate(operands[1], scope));
      return Item(*this, of, key);
    }
    case ExpressionKind::kSlice:
      return EvaluateSlice(expression, scope);
    case ExpressionKind::kCall:
      return EvaluateCall(expression, scope);
    case ExpressionKind::kFilter:
      return EvaluateFilter(expression, scope);
    case ExpressionKind::kTest: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, scope));
      QF_ASSIGN_OR_RETURN(const bool is,
                          ApplyTest(*this, expression.text, of, std::move(arguments)));
      return Value(is);
    }
    case ExpressionKind::kNot: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      return Value(!of.IsTrue());
    }
    case ExpressionKind::kNegative: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      return Negative(of);
    }
    case ExpressionKind::kPositive: {
      QF_ASSIGN_OR_RETURN(const Value of, Evaluate(operands[0], scope));
      return Binary(*this, "+", Value(int64_t{0}), of);
    }
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr: {
      // The value that decided.
      Value value;
      for (const Expression& operand : operands) {
        QF_ASSIGN_OR_RETURN(value, Evaluate(operand, scope));
        if (value.IsTrue() == (expression.kind == ExpressionKind::kOr)) break;
      }
      return value;
    }
    case ExpressionKind::kBinary: {
      QF_ASSIGN_OR_RETURN(const Value left, Evaluate(operands[0], scope));
      QF_ASSIGN_OR_RETURN(const Value right, Evaluate(operands[1], scope));
      return Binary(*this, expression.text, left, right);
    }
    case ExpressionKind::kJoin:
      return EvaluateJoin(expression, scope);
    case ExpressionKind::kCompare:
      return EvaluateCompare(expression, scope);
    case ExpressionKind::kChoice: {
      QF_ASSIGN_OR_RETURN(const Value condition, Evaluate(operands[1], scope));
      if (condition.IsTrue()) return Evaluate(operands[0], scope);
      if (operands[2].kind == ExpressionKind::kAbsent)
        return Value::Missing(
            "the inline if-expression evaluated to false and no else section was defined.");
      return Evaluate(operands[2], scope);
    }
  }
  return Internal("an expression of no kind");
}

Value Machine::Name(const Expression& expression, const Scope& scope) const {
  for (const Scope* at = &scope; at != nullptr; at = at->parent.get())
    if (const Value* found = at->Find(expression.name)) return *found;
  return Value::Missing(fmt::format("'{}' is undefined", Shown(expression.text, 60)));
}

absl::StatusOr<Value> Machine::EvaluateSequence(const Expression& expression,
                                                const std::shared_ptr<Scope>& scope) {
  std::vector<Value> items;
  items.reserve(expression.operands.size());
  for (const Expression& operand : expression.operands) {
    QF_ASSIGN_OR_RETURN(Value item, Evaluate(operand, scope));
    items.push_back(std::move(item));
  }
  return Value::Of(
      expression.kind == ExpressionKind::kList ? Sequence::Kind::kList : Sequence::Kind::kTuple,
      std::move(items));
}

absl::StatusOr<Value> Machine::EvaluateDictionary(const Expression& expression,
                                                  const std::shared_ptr<Scope>& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < expression.operands.size(); i += 2) {
    QF_ASSIGN_OR_RETURN(Value key, Evaluate(expression.operands[i], scope));
    QF_ASSIGN_OR_RETURN(Value value, Evaluate(expression.operands[i + 1], scope));
    QF_RETURN_IF_ERROR(AddEntry(std::move(key), std::move(value), entries));
  }
  return Value::Of(std::move(entries));
}

absl::StatusOr<Value> Machine::EvaluateSlice(const Expression& expression,
                                             const std::shared_ptr<Scope>& scope) {
  QF_ASSIGN_OR_RETURN(const Value of, Evaluate(expression.operands[0], scope));
  QF_ASSIGN_OR_RETURN(const Value begin, Evaluate(expression.operands[1], scope));
  QF_ASSIGN_OR_RETURN(const Value end, Evaluate(expression.operands[2], scope));
  QF_ASSIGN_OR_RETURN(const Value step, Evaluate(expression.operands[3], scope));
  return SliceOf(*this, of, begin, end, step);
}

absl::StatusOr<Value> Machine::EvaluateJoin(const Expression& expression,
                                            const std::shared_ptr<Scope>& scope) {
  MarkedText out;
  for (const Expression& operand : expression.operands) {
    QF_ASSIGN_OR_RETURN(const Value value, Evaluate(operand, scope));
    AppendText(value, out);
    if (out.bytes.size() > kMaxTextBytes) return budget_.TakeBytes(out.bytes.size());
  }
  return Made(std::move(out));
}

absl::StatusOr<Value> Machine::EvaluateCompare(const Expression& expression,
                                               const std::shared_ptr<Scope>& scope) {
  QF_ASSIGN_OR_RETURN(Value left, Evaluate(expression.operands[0], scope));
  for (size_t i = 0; i < expression.names.size(); ++i) {
    QF_ASSIGN_OR_RETURN(Value right, Evaluate(expression.operands[i + 1], scope));
    QF_ASSIGN_OR_RETURN(const bool holds, Compare(*this, expression.names[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

absl::StatusOr<Arguments> Machine::EvaluateArguments(const Expression& expression,
                                                     const std::shared_ptr<Scope>& scope) {
  Arguments arguments;
  for (size_t i = 0; i < expression.names.size(); ++i) {
    const std::string& name = expression.names[i];
    QF_ASSIGN_OR_RETURN(Value value, Evaluate(expression.operands[i + 1], scope));
    if (name.empty()) {
      arguments.positional.push_back(std::move(value));
    } else if (name == "*") {
      QF_ASSIGN_OR_RETURN(std::vector<Value> more, Elements(*this, value));
      for (Value& one : more) arguments.positional.push_back(std::move(one));
    } else if (name == "**") {
      const Dictionary* dictionary = value.if_dictionary();
      if (dictionary == nullptr)
        return FailedPrecondition("\"**\" needs a dict, not {}", TypeName(value));
      for (const auto& [key, one] : dictionary->entries)
        arguments.named.emplace_back(ToText(key).bytes, one);
    } else {
      arguments.named.emplace_back(name, std::move(value));
    }
  }
  return arguments;
}

absl::StatusOr<Value> Machine::EvaluateCall(const Expression& expression,
                                            const std::shared_ptr<Scope>& scope) {
  const Expression& callee = expression.operands[0];
  if (callee.kind == ExpressionKind::kAttribute) {
    // A method is called as it stands there, without a value made of it first.
    QF_ASSIGN_OR_RETURN(const Value of, Evaluate(callee.operands[0], scope));
    if (const Named<Method>* method = FindMethod(of, callee.text)) {
      QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, scope));
      return method->call(*this, of, std::move(arguments));
    }
    QF_ASSIGN_OR_RETURN(const Value function, Attribute(*this, of, callee.text));
    QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, scope));
    return Call(function, std::move(arguments));
  }
  QF_ASSIGN_OR_RETURN(const Value function, Evaluate(callee, scope));
  QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, scope));
  return Call(function, std::move(arguments));
}

absl::StatusOr<Value> Machine::EvaluateFilter(const Expression& expression,
                                              const std::shared_ptr<Scope>& scope,
                                              const Value* of) {
  // The filters of a block have no operand: theirs is what the block printed.
  Value operand;
  const Expression& first = expression.operands[0];
  if (first.kind == ExpressionKind::kAbsent && of != nullptr) {
    operand = *of;
  } else if (first.kind == ExpressionKind::kFilter && of != nullptr) {
    QF_ASSIGN_OR_RETURN(operand, EvaluateFilter(first, scope, of));
  } else {
    QF_ASSIGN_OR_RETURN(operand, Evaluate(first, scope));
  }
  QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, scope));
  return ApplyFilter(*this, expression.text, operand, std::move(arguments));
}

}  // namespace quantfleet::jinja
