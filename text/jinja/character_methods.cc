// Methods of texts that look at single characters: cases, classes and padding.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"
#include "text/jinja/unicode.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <MarkedText (*kChange)(const MarkedText&)>
Result ChangedText(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  return machine.Made(kChange(of.text().marked), of.text().markup);
}

bool AllOf(std::string_view text, bool (*is)(char32_t)) {
  if (text.empty()) return false;
  for (; !text.empty(); text.remove_prefix(CharacterBytes(text)))
    if (!is(FirstCharacter(text))) return false;
  return true;
}

template <CharacterClass kClass>
bool Has(char32_t c) {
  return IsOf(kClass, c);
}
bool IsPartOfName(char32_t c) { return c == '_' || IsOf(CharacterClass::kAlnum, c); }

template <bool (*kIs)(char32_t)>
Result All(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  return Value(AllOf(of.bytes(), kIs));
}

// Some character has that case, and none the other.
template <CharacterClass kClass, CharacterClass kOther>
Result Cased(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  bool any = false;
  for (std::string_view rest = of.bytes(); !rest.empty();
       rest.remove_prefix(CharacterBytes(rest))) {
    if (IsOf(kOther, FirstCharacter(rest))) return Value(false);
    any = any || IsOf(kClass, FirstCharacter(rest));
  }
  return Value(any);
}

Result IsAscii(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("isascii", std::move(arguments), {}, 0).status());
  return Value(
      std::ranges::all_of(of.bytes(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

Result IsIdentifier(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("isidentifier", std::move(arguments), {}, 0).status());
  return Value(AllOf(of.bytes(), IsPartOfName) &&
               !IsOf(CharacterClass::kDigit, FirstCharacter(of.bytes())));
}

enum class Side { kLeft, kRight, kBoth };

template <Side kSide>
Result Justify(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("the method", std::move(arguments), {"width", "fillchar"}, 1));
  QF_ASSIGN_OR_RETURN(const int64_t width, WholeOr("the method", given[0], 0));
  if (width > kMaxWidth) return FailedPrecondition("a text cannot be made {} wide", width);
  MarkedText fill{" "};
  if (given[1]) {
    if (!given[1]->IsText() || CountCharacters(given[1]->bytes()) != 1)
      return WrongType("the method", "a single character", *given[1]);
    fill = given[1]->text().marked;
  }
  const int64_t missing = width - static_cast<int64_t>(CountCharacters(of.bytes()));
  if (missing <= 0) return of;
  const int64_t left = kSide == Side::kLeft    ? 0
                       : kSide == Side::kRight ? missing
                                               : missing / 2 + (missing & width & 1);
  MarkedText out;
  for (int64_t i = 0; i < left; ++i) out.Append(fill);
  out.Append(of.text().marked);
  for (int64_t i = left; i < missing; ++i) out.Append(fill);
  return machine.Made(std::move(out), of.text().markup);
}

Result ZeroFill(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("zfill", std::move(arguments), {"width"}, 1));
  QF_ASSIGN_OR_RETURN(const int64_t width, WholeOr("zfill", given[0], 0));
  if (width > kMaxWidth) return FailedPrecondition("a text cannot be made {} wide", width);
  const int64_t missing = width - static_cast<int64_t>(CountCharacters(of.bytes()));
  if (missing <= 0) return of;
  const size_t sign = of.bytes().starts_with('-') || of.bytes().starts_with('+') ? 1 : 0;
  MarkedText out = of.text().marked.Slice(0, sign);
  out.Append(std::string(static_cast<size_t>(missing), '0'), false);
  out.Append(of.text().marked, sign, of.bytes().size());
  return machine.Made(std::move(out), of.text().markup);
}

Result ExpandTabs(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("expandtabs", std::move(arguments), {"tabsize"}, 0));
  QF_ASSIGN_OR_RETURN(const int64_t size, WholeOr("expandtabs", given[0], 8));
  if (size > 1000) return FailedPrecondition("a tab cannot be {} wide", size);
  MarkedText out;
  int64_t column = 0;
  const MarkedText& text = of.text().marked;
  for (size_t at = 0, bytes = 0; at < text.bytes.size(); at += bytes) {
    bytes = CharacterBytes(std::string_view(text.bytes).substr(at));
    if (text.bytes[at] == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out.Append(std::string(static_cast<size_t>(spaces), ' '), text.IsData(at));
      column += spaces;
    } else {
      out.Append(text, at, at + bytes);
      column = text.bytes[at] == '\n' || text.bytes[at] == '\r' ? 0 : column + 1;
    }
    if (out.bytes.size() > kMaxTextBytes) return machine.budget().TakeBytes(out.bytes.size());
  }
  return machine.Made(std::move(out), of.text().markup);
}

constexpr Named<Method> kCharacterMethods[] = {
    {"lower", ChangedText<Lowered>},
    {"casefold", ChangedText<Lowered>},
    {"upper", ChangedText<Uppered>},
    {"title", ChangedText<Titled>},
    {"capitalize", ChangedText<Capitalized>},
    {"swapcase", ChangedText<CasesSwapped>},
    {"isalpha", All<Has<CharacterClass::kAlpha>>},
    {"isalnum", All<Has<CharacterClass::kAlnum>>},
    {"isdigit", All<Has<CharacterClass::kDigit>>},
    {"isdecimal", All<Has<CharacterClass::kDigit>>},
    {"isnumeric", All<Has<CharacterClass::kDigit>>},
    {"isspace", All<IsSpace>},
    {"isupper", Cased<CharacterClass::kUpper, CharacterClass::kLower>},
    {"islower", Cased<CharacterClass::kLower, CharacterClass::kUpper>},
    {"isascii", IsAscii},
    {"isidentifier", IsIdentifier},
    {"ljust", Justify<Side::kLeft>},
    {"rjust", Justify<Side::kRight>},
    {"center", Justify<Side::kBoth>},
    {"zfill", ZeroFill},
    {"expandtabs", ExpandTabs}};

}  // namespace

std::span<const Named<Method>> CharacterMethods() { return kCharacterMethods; }

}  // namespace quantfleet::jinja
