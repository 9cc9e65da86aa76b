// Methods of texts that cut, join and search them.
#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/format_text.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_characters.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// The parts of a text, as values; they are Markup where it is.
class Parts {
 public:
  explicit Parts(const Text& of) : of_(of) {}
  void Add(size_t begin, size_t end) {
    items_.emplace_back(Text{of_.marked.Slice(begin, end), of_.markup});
  }
  void Reverse() { std::ranges::reverse(items_); }
  Result Take(Machine& machine, Sequence::Kind kind = Sequence::Kind::kList) {
    QF_RETURN_IF_ERROR(machine.budget().TakeBytes(of_.marked.bytes.size()));
    QF_RETURN_IF_ERROR(machine.budget().Take(items_.size()));
    return Value::Of(kind, std::move(items_));
  }

 private:
  const Text& of_;
  std::vector<Value> items_;
};

absl::StatusOr<std::string_view> TextOf(std::string_view method,
                                        const std::optional<Value>& value) {
  if (!value || !value->IsText()) return WrongType(method, "a text", value ? *value : Value());
  return value->bytes();
}

// At white space; `most` cuts, negative: all.
void SplitAtSpace(const Text& text, int64_t most, Parts& parts) {
  const std::string_view bytes = text.marked.bytes;
  size_t at = 0;
  const auto skip = [&] {
    while (const size_t space = SpaceBytes(bytes.substr(at), false)) at += space;
  };
  for (skip(); at < bytes.size(); skip()) {
    const size_t begin = at;
    if (most-- == 0) return parts.Add(begin, bytes.size());
    while (at < bytes.size() && SpaceBytes(bytes.substr(at), false) == 0)
      at += CharacterBytes(bytes.substr(at));
    parts.Add(begin, at);
  }
}

void SplitAtSpaceFromRight(const Text& text, int64_t most, Parts& parts) {
  std::string_view rest = text.marked.bytes;
  const auto skip = [&rest] {
    while (const size_t space = SpaceBytes(rest, true)) rest.remove_suffix(space);
  };
  for (skip(); !rest.empty(); skip()) {
    const size_t end = rest.size();
    if (most-- == 0) return parts.Add(0, end);
    while (!rest.empty() && SpaceBytes(rest, true) == 0) rest.remove_suffix(1);
    parts.Add(rest.size(), end);
  }
}

template <bool kFromRight>
Result Split(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("split", std::move(arguments), {"sep", "maxsplit"}, 0));
  QF_ASSIGN_OR_RETURN(int64_t most, WholeOr("split", given[1], -1));
  QF_RETURN_IF_ERROR(machine.budget().Take(of.bytes().size() / 16));
  Parts parts(of.text());
  if (IsNothing(given[0])) {
    kFromRight ? SplitAtSpaceFromRight(of.text(), most, parts)
               : SplitAtSpace(of.text(), most, parts);
    if (kFromRight) parts.Reverse();
    return parts.Take(machine);
  }
  QF_ASSIGN_OR_RETURN(const std::string_view separator, TextOf("split", given[0]));
  if (separator.empty()) return FailedPrecondition("split needs a separator that is not empty");
  const std::string_view bytes = of.bytes();
  if (kFromRight) {
    size_t end = bytes.size();
    for (; most != 0; --most) {
      if (end < separator.size()) break;
      const size_t found = bytes.rfind(separator, end - separator.size());
      if (found == std::string_view::npos) break;
      parts.Add(found + separator.size(), end);
      end = found;
    }
    parts.Add(0, end);
    parts.Reverse();
    return parts.Take(machine);
  }
  size_t begin = 0;
  for (; most != 0; --most) {
    const size_t found = bytes.find(separator, begin);
    if (found == std::string_view::npos) break;
    parts.Add(begin, found);
    begin = found + separator.size();
  }
  parts.Add(begin, bytes.size());
  return parts.Take(machine);
}

template <bool kFromRight>
Result Partition(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("partition", std::move(arguments), {"sep"}, 1));
  QF_ASSIGN_OR_RETURN(const std::string_view separator, TextOf("partition", given[0]));
  if (separator.empty()) return FailedPrecondition("partition needs a separator");
  const std::string_view bytes = of.bytes();
  const size_t found = kFromRight ? bytes.rfind(separator) : bytes.find(separator);
  Parts parts(of.text());
  if (found == std::string_view::npos) {
    if (kFromRight) {
      parts.Add(0, 0);
      parts.Add(0, 0);
    }
    parts.Add(0, bytes.size());
    if (!kFromRight) {
      parts.Add(0, 0);
      parts.Add(0, 0);
    }
  } else {
    parts.Add(0, found);
    parts.Add(found, found + separator.size());
    parts.Add(found + separator.size(), bytes.size());
  }
  return parts.Take(machine, Sequence::Kind::kTuple);
}

