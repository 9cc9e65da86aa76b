#include "text/template/evaluate.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>
#include <optional>

namespace quantfleet::text {
namespace {

// In bytes copied, or as much time: half a second at most.
constexpr uint64_t kMaxWork = uint64_t{64} << 20, kNodeWork = 64, kTurnWork = 512;

using Kind = Expression::Kind;

struct Value;
using List = std::vector<Value>;
using Names = std::map<std::string, Value, std::less<>>;

struct Value {
  enum class Kind { kUndefined, kNone, kBool, kInt, kText, kList, kMessage, kNamespace, kUnread };
  Kind kind = Kind::kUndefined;
  int64_t number = 0;                      // kBool, kInt
  std::shared_ptr<const MarkedText> text;  // kText; kUnread: what is not understood
  std::shared_ptr<const List> list;
  const ChatMessage* message = nullptr;
  std::shared_ptr<Names> names;  // kNamespace; shared, as Jinja's is

  static Value None() { return {Kind::kNone, 0, {}, {}, nullptr, {}}; }
  static Value Bool(bool is) { return {Kind::kBool, is, {}, {}, nullptr, {}}; }
  static Value Int(int64_t number) { return {Kind::kInt, number, {}, {}, nullptr, {}}; }
  static Value Text(MarkedText text) {
    return {Kind::kText, 0, std::make_shared<MarkedText>(std::move(text)), {}, nullptr, {}};
  }
  static Value Text(std::string bytes) { return Text(MarkedText{std::move(bytes), {}}); }
  static Value Of(List list) {
    return {Kind::kList, 0, {}, std::make_shared<List>(std::move(list)), nullptr, {}};
  }
  static Value Of(const ChatMessage& message) { return {Kind::kMessage, 0, {}, {}, &message, {}}; }
  static Value Of(Names names) {
    return {Kind::kNamespace, 0, {}, {}, nullptr, std::make_shared<Names>(std::move(names))};
  }
  static Value Unread(std::string why) {
    return {Kind::kUnread, 0, std::make_shared<MarkedText>(MarkedText{std::move(why), {}}), {},
            nullptr,       {}};
  }
  bool is(Kind one) const { return kind == one; }
  bool IsNumber() const { return kind == Kind::kBool || kind == Kind::kInt; }
};

using K = Value::Kind;
using Result = absl::StatusOr<Value>;

absl::Status NotUnderstood(std::string_view what) { return Unimplemented("{}", what); }

// Python's: the result has the divisor's sign.
int64_t Modulo(int64_t a, int64_t b) {
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// A date as strftime_now gives it; nothing for formats whose result hangs on more than the
// calendar.
std::optional<std::string> Date(int64_t now, const std::string& format) {
  for (size_t i = 0; i < format.size(); ++i)
    if (format[i] == '%' &&
        (++i >= format.size() ||
         std::string_view("dbBYmyHMSaAj").find(format[i]) == std::string_view::npos))
      return std::nullopt;
  if (format.empty() || format.size() > 100) return std::nullopt;
  const std::time_t seconds = now;
  std::tm local = {};
  if (localtime_r(&seconds, &local) == nullptr) return std::nullopt;
  char text[1024];
  return std::string(text, std::strftime(text, sizeof text, format.c_str(), &local));
}

class Evaluator {
 public:
  explicit Evaluator(const Conversation& conversation) : conversation_(conversation) {
    List messages;
    for (const ChatMessage& message : conversation.messages) messages.push_back(Value::Of(message));
    Names& names = scopes_.emplace_back();
    names["messages"] = Value::Of(std::move(messages));
    names["tools"] = names["documents"] = Value::None();
    names["add_generation_prompt"] = Value::Bool(true);
    if (!conversation.tokens.begin.empty())
      names["bos_token"] = Value::Text(conversation.tokens.begin);
    if (!conversation.tokens.end.empty()) names["eos_token"] = Value::Text(conversation.tokens.end);
  }

  absl::Status Run(const std::vector<Statement>& statements) {
    for (const Statement& statement : statements) QF_RETURN_IF_ERROR(Run(statement));
    return absl::OkStatus();
  }
  MarkedText Take() { return std::move(out_); }

 private:
  absl::Status Spend(uint64_t work) {
    work_ += work;
    return work_ <= kMaxWork ? absl::OkStatus()
                             : ResourceExhausted("the chat template does not terminate");
  }

  absl::Status Run(const Statement& statement) {
    QF_RETURN_IF_ERROR(Spend(kNodeWork));
    switch (statement.kind) {
      case Statement::Kind::kUnread:
        return NotUnderstood(statement.text);
      case Statement::Kind::kText:
        QF_RETURN_IF_ERROR(Spend(statement.text.size()));
        out_.Append({statement.text, {}});
        return absl::OkStatus();
      case Statement::Kind::kOutput: {
        QF_ASSIGN_OR_RETURN(const Value value, Get(statement.values[0]));
        QF_ASSIGN_OR_RETURN(const MarkedText text, Printed(value));
        out_.Append(text);
        return absl::OkStatus();
      }
      case Statement::Kind::kSet:
        return Set(statement);
      case Statement::Kind::kIf:
        return If(statement);
      case Statement::Kind::kFor:
        return For(statement);
    }
    return absl::OkStatus();
  }

  absl::Status Set(const Statement& set) {
    Result value = Get(set.values[0]);
    // What nobody asks for later is not missed.
    if (absl::IsUnimplemented(value.status())) value = Value::Unread(Message(value.status()));
    QF_RETURN_IF_ERROR(value.status());
    if (set.attribute.empty()) {
      scopes_.back()[set.text] = *std::move(value);
      return absl::OkStatus();
    }
    const Value whole = Find(set.text);
    if (!whole.is(K::kNamespace)) return NotUnderstood("set " + set.text + "." + set.attribute);
    (*whole.names)[set.attribute] = *std::move(value);
    return absl::OkStatus();
  }

  absl::Status If(const Statement& choice) {
    for (size_t i = 0; i < choice.values.size(); ++i) {
      QF_ASSIGN_OR_RETURN(const bool is, IsTrue(choice.values[i]));
      if (is) return Run(choice.bodies[i]);
    }
    return choice.bodies.size() > choice.values.size() ? Run(choice.bodies.back())
                                                       : absl::OkStatus();
  }

  absl::Status For(const Statement& loop) {
    QF_ASSIGN_OR_RETURN(const Value over, Get(loop.values[0]));
    if (!over.is(K::kList) && !over.is(K::kUndefined))
      return NotUnderstood("a for loop over a value that is not a list");
    QF_RETURN_IF_ERROR(Spend(over.is(K::kList) ? over.list->size() * sizeof(Value) : 0));
    List items;
    for (const Value& item : over.is(K::kList) ? *over.list : List()) {
      bool taken = true;
      if (loop.values.size() > 1) {
        scopes_.emplace_back()[loop.text] = item;
        const absl::StatusOr<bool> is = IsTrue(loop.values[1]);
        scopes_.pop_back();
        QF_RETURN_IF_ERROR(is.status());
        taken = *is;
      }
      if (taken) items.push_back(item);
    }
    const auto size = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < size; ++i) {
      QF_RETURN_IF_ERROR(Spend(kTurnWork));
      const auto item = [&](int64_t at) {
        return at >= 0 && at < size ? items[static_cast<size_t>(at)] : Value();
      };
      // What is set in a turn of the loop ends with it.
      Names& names = scopes_.emplace_back();
      names[loop.text] = item(i);
      names["loop"] = Value::Of(Names{{"index0", Value::Int(i)},
                                      {"index", Value::Int(i + 1)},
                                      {"revindex0", Value::Int(size - i - 1)},
                                      {"revindex", Value::Int(size - i)},
                                      {"first", Value::Bool(i == 0)},
                                      {"last", Value::Bool(i + 1 == size)},
                                      {"length", Value::Int(size)},
                                      {"previtem", item(i - 1)},
                                      {"nextitem", item(i + 1)}});
      const absl::Status ran = Run(loop.bodies[0]);
      scopes_.pop_back();
      QF_RETURN_IF_ERROR(ran);
    }
    return absl::OkStatus();
  }

  Value Find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto at = scope->find(name); at != scope->end()) return at->second;
    return {};
  }

