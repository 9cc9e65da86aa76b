// Carries out a template. One per rendering; one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/syntax.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<int, Value>> variables;  // by the name's number

  const Value* Find(int name) const;
  void Set(int name, Value value);  // here
};

class Machine {
 public:
  // `now`: Unix seconds, for strftime_now. `tree` must outlive it.
  Machine(const SyntaxTree& tree, int64_t now) : tree_(tree), now_(now) {}
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // INVALID_ARGUMENT: raise_exception's own words. FAILED_PRECONDITION, UNIMPLEMENTED and
  // RESOURCE_EXHAUSTED begin with line and column.
  absl::StatusOr<MarkedText> Run(const std::vector<std::pair<std::string, Value>>& variables);

  // For filters, tests, functions and methods.
  Budget& budget() { return budget_; }
  int64_t now() const { return now_; }
  absl::StatusOr<Value> Call(const Value& callee, Arguments arguments);
  absl::StatusOr<Value> MakeNamespace();
  // A text that was just made.
  absl::StatusOr<Value> Made(MarkedText text, bool markup = false);

  // For macros.
  absl::StatusOr<Value> CallMacro(const Statement& macro, size_t first_default,
                                  const std::shared_ptr<Scope>& scope, Arguments arguments);
  absl::StatusOr<Value> RunRecursion(const Statement& loop, const std::shared_ptr<Scope>& scope,
                                     const Value& of, int64_t depth);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using Body = std::vector<Statement>;
  using Result = absl::StatusOr<Value>;

  // Statements (machine.cc).
  absl::StatusOr<Flow> RunBody(const Body& body, const std::shared_ptr<Scope>& scope);
  absl::StatusOr<Flow> RunStatement(const Statement& statement,
                                    const std::shared_ptr<Scope>& scope);
  absl::StatusOr<Flow> RunIf(const Statement& statement, const std::shared_ptr<Scope>& scope);
  absl::StatusOr<Flow> RunFor(const Statement& statement, const std::shared_ptr<Scope>& scope);
  absl::StatusOr<Flow> RunLoop(const Statement& statement, const std::shared_ptr<Scope>& scope,
                               const Value& of, int64_t depth);
  absl::Status RunSet(const Statement& statement, const std::shared_ptr<Scope>& scope);
  absl::Status RunCall(const Statement& statement, const std::shared_ptr<Scope>& scope);
  absl::StatusOr<MarkedText> Capture(const Body& body, const std::shared_ptr<Scope>& scope,
                                     Flow* flow = nullptr);
  absl::Status Assign(const Expression& target, Value value, Scope& scope);
  absl::Status Output(const MarkedText& text);
  Value MakeMacro(const Statement& macro, size_t first_default,
                  const std::shared_ptr<Scope>& scope);
  std::shared_ptr<Scope> Inner(const std::shared_ptr<Scope>& scope) const;

  // Expressions (evaluate.cc).
  Result Evaluate(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateOnce(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateSequence(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateDictionary(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateSlice(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateJoin(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateCompare(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateCall(const Expression& expression, const std::shared_ptr<Scope>& scope);
  Result EvaluateFilter(const Expression& expression, const std::shared_ptr<Scope>& scope,
                        const Value* of = nullptr);
  absl::StatusOr<Arguments> EvaluateArguments(const Expression& expression,
                                              const std::shared_ptr<Scope>& scope);
  Value Name(const Expression& expression, const Scope& scope) const;

  const SyntaxTree& tree_;
  int64_t now_;
  Budget budget_;
  MarkedText* out_ = nullptr;  // where output goes now
  // Where the error came from; the first is the innermost.
  const Place* failed_ = nullptr;
  // What can hold each other in a ring: emptied at the end.
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace quantfleet::jinja