Result SplitLines(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("splitlines", std::move(arguments), {"keepends"}, 0));
  std::vector<Value> items;
  for (MarkedText& line : Lines(of.text().marked, TruthOr(given[0], false)))
    items.emplace_back(Text{std::move(line), of.text().markup});
  QF_RETURN_IF_ERROR(machine.budget().TakeBytes(of.bytes().size()));
  QF_RETURN_IF_ERROR(machine.budget().Take(items.size()));
  return Value::Of(Sequence::Kind::kList, std::move(items));
}

template <bool kLeft, bool kRight>
Result StripText(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("strip", std::move(arguments), {"chars"}, 0));
  const MarkedText& text = of.text().marked;
  if (IsNothing(given[0])) return machine.Made(text.Strip(kLeft, kRight), of.text().markup);
  QF_ASSIGN_OR_RETURN(const std::string_view set, TextOf("strip", given[0]));
  return machine.Made(text.Strip(kLeft, kRight, &set), of.text().markup);
}

// The part of the text that find, count, startswith and endswith look at; nullopt: none.
struct Window {
  size_t begin = 0, end = 0, first_character = 0;
};
absl::StatusOr<std::optional<Window>> WindowOf(std::string_view text,
                                               const std::optional<Value>& from,
                                               const std::optional<Value>& to) {
  if (IsNothing(from) && IsNothing(to)) return Window{0, text.size(), 0};
  const auto size = static_cast<int64_t>(CountCharacters(text));
  const auto bound = [size](const std::optional<Value>& at,
                            int64_t otherwise) -> absl::StatusOr<int64_t> {
    if (IsNothing(at)) return otherwise;
    QF_ASSIGN_OR_RETURN(const int64_t index, WholeOr("the method", at, otherwise));
    return index < 0 ? std::max<int64_t>(index + size, 0) : index;
  };
  QF_ASSIGN_OR_RETURN(const int64_t begin, bound(from, 0));
  QF_ASSIGN_OR_RETURN(const int64_t end, bound(to, size));
  if (begin > std::min(end, size)) return std::nullopt;
  return Window{ByteOfCharacter(text, static_cast<size_t>(begin)),
                ByteOfCharacter(text, static_cast<size_t>(std::min(end, size))),
                static_cast<size_t>(begin)};
}

template <bool kAtEnd>
Result StartsWith(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind(kAtEnd ? "endswith" : "startswith",
                                             std::move(arguments), {"affix", "start", "end"}, 1));
  QF_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(of.bytes(), given[1], given[2]));
  std::vector<Value> affixes;
  const Sequence* several = given[0]->if_sequence();
  if (several != nullptr && several->kind == Sequence::Kind::kTuple)
    affixes = several->items;
  else
    affixes.push_back(*given[0]);
  QF_RETURN_IF_ERROR(machine.budget().Take(affixes.size()));
  for (const Value& affix : affixes)
    if (!affix.IsText()) return WrongType("startswith and endswith", "a text", affix);
  if (!window) return Value(false);
  const std::string_view part = of.bytes().substr(window->begin, window->end - window->begin);
  return Value(std::ranges::any_of(affixes, [part](const Value& affix) {
    return kAtEnd ? part.ends_with(affix.bytes()) : part.starts_with(affix.bytes());
  }));
}

template <bool kFromRight, bool kMust>
Result FindText(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("find", std::move(arguments), {"sub", "start", "end"}, 1));
  QF_ASSIGN_OR_RETURN(const std::string_view part, TextOf("find", given[0]));
  QF_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(of.bytes(), given[1], given[2]));
  QF_RETURN_IF_ERROR(machine.budget().Take(of.bytes().size() / 64));
  if (window) {
    const std::string_view text = of.bytes().substr(window->begin, window->end - window->begin);
    const size_t at = kFromRight ? text.rfind(part) : text.find(part);
    if (at != std::string_view::npos)
      return Value(
          static_cast<int64_t>(window->first_character + CountCharacters(text.substr(0, at))));
  }
  if (kMust) return FailedPrecondition("substring not found");
  return Value(int64_t{-1});
}