  // As an output shows it.
  absl::StatusOr<MarkedText> Printed(const Value& value) {
    switch (value.kind) {
      case K::kUndefined:
        return MarkedText();
      case K::kNone:
        return MarkedText{"None", {}};
      case K::kBool:
        return MarkedText{value.number ? "True" : "False", {}};
      case K::kInt:
        return MarkedText{std::to_string(value.number), {}};
      case K::kText:
        QF_RETURN_IF_ERROR(Spend(value.text->bytes.size()));
        return *value.text;
      default:
        return NotUnderstood("the text of a list or a message");
    }
  }

  absl::StatusOr<bool> IsTrue(const Expression& expression) {
    QF_ASSIGN_OR_RETURN(const Value value, Get(expression));
    return IsTrue(value);
  }
  static bool IsTrue(const Value& value) {
    switch (value.kind) {
      case K::kUndefined:
      case K::kNone:
      case K::kUnread:
        return false;
      case K::kBool:
      case K::kInt:
        return value.number != 0;
      case K::kText:
        return !value.text->bytes.empty();
      case K::kList:
        return !value.list->empty();
      case K::kMessage:
      case K::kNamespace:
        return true;
    }
    return false;
  }

  // Never kUnread.
  Result Get(const Expression& expression) {
    QF_RETURN_IF_ERROR(Spend(kNodeWork));
    QF_ASSIGN_OR_RETURN(Value value, Compute(expression));
    if (value.is(K::kUnread)) return NotUnderstood(value.text->bytes);
    return value;
  }

