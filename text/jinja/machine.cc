// Statements.
#include "text/jinja/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "text/jinja/iterate.h"
#include "text/jinja/loop.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

// What is kept until the end takes memory until then.
constexpr uint64_t kKeptSteps = 50;

class Macro final : public Callable {
 public:
  Macro(const Statement& macro, size_t first_default, std::shared_ptr<Scope> scope)
      : macro_(macro), first_default_(first_default), scope_(std::move(scope)) {}
  absl::StatusOr<Value> Call(Machine& machine, Arguments arguments) const override {
    return machine.CallMacro(macro_, first_default_, scope_, std::move(arguments));
  }

 private:
  const Statement& macro_;
  size_t first_default_;
  std::shared_ptr<Scope> scope_;
};

// What a call of `loop` does in a recursive loop.
class Recursion final : public Callable {
 public:
  Recursion(const Statement& loop, std::shared_ptr<Scope> scope, int64_t depth)
      : loop_(loop), scope_(std::move(scope)), depth_(depth) {}
  absl::StatusOr<Value> Call(Machine& machine, Arguments arguments) const override {
    if (arguments.positional.size() != 1 || !arguments.named.empty())
      return FailedPrecondition("loop needs one argument: what to go through");
    return machine.RunRecursion(loop_, scope_, arguments.positional[0], depth_);
  }

 private:
  const Statement& loop_;
  std::shared_ptr<Scope> scope_;
  int64_t depth_;
};

class OfFunction final : public Callable {
 public:
  explicit OfFunction(const Named<Function>& function) : function_(function) {}
  absl::StatusOr<Value> Call(Machine& machine, Arguments arguments) const override {
    return function_.call(machine, std::move(arguments));
  }

 private:
  const Named<Function>& function_;
};

}  // namespace

const Value* Scope::Find(int name) const {
  for (const auto& [other, value] : variables)
    if (other == name) return &value;
  return nullptr;
}

void Scope::Set(int name, Value value) {
  for (auto& [other, old] : variables)
    if (other == name) {
      old = std::move(value);
      return;
    }
  variables.emplace_back(name, std::move(value));
}

Machine::~Machine() {
  // Moved out first: what is destroyed may look at neither.
  for (const auto& scope : kept_scopes_) std::exchange(scope->variables, {}).clear();
  for (const auto& names : namespaces_) std::exchange(names->attributes, {}).clear();
}

absl::StatusOr<MarkedText> Machine::Run(
    const std::vector<std::pair<std::string, Value>>& variables) {
  const auto scope = std::make_shared<Scope>();
  kept_scopes_.push_back(scope);
  for (const Named<Function>& function : Functions())
    if (const int name = tree_.NameOf(function.name); name >= 0)
      scope->Set(name,
                 Value(std::shared_ptr<const Callable>(std::make_shared<OfFunction>(function))));
  for (const auto& [text, value] : variables)
    if (const int name = tree_.NameOf(text); name >= 0) scope->Set(name, value);
  MarkedText out;
  out_ = &out;
  const absl::StatusOr<Flow> flow = RunBody(tree_.statements, scope);
  if (flow.ok()) return out;
  if (absl::IsInvalidArgument(flow.status()) || failed_ == nullptr) return flow.status();
  return Annotate(flow.status(), Show(*failed_));
}

absl::StatusOr<Value> Machine::Made(MarkedText text, bool markup) {
  QF_RETURN_IF_ERROR(budget_.TakeBytes(text.bytes.size()));
  return Value(Text{std::move(text), markup});
}

absl::StatusOr<Value> Machine::MakeNamespace() {
  QF_RETURN_IF_ERROR(budget_.Take(kKeptSteps));
  namespaces_.push_back(std::make_shared<Namespace>());
  return Value(namespaces_.back());
}

absl::StatusOr<Value> Machine::Call(const Value& callee, Arguments arguments) {
  if (callee.kind() == Value::Kind::kLoop) {
    const auto& recurse = callee.loop().recurse();
    if (recurse == nullptr)
      return FailedPrecondition("only loops that are marked \"recursive\" can be called");
    return recurse->Call(*this, std::move(arguments));
  }
  if (callee.kind() == Value::Kind::kCallable)
    return callee.callable().Call(*this, std::move(arguments));
  if (callee.IsUndefined() && callee.undefined().why)
    return FailedPrecondition("{}", *callee.undefined().why);
  return FailedPrecondition("a value of type {} cannot be called", TypeName(callee));
}

