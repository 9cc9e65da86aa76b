#include "text/jinja/access.h"

#include <algorithm>
#include <charconv>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/loop.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

// Methods that would change the value: the sandbox denies that there are any.
constexpr std::string_view kDictionaryChanges[] = {"clear", "pop", "popitem", "setdefault",
                                                   "update"};
constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};

Value Denied(const Value& of, std::string_view name) {
  return Value::Missing(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                    Shown(name, 60), TypeName(of)));
}

Value NoAttribute(const Value& of, std::string_view name) {
  return Value::Missing(of.IsNone() ? fmt::format("'None' has no attribute '{}'", Shown(name, 60))
                                    : fmt::format("'{} object' has no attribute '{}'", TypeName(of),
                                                  Shown(name, 60)));
}

class BoundMethod final : public Callable {
 public:
  BoundMethod(Value of, const Named<Method>& method) : of_(std::move(of)), method_(method) {}
  absl::StatusOr<Value> Call(Machine& machine, Arguments arguments) const override {
    return method_.call(machine, of_, std::move(arguments));
  }
  size_t nesting() const override { return of_.nesting() + 1; }

 private:
  Value of_;
  const Named<Method>& method_;
};

template <typename Names>
bool Has(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != std::end(names);
}

// What Python's getattr finds; nullopt: nothing.
absl::StatusOr<std::optional<Value>> OwnAttribute(Machine& machine, const Value& of,
                                                  std::string_view name) {
  if (name.starts_with("__") && name.ends_with("__") && name.size() > 4) return Denied(of, name);
  if (of.kind() == Value::Kind::kNamespace) {
    const Value* found = of.names().Find(name);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (of.kind() == Value::Kind::kLoop) {
    QF_ASSIGN_OR_RETURN(std::optional<Value> found, of.loop().Attribute(machine, name));
    if (found) return found;
  }
  if (const Named<Method>* method = FindMethod(of, name))
    return Value(std::shared_ptr<const Callable>(std::make_shared<BoundMethod>(of, *method)));
  if (of.if_dictionary() != nullptr && Has(kDictionaryChanges, name)) return Denied(of, name);
  if (const Sequence* sequence = of.if_sequence()) {
    if (sequence->kind == Sequence::Kind::kList && Has(kListChanges, name)) return Denied(of, name);
    // What groupby gives has names for its two elements.
    if (sequence->kind == Sequence::Kind::kTuple && sequence->items.size() == 2) {
      if (name == "grouper") return sequence->items[0];
      if (name == "list") return sequence->items[1];
    }
  }
  return std::nullopt;
}

// Python's rule for an index from the end; nullopt: outside.
std::optional<size_t> Index(int64_t index, size_t size) {
  if (index < 0) index += static_cast<int64_t>(size);
  if (index < 0 || index >= static_cast<int64_t>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

// What Python's of[key] finds; nullopt: nothing.
std::optional<Value> OwnItem(const Value& of, const Value& key) {
  if (const Dictionary* dictionary = of.if_dictionary()) {
    const Value* found = dictionary->Find(key);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (!key.IsWhole()) return std::nullopt;
  if (of.IsText()) {
    const std::string_view bytes = of.bytes();
    const std::optional<size_t> at = Index(key.whole(), CountCharacters(bytes));
    if (!at) return std::nullopt;
    const size_t begin = ByteOfCharacter(bytes, *at);
    return Value(Text{of.text().marked.Slice(begin, begin + CharacterBytes(bytes.substr(begin))),
                      of.text().markup});
  }
  const Sequence* sequence = of.if_sequence();
  if (sequence == nullptr || sequence->kind == Sequence::Kind::kKeys ||
      sequence->kind == Sequence::Kind::kValues || sequence->kind == Sequence::Kind::kItems)
    return std::nullopt;
  const std::optional<size_t> at = Index(key.whole(), sequence->items.size());
  return at ? std::optional(sequence->items[*at]) : std::nullopt;
}

absl::Status Defined(const Value& of) {
  if (!of.IsUndefined()) return absl::OkStatus();
  return FailedPrecondition("{}", of.undefined().why ? *of.undefined().why : "it is undefined");
}

absl::StatusOr<std::optional<int64_t>> SlicePart(const Value& part) {
  if (part.IsNone()) return std::nullopt;
  if (!part.IsWhole()) return WrongType("a slice", "whole numbers", part);
  return std::clamp<int64_t>(part.whole(), -(int64_t{1} << 40), int64_t{1} << 40);
}

// The indices that a slice of so many elements takes.
std::vector<size_t> Indices(std::optional<int64_t> begin, std::optional<int64_t> end, int64_t step,
                            size_t count) {
  const auto size = static_cast<int64_t>(count);
  const auto bound = [&](std::optional<int64_t> at, int64_t otherwise) {
    if (!at) return otherwise;
    const int64_t from_begin = *at < 0 ? *at + size : *at;
    return step > 0 ? std::clamp<int64_t>(from_begin, 0, size)
                    : std::clamp<int64_t>(from_begin, -1, size - 1);
  };
  const int64_t from = bound(begin, step > 0 ? 0 : size - 1), to = bound(end, step > 0 ? size : -1);
  std::vector<size_t> indices;
  for (int64_t i = from; step > 0 ? i < to : i > to; i += step)
    indices.push_back(static_cast<size_t>(i));
  return indices;
}

absl::StatusOr<Value> SliceText(Machine& machine, const Text& text, std::optional<int64_t> begin,
                                std::optional<int64_t> end, int64_t step) {
  const std::string& bytes = text.marked.bytes;
  const size_t count = CountCharacters(bytes);
  QF_RETURN_IF_ERROR(machine.budget().Take(count / 16));
  if (step == 1) {
    const std::vector<size_t> ends = Indices(begin, end, 1, count);
    if (ends.empty()) return machine.Made({}, text.markup);
    const size_t from = ByteOfCharacter(bytes, ends.front());
    const size_t size =
        ByteOfCharacter(std::string_view(bytes).substr(from), ends.back() + 1 - ends.front());
    return machine.Made(text.marked.Slice(from, from + size), text.markup);
  }
  std::vector<size_t> at;  // where each character begins, and the end
  for (size_t i = 0; i < bytes.size(); i += CharacterBytes(std::string_view(bytes).substr(i)))
    at.push_back(i);
  at.push_back(bytes.size());
  MarkedText out;
  for (const size_t i : Indices(begin, end, step, count)) out.Append(text.marked, at[i], at[i + 1]);
  return machine.Made(std::move(out), text.markup);
}

}  // namespace

absl::StatusOr<Value> Attribute(Machine& machine, const Value& of, std::string_view name) {
  QF_RETURN_IF_ERROR(Defined(of));
  QF_ASSIGN_OR_RETURN(std::optional<Value> own, OwnAttribute(machine, of, name));
  if (own) return *std::move(own);
  if (const Dictionary* dictionary = of.if_dictionary())
    if (const Value* found = dictionary->Find(name)) return *found;
  return NoAttribute(of, name);
}

absl::StatusOr<Value> Item(Machine& machine, const Value& of, const Value& key) {
  QF_RETURN_IF_ERROR(Defined(of));
  if (std::optional<Value> own = OwnItem(of, key)) return *std::move(own);
  if (key.IsText()) {
    QF_ASSIGN_OR_RETURN(std::optional<Value> own, OwnAttribute(machine, of, key.bytes()));
    if (own) return *std::move(own);
    return NoAttribute(of, key.bytes());
  }
  return Value::Missing(fmt::format("'{} object' has no such element", TypeName(of)));
}

absl::StatusOr<Value> SliceOf(Machine& machine, const Value& of, const Value& begin,
                              const Value& end, const Value& step) {
  QF_RETURN_IF_ERROR(Defined(of));
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> from, SlicePart(begin));
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> to, SlicePart(end));
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> by, SlicePart(step));
  if (by == 0) return FailedPrecondition("a slice's step cannot be zero");
  if (of.IsText()) return SliceText(machine, of.text(), from, to, by.value_or(1));
  const Sequence* sequence = of.if_sequence();
  if (sequence == nullptr || sequence->kind == Sequence::Kind::kKeys ||
      sequence->kind == Sequence::Kind::kValues || sequence->kind == Sequence::Kind::kItems)
    return FailedPrecondition("a value of type {} cannot be sliced", TypeName(of));
  std::vector<Value> items;
  for (const size_t i : Indices(from, to, by.value_or(1), sequence->items.size()))
    items.push_back(sequence->items[i]);
  QF_RETURN_IF_ERROR(machine.budget().Take(items.size()));
  return Value::Of(sequence->kind, std::move(items));
}

absl::StatusOr<Value> Path(Machine& machine, const Value& of, const Value& path) {
  if (!path.IsText()) return Item(machine, of, path);
  Value at = of;
  std::string_view rest = path.bytes();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool digits = error == std::errc() && end == part.data() + part.size() && number >= 0;
    QF_ASSIGN_OR_RETURN(at, Item(machine, at, digits ? Value(number) : Value::Plain(part)));
    if (dot == std::string_view::npos) return at;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace quantfleet::jinja