  Result Compute(const Expression& e) {
    switch (e.kind) {
      case Kind::kUnread:
        return NotUnderstood(e.text);
      case Kind::kText:
        QF_RETURN_IF_ERROR(Spend(e.text.size()));
        return Value::Text(e.text);
      case Kind::kNumber:
        return Value::Int(e.number);
      case Kind::kName:
        return Named(e.text);
      case Kind::kList: {
        List list;
        for (const Expression& one : e.operands) {
          QF_ASSIGN_OR_RETURN(Value value, Get(one));
          list.push_back(std::move(value));
        }
        return Value::Of(std::move(list));
      }
      case Kind::kAttribute: {
        QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
        return Attribute(of, e.text);
      }
      case Kind::kIndex:
        return Index(e);
      case Kind::kSlice:
        return Slice(e);
      case Kind::kCall:
        return Call(e);
      case Kind::kFilter:
        return Filter(e);
      case Kind::kTest: {
        QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
        return Test(of, e);
      }
      case Kind::kNot: {
        QF_ASSIGN_OR_RETURN(const bool is, IsTrue(e.operands[0]));
        return Value::Bool(!is);
      }
      case Kind::kNegative: {
        QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
        return of.IsNumber() ? Result(Value::Int(-of.number))
                             : NotUnderstood("minus applied to a value that is not a number");
      }
      case Kind::kAnd:
      case Kind::kOr: {
        QF_ASSIGN_OR_RETURN(Value first, Get(e.operands[0]));
        return IsTrue(first) == (e.kind == Kind::kOr) ? Result(std::move(first))
                                                      : Get(e.operands[1]);
      }
      case Kind::kBinary:
        return Binary(e);
      case Kind::kChoice: {
        QF_ASSIGN_OR_RETURN(const bool is, IsTrue(e.operands[1]));
        const Expression& chosen = e.operands[is ? 0 : 2];
        return IsLeftOut(chosen) ? Value() : Get(chosen);
      }
    }
    return NotUnderstood("an expression");
  }

  static bool IsLeftOut(const Expression& e) { return e.kind == Kind::kUnread && e.text.empty(); }