absl::Status Machine::Output(const MarkedText& text) {
  QF_RETURN_IF_ERROR(budget_.TakeBytes(out_->bytes.size() / 4096 + text.bytes.size()));
  if (out_->bytes.size() + text.bytes.size() > kMaxTextBytes)
    return ResourceExhausted("the template makes texts of more than {} bytes", kMaxTextBytes);
  out_->Append(text);
  return absl::OkStatus();
}

std::shared_ptr<Scope> Machine::Inner(const std::shared_ptr<Scope>& scope) const {
  return std::make_shared<Scope>(Scope{scope, {}});
}

absl::StatusOr<Machine::Flow> Machine::RunBody(const Body& body,
                                               const std::shared_ptr<Scope>& scope) {
  for (const Statement& statement : body) {
    const absl::StatusOr<Flow> flow = RunStatement(statement, scope);
    if (!flow.ok() && failed_ == nullptr) failed_ = &statement.place;
    if (!flow.ok() || *flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Machine::Flow> Machine::RunStatement(const Statement& statement,
                                                    const std::shared_ptr<Scope>& scope) {
  QF_RETURN_IF_ERROR(budget_.Take(1));
  switch (statement.kind) {
    case StatementKind::kData:
      QF_RETURN_IF_ERROR(Output(statement.data));
      return Flow::kNext;
    case StatementKind::kOutput: {
      QF_ASSIGN_OR_RETURN(const Value value, Evaluate(statement.values[0], scope));
      QF_RETURN_IF_ERROR(Output(value.IsText() ? value.text().marked : ToText(value)));
      return Flow::kNext;
    }
    case StatementKind::kSet:
    case StatementKind::kSetBlock:
      QF_RETURN_IF_ERROR(RunSet(statement, scope));
      return Flow::kNext;
    case StatementKind::kIf:
      return RunIf(statement, scope);
    case StatementKind::kFor:
      return RunFor(statement, scope);
    case StatementKind::kMacro:
      QF_RETURN_IF_ERROR(budget_.Take(kKeptSteps));
      scope->Set(statement.name, MakeMacro(statement, 0, scope));
      return Flow::kNext;
    case StatementKind::kCall:
      QF_RETURN_IF_ERROR(RunCall(statement, scope));
      return Flow::kNext;
    case StatementKind::kFilter: {
      Flow flow = Flow::kNext;
      QF_ASSIGN_OR_RETURN(MarkedText text, Capture(statement.bodies[0], Inner(scope), &flow));
      if (flow != Flow::kNext) return flow;
      const Value printed(std::move(text));
      QF_ASSIGN_OR_RETURN(const Value value, EvaluateFilter(statement.values[0], scope, &printed));
      QF_RETURN_IF_ERROR(Output(ToText(value)));
      return Flow::kNext;
    }
    case StatementKind::kWith: {
      const std::shared_ptr<Scope> inner = Inner(scope);
      for (size_t i = 0; i < statement.targets.size(); ++i) {
        QF_ASSIGN_OR_RETURN(Value value, Evaluate(statement.values[i], scope));
        QF_RETURN_IF_ERROR(Assign(statement.targets[i], std::move(value), *inner));
      }
      return RunBody(statement.bodies[0], inner);
    }
    case StatementKind::kGeneration:
      return RunBody(statement.bodies[0], Inner(scope));
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
    case StatementKind::kUnsupported:
      return Unimplemented("the statement \"{}\" is not supported", statement.text);
  }
  return Internal("a statement of no kind");
}

absl::StatusOr<Machine::Flow> Machine::RunIf(const Statement& statement,
                                             const std::shared_ptr<Scope>& scope) {
  for (size_t i = 0; i < statement.values.size(); ++i) {
    QF_ASSIGN_OR_RETURN(const Value condition, Evaluate(statement.values[i], scope));
    if (condition.IsTrue()) return RunBody(statement.bodies[i], scope);
  }
  if (statement.bodies.size() > statement.values.size())
    return RunBody(statement.bodies.back(), scope);
  return Flow::kNext;
}

absl::Status Machine::RunSet(const Statement& statement, const std::shared_ptr<Scope>& scope) {
  if (statement.kind == StatementKind::kSet) {
    QF_ASSIGN_OR_RETURN(Value value, Evaluate(statement.values[0], scope));
    return Assign(statement.target, std::move(value), *scope);
  }
  QF_ASSIGN_OR_RETURN(MarkedText text, Capture(statement.bodies[0], Inner(scope)));
  QF_ASSIGN_OR_RETURN(Value value, Made(std::move(text)));
  if (statement.values[0].kind != Expression::Kind::kAbsent) {
    QF_ASSIGN_OR_RETURN(value, EvaluateFilter(statement.values[0], scope, &value));
  }
  return Assign(statement.target, std::move(value), *scope);
}

absl::Status Machine::Assign(const Expression& target, Value value, Scope& scope) {
  if (target.kind == Expression::Kind::kName) {
    scope.Set(target.name, std::move(value));
    return absl::OkStatus();
  }
  if (target.kind == Expression::Kind::kAttribute) {
    const Value names = Name(target.operands[0], scope);
    if (names.kind() != Value::Kind::kNamespace)
      return FailedPrecondition("\"{}\" is not a namespace: its attributes cannot be set",
                                target.operands[0].text);
    names.names().Set(target.text, std::move(value));
    return absl::OkStatus();
  }
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(*this, value));
  if (elements.size() != target.operands.size())
    return FailedPrecondition("{} values cannot be assigned to {} names", elements.size(),
                              target.operands.size());
  for (size_t i = 0; i < elements.size(); ++i)
    QF_RETURN_IF_ERROR(Assign(target.operands[i], std::move(elements[i]), scope));
  return absl::OkStatus();
}

absl::StatusOr<MarkedText> Machine::Capture(const Body& body, const std::shared_ptr<Scope>& scope,
                                            Flow* flow) {
  MarkedText text;
  MarkedText* const outer = std::exchange(out_, &text);
  const absl::StatusOr<Flow> done = RunBody(body, scope);
  out_ = outer;
  QF_RETURN_IF_ERROR(done.status());
  if (flow != nullptr) *flow = *done;
  return text;
}

absl::StatusOr<Machine::Flow> Machine::RunFor(const Statement& statement,
                                              const std::shared_ptr<Scope>& scope) {
  QF_ASSIGN_OR_RETURN(const Value of, Evaluate(statement.values[0], scope));
  return RunLoop(statement, scope, of, 0);
}

absl::StatusOr<Value> Machine::RunRecursion(const Statement& loop,
                                            const std::shared_ptr<Scope>& scope, const Value& of,
                                            int64_t depth) {
  QF_RETURN_IF_ERROR(budget_.Enter());
  MarkedText text;
  MarkedText* const outer = std::exchange(out_, &text);
  const absl::StatusOr<Flow> done = RunLoop(loop, scope, of, depth);
  out_ = outer;
  budget_.Leave();
  QF_RETURN_IF_ERROR(done.status());
  return Made(std::move(text));
}

absl::StatusOr<Machine::Flow> Machine::RunLoop(const Statement& statement,
                                               const std::shared_ptr<Scope>& scope, const Value& of,
                                               int64_t depth) {
  QF_ASSIGN_OR_RETURN(std::shared_ptr<Iterator> elements, Iterate(of));
  std::optional<size_t> length = LengthOf(of);
  const Expression& condition = statement.values[1];
  if (condition.kind != Expression::Kind::kAbsent) {
    length.reset();
    // Each is asked about only when the loop comes to it: what is true then counts.
    const auto next = [this, loop = &statement, scope, all = elements](
                          Machine&, Value& element) -> absl::StatusOr<bool> {
      while (true) {
        QF_ASSIGN_OR_RETURN(const bool more, all->Next(*this, element));
        if (!more) return false;
        const std::shared_ptr<Scope> inner = Inner(scope);
        QF_RETURN_IF_ERROR(Assign(loop->target, element, *inner));
        QF_ASSIGN_OR_RETURN(const Value wanted, Evaluate(loop->values[1], inner));
        if (wanted.IsTrue()) return true;
      }
    };
    elements = Generate(0, next).iterator();
  }
  std::shared_ptr<const Callable> recurse;
  if (statement.recursive) recurse = std::make_shared<Recursion>(statement, scope, depth + 1);
  const auto loop = std::make_shared<Loop>(elements, length, depth, std::move(recurse));
  const int loop_name = tree_.NameOf("loop");
  bool any = false;
  std::shared_ptr<Scope> inner = Inner(scope);
  while (true) {
    Value element;
    QF_ASSIGN_OR_RETURN(const bool more, loop->Advance(*this, element));
    if (!more) break;
    any = true;
    // What is set in one turn is not there in the next. A macro may still hold the scope.
    if (inner.use_count() == 1)
      inner->variables.clear();
    else
      inner = Inner(scope);
    if (loop_name >= 0) inner->Set(loop_name, Value(loop));
    QF_RETURN_IF_ERROR(Assign(statement.target, std::move(element), *inner));
    QF_ASSIGN_OR_RETURN(const Flow flow, RunBody(statement.bodies[0], inner));
    if (flow == Flow::kBreak) break;
  }
  if (!any) return RunBody(statement.bodies[1], Inner(scope));
  return Flow::kNext;
}

Value Machine::MakeMacro(const Statement& macro, size_t first_default,
                         const std::shared_ptr<Scope>& scope) {
  kept_scopes_.push_back(scope);
  return Value(
      std::shared_ptr<const Callable>(std::make_shared<Macro>(macro, first_default, scope)));
}

absl::Status Machine::RunCall(const Statement& statement, const std::shared_ptr<Scope>& scope) {
  QF_RETURN_IF_ERROR(budget_.Take(kKeptSteps));
  const Expression& call = statement.values[0];
  QF_ASSIGN_OR_RETURN(const Value callee, Evaluate(call.operands[0], scope));
  QF_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(call, scope));
  arguments.named.emplace_back("caller", MakeMacro(statement, 1, scope));
  QF_ASSIGN_OR_RETURN(const Value value, Call(callee, std::move(arguments)));
  return Output(ToText(value));
}

absl::StatusOr<Value> Machine::CallMacro(const Statement& macro, size_t first_default,
                                         const std::shared_ptr<Scope>& scope, Arguments arguments) {
  const std::string_view name =
      macro.kind == StatementKind::kCall ? "caller" : std::string_view(macro.text);
  const std::shared_ptr<Scope> inner = Inner(scope);
  const auto take_named = [&arguments](std::string_view wanted) -> std::optional<Value> {
    const auto found = std::ranges::find(
        arguments.named, wanted, [](const auto& one) -> std::string_view { return one.first; });
    if (found == arguments.named.end()) return std::nullopt;
    Value value = std::move(found->second);
    arguments.named.erase(found);
    return value;
  };
  const size_t count = macro.parameters.size(), given = arguments.positional.size();
  const size_t defaults = macro.values.size() - first_default;
  for (size_t i = 0; i < count; ++i) {
    const Parameter& parameter = macro.parameters[i];
    std::optional<Value> value;
    if (i < given)
      value = arguments.positional[i];
    else
      value = take_named(parameter.text);
    if (!value && i + defaults >= count) {
      QF_ASSIGN_OR_RETURN(value,
                          Evaluate(macro.values[first_default + i + defaults - count], inner));
    }
    if (!value)
      value = Value::Missing(fmt::format("parameter '{}' was not provided", parameter.text));
    inner->Set(parameter.name, *std::move(value));
  }
  if (macro.uses_caller && inner->Find(tree_.NameOf("caller")) == nullptr)
    inner->Set(tree_.NameOf("caller"),
               take_named("caller").value_or(Value::Missing("No caller defined")));
  if (macro.takes_named) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [key, value] : arguments.named) entries.emplace_back(Value::Plain(key), value);
    QF_ASSIGN_OR_RETURN(Value named, Value::Of(std::move(entries)));
    inner->Set(tree_.NameOf("kwargs"), std::move(named));
  } else if (!arguments.named.empty()) {
    return FailedPrecondition("{} takes no argument \"{}\"", name, arguments.named[0].first);
  }
  if (macro.takes_more) {
    std::vector<Value> more;
    for (size_t i = count; i < given; ++i) more.push_back(arguments.positional[i]);
    QF_ASSIGN_OR_RETURN(Value rest, Value::Of(Sequence::Kind::kTuple, std::move(more)));
    inner->Set(tree_.NameOf("varargs"), std::move(rest));
  } else if (given > count) {
    return FailedPrecondition("{} takes at most {} arguments, {} are given", name, count, given);
  }
  QF_RETURN_IF_ERROR(budget_.Enter());
  absl::StatusOr<MarkedText> text = Capture(macro.bodies[0], inner);
  budget_.Leave();
  QF_RETURN_IF_ERROR(text.status());
  return Made(*std::move(text));
}

}  // namespace quantfleet::jinja