Result CountText(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("count", std::move(arguments), {"sub", "start", "end"}, 1));
  QF_ASSIGN_OR_RETURN(const std::string_view part, TextOf("count", given[0]));
  QF_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(of.bytes(), given[1], given[2]));
  QF_RETURN_IF_ERROR(machine.budget().Take(of.bytes().size() / 16));
  if (!window) return Value(int64_t{0});
  const std::string_view text = of.bytes().substr(window->begin, window->end - window->begin);
  if (part.empty()) return Value(static_cast<int64_t>(CountCharacters(text)) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++count;
  return Value(count);
}

// Markup escapes what is put into it.
MarkedText For(const Text& into, const Text& text) {
  return into.markup && !text.markup ? Escaped(text.marked) : text.marked;
}

Result ReplaceText(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("replace", std::move(arguments), {"old", "new", "count"}, 2));
  QF_RETURN_IF_ERROR(TextOf("replace", given[0]).status());
  QF_RETURN_IF_ERROR(TextOf("replace", given[1]).status());
  QF_ASSIGN_OR_RETURN(const int64_t count, WholeOr("replace", given[2], -1));
  const Text& text = of.text();
  QF_ASSIGN_OR_RETURN(MarkedText out,
                      Replaced(machine.budget(), text.marked, For(text, given[0]->text()),
                               For(text, given[1]->text()), count));
  return machine.Made(std::move(out), text.markup);
}

Result JoinTexts(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("join", std::move(arguments), {"iterable"}, 1));
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, *given[0]));
  MarkedText out;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!elements[i].IsText()) return WrongType("join", "texts", elements[i]);
    if (i > 0) out.Append(of.text().marked);
    out.Append(For(of.text(), elements[i].text()));
    if (out.bytes.size() > kMaxTextBytes) return machine.budget().TakeBytes(out.bytes.size());
  }
  return machine.Made(std::move(out), of.text().markup);
}

template <bool kAtEnd>
Result RemoveAffix(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("removeprefix", std::move(arguments), {"affix"}, 1));
  QF_ASSIGN_OR_RETURN(const std::string_view affix, TextOf("removeprefix", given[0]));
  const MarkedText& text = of.text().marked;
  const size_t size = text.bytes.size();
  if (kAtEnd ? !of.bytes().ends_with(affix) : !of.bytes().starts_with(affix)) return of;
  return machine.Made(kAtEnd ? text.Slice(0, size - affix.size()) : text.Slice(affix.size(), size),
                      of.text().markup);
}

Result FormatText(Machine& machine, const Value& of, Arguments arguments) {
  return FormatBraces(machine, of.text(), arguments);
}

Result FormatTextMap(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("format_map", std::move(arguments), {"mapping"}, 1));
  const Dictionary* dictionary = given[0]->if_dictionary();
  if (dictionary == nullptr) return WrongType("format_map", "a dict", *given[0]);
  Arguments values;
  for (const auto& [key, value] : dictionary->entries)
    if (key.IsText()) values.named.emplace_back(key.bytes(), value);
  return FormatBraces(machine, of.text(), values);
}

constexpr Named<Method> kTextMethods[] = {{"split", Split<false>},
                                          {"rsplit", Split<true>},
                                          {"partition", Partition<false>},
                                          {"rpartition", Partition<true>},
                                          {"splitlines", SplitLines},
                                          {"strip", StripText<true, true>},
                                          {"lstrip", StripText<true, false>},
                                          {"rstrip", StripText<false, true>},
                                          {"startswith", StartsWith<false>},
                                          {"endswith", StartsWith<true>},
                                          {"find", FindText<false, false>},
                                          {"rfind", FindText<true, false>},
                                          {"index", FindText<false, true>},
                                          {"rindex", FindText<true, true>},
                                          {"count", CountText},
                                          {"replace", ReplaceText},
                                          {"join", JoinTexts},
                                          {"removeprefix", RemoveAffix<false>},
                                          {"removesuffix", RemoveAffix<true>},
                                          {"format", FormatText},
                                          {"format_map", FormatTextMap}};

}  // namespace

std::span<const Named<Method>> TextMethods() { return kTextMethods; }

}  // namespace quantfleet::jinja