  Result Named(const std::string& name) const {
    if (name == "true" || name == "True") return Value::Bool(true);
    if (name == "false" || name == "False") return Value::Bool(false);
    if (name == "none" || name == "None") return Value::None();
    Value found = Find(name);
    if (found.is(K::kUndefined) && (name == "strftime_now" || name == "raise_exception" ||
                                    name == "namespace" || name == "range" || name == "dict" ||
                                    name == "cycler" || name == "joiner" || name == "lipsum"))
      return Value::Of(
          Names());  // a function: it is there, and that is all that may be asked of it
    return found;
  }

  Result Attribute(const Value& of, const std::string& name) const {
    if (of.is(K::kMessage)) {
      if (name == "role") return Value::Text(of.message->role);
      if (name == "content") return Value::Text(MarkedText::Data(of.message->content));
      return IsMethodOfDict(name) ? Result(NotUnderstood("." + name)) : Value();
    }
    if (of.is(K::kNamespace)) {
      const auto at = of.names->find(name);
      return at != of.names->end() ? at->second : Value();
    }
    if (of.is(K::kNone)) return Value();
    return NotUnderstood("." + name);
  }
  static bool IsMethodOfDict(std::string_view name) {
    for (const char* method : {"get", "items", "keys", "values", "pop", "update", "copy", "clear",
                               "setdefault", "popitem", "fromkeys"})
      if (name == method) return true;
    return false;
  }

  Result Index(const Expression& e) {
    QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
    QF_ASSIGN_OR_RETURN(const Value at, Get(e.operands[1]));
    if (of.is(K::kMessage) && at.is(K::kText)) return Attribute(of, at.text->bytes);
    if (!of.is(K::kList) || !at.IsNumber())
      return NotUnderstood("[...] applied to a value that is not a list");
    const auto size = static_cast<int64_t>(of.list->size());
    const int64_t from_begin = at.number < 0 ? at.number + size : at.number;
    return from_begin >= 0 && from_begin < size ? (*of.list)[static_cast<size_t>(from_begin)]
                                                : Value();
  }

  Result Slice(const Expression& e) {
    QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
    if (!of.is(K::kList)) return NotUnderstood("a slice of a value that is not a list");
    QF_RETURN_IF_ERROR(Spend(of.list->size() * sizeof(Value)));
    const auto size = static_cast<int64_t>(of.list->size());
    int64_t part[3] = {0, size, 1};
    for (size_t i = 0; i < 3; ++i) {
      if (IsLeftOut(e.operands[i + 1])) continue;
      QF_ASSIGN_OR_RETURN(const Value given, Get(e.operands[i + 1]));
      if (!given.is(K::kInt)) return NotUnderstood("a slice with an index that is not a number");
      part[i] = i < 2 && given.number < 0 ? given.number + size : given.number;
    }
    List slice = *of.list;
    if (part[2] == -1 && IsLeftOut(e.operands[1]) && IsLeftOut(e.operands[2])) {
      std::ranges::reverse(slice);
    } else if (part[2] == 1) {
      const int64_t end = std::clamp<int64_t>(part[1], 0, size),
                    begin = std::clamp<int64_t>(part[0], 0, end);
      slice = List(of.list->begin() + begin, of.list->begin() + end);
    } else {
      return NotUnderstood("a slice with a step");
    }
    return Value::Of(std::move(slice));
  }

  // Arguments by position, all texts. UNIMPLEMENTED: more than `most`, or others.
  absl::StatusOr<std::vector<Value>> TextArguments(const Expression& call, size_t most) {
    std::vector<Value> arguments;
    for (size_t i = 1; i < call.operands.size(); ++i) {
      QF_ASSIGN_OR_RETURN(Value value, Get(call.operands[i]));
      if (!value.is(K::kText) || !call.keywords[i].empty() || i > most)
        return NotUnderstood("these arguments of a call");
      arguments.push_back(std::move(value));
    }
    return arguments;
  }

  Result Call(const Expression& e) {
    const Expression& called = e.operands[0];
    if (called.kind == Kind::kAttribute) {
      QF_ASSIGN_OR_RETURN(const Value of, Get(called.operands[0]));
      QF_ASSIGN_OR_RETURN(const std::vector<Value> arguments, TextArguments(e, 1));
      return Method(of, called.text, arguments);
    }
    if (called.kind != Kind::kName || !Find(called.text).is(K::kUndefined))
      return NotUnderstood("a call");
    if (called.text == "namespace") {
      Names names;
      for (size_t i = 1; i < e.operands.size(); ++i) {
        if (e.keywords[i].empty()) return NotUnderstood("a namespace with a positional argument");
        QF_ASSIGN_OR_RETURN(names[e.keywords[i]], Get(e.operands[i]));
      }
      return Value::Of(std::move(names));
    }
    QF_ASSIGN_OR_RETURN(const std::vector<Value> arguments, TextArguments(e, 1));
    if (arguments.size() == 1 && called.text == "raise_exception")
      return InvalidArgument("{}", arguments[0].text->bytes);
    if (arguments.size() == 1 && called.text == "strftime_now")
      if (std::optional<std::string> date = Date(conversation_.now, arguments[0].text->bytes))
        return Value::Text(*std::move(date));
    return NotUnderstood("a call of " + called.text);
  }

  Result Method(const Value& of, const std::string& name, const std::vector<Value>& arguments) {
    const std::string_view argument =
        arguments.empty() ? std::string_view() : arguments[0].text->bytes;
    if (of.is(K::kMessage) && name == "get" && arguments.size() == 1) {
      if (argument == "role" || argument == "content") return Attribute(of, std::string(argument));
      return Value::None();
    }
    if (!of.is(K::kText)) return NotUnderstood("." + name + "()");
    const MarkedText& text = *of.text;
    QF_RETURN_IF_ERROR(Spend(text.bytes.size()));
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      const bool ascii = std::ranges::all_of(
          argument, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
      if (!ascii || (arguments.size() == 1 && argument.empty()))
        return NotUnderstood("." + name + "() with these characters");
      return Value::Text(text.Strip(name != "rstrip", name != "lstrip", argument));
    }
    if (arguments.size() != 1 || argument.empty()) return NotUnderstood("." + name + "()");
    if (name == "startswith") return Value::Bool(text.bytes.starts_with(argument));
    if (name == "endswith") return Value::Bool(text.bytes.ends_with(argument));
    if (name != "split") return NotUnderstood("." + name + "()");
    List parts;
    size_t begin = 0;
    for (size_t at; (at = text.bytes.find(argument, begin)) != std::string::npos;
         begin = at + argument.size()) {
      QF_RETURN_IF_ERROR(Spend(64 + text.data.size()));
      parts.push_back(Value::Text(text.Slice(begin, at)));
    }
    parts.push_back(Value::Text(text.Slice(begin, text.bytes.size())));
    return Value::Of(std::move(parts));
  }

  Result Filter(const Expression& e) {
    QF_ASSIGN_OR_RETURN(const Value of, Get(e.operands[0]));
    if (e.operands.size() == 1) {
      if (e.text == "trim" && of.is(K::kText)) return Method(of, "strip", {});
      if (e.text == "string" && of.is(K::kText)) return of;
      if (e.text == "list" && of.is(K::kList)) return of;
      if ((e.text == "length" || e.text == "count") && of.is(K::kList))
        return Value::Int(static_cast<int64_t>(of.list->size()));
    }
    return NotUnderstood("the filter " + e.text);
  }

  static Result Test(const Value& of, const Expression& e) {
    const std::string& test = e.text;
    if (test == "defined") return Value::Bool(!of.is(K::kUndefined));
    if (test == "undefined") return Value::Bool(of.is(K::kUndefined));
    if (test == "none" || test == "None") return Value::Bool(of.is(K::kNone));
    if (test == "string") return Value::Bool(of.is(K::kText));
    if (test == "mapping") return Value::Bool(of.is(K::kMessage));
    if (test == "true") return Value::Bool(of.is(K::kBool) && of.number);
    if (test == "false") return Value::Bool(of.is(K::kBool) && !of.number);
    if (test == "iterable" && !of.is(K::kNamespace))
      return Value::Bool(of.is(K::kText) || of.is(K::kList) || of.is(K::kMessage) ||
                         of.is(K::kUndefined));
    return NotUnderstood("the test " + test);
  }

  Result Binary(const Expression& e) {
    const std::string& op = e.text;
    QF_ASSIGN_OR_RETURN(const Value a, Get(e.operands[0]));
    QF_ASSIGN_OR_RETURN(const Value b, Get(e.operands[1]));
    if (op == "==" || op == "!=") {
      QF_ASSIGN_OR_RETURN(const bool equal, Equal(a, b));
      return Value::Bool(equal == (op == "=="));
    }
    if (op == "in" || op == "not in") {
      QF_ASSIGN_OR_RETURN(const bool contains, Contains(b, a));
      return Value::Bool(contains == (op == "in"));
    }
    if (op == "~" || (op == "+" && a.is(K::kText) && b.is(K::kText))) {
      QF_ASSIGN_OR_RETURN(MarkedText text, Printed(a));
      QF_ASSIGN_OR_RETURN(const MarkedText more, Printed(b));
      text.Append(more);
      return Value::Text(std::move(text));
    }
    constexpr int64_t kMax = int64_t{1} << 40;
    if (!a.IsNumber() || !b.IsNumber() || std::abs(a.number) > kMax || std::abs(b.number) > kMax)
      return NotUnderstood("\"" + op + "\" between these values");
    if (op == "+") return Value::Int(a.number + b.number);
    if (op == "-") return Value::Int(a.number - b.number);
    if (op == "%" && b.number != 0) return Value::Int(Modulo(a.number, b.number));
    if (op == "<") return Value::Bool(a.number < b.number);
    if (op == "<=") return Value::Bool(a.number <= b.number);
    if (op == ">") return Value::Bool(a.number > b.number);
    if (op == ">=") return Value::Bool(a.number >= b.number);
    return NotUnderstood("\"" + op + "\" between these values");
  }

  absl::StatusOr<bool> Equal(const Value& a, const Value& b) {
    if (a.IsNumber() && b.IsNumber()) return a.number == b.number;
    if (a.kind != b.kind) return false;
    if (a.is(K::kUndefined) || a.is(K::kNone)) return true;
    if (!a.is(K::kText)) return NotUnderstood("a comparison of lists or messages");
    QF_RETURN_IF_ERROR(Spend(std::min(a.text->bytes.size(), b.text->bytes.size())));
    return a.text->bytes == b.text->bytes;
  }

  absl::StatusOr<bool> Contains(const Value& whole, const Value& part) {
    if (whole.is(K::kText) && part.is(K::kText)) {
      QF_RETURN_IF_ERROR(Spend(whole.text->bytes.size()));
      return whole.text->bytes.find(part.text->bytes) != std::string::npos;
    }
    if (whole.is(K::kMessage) && part.is(K::kText))
      return part.text->bytes == "role" || part.text->bytes == "content";
    if (!whole.is(K::kList))
      return NotUnderstood("\"in\" applied to a value that is not a text, list or message");
    for (const Value& one : *whole.list) {
      QF_ASSIGN_OR_RETURN(const bool equal, Equal(one, part));
      if (equal) return true;
    }
    return false;
  }

  const Conversation& conversation_;
  std::vector<Names> scopes_;
  MarkedText out_;
  uint64_t work_ = 0;
};

}  // namespace

absl::StatusOr<MarkedText> Evaluate(const std::vector<Statement>& statements,
                                    const Conversation& conversation) {
  Evaluator evaluator(conversation);
  QF_RETURN_IF_ERROR(evaluator.Run(statements));
  return evaluator.Take();
}

}  // namespace quantfleet::text
