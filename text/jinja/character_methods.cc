// Methods of texts that look at single characters: cases, classes and padding.
#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/python_characters.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"
#include "text/unicode/properties.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <MarkedText (*kChange)(const MarkedText&)>
Result ChangedText(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  return machine.Made(kChange(of.text().marked), of.text().markup);
}

bool AllOf(std::string_view text, bool (*is)(uint32_t)) {
  if (text.empty()) return false;
  for (; !text.empty(); text.remove_prefix(CharacterBytes(text)))
    if (!is(FirstCharacter(text).value)) return false;
  return true;
}

bool IsPartOfName(uint32_t c) { return c == '_' || IsAlphanumeric(c); }

template <bool (*kIs)(uint32_t)>
Result All(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  return Value(AllOf(of.bytes(), kIs));
}

template <bool (*kIs)(std::string_view)>
Result Whole(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  return Value(kIs(of.bytes()));
}

Result IsAscii(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("isascii", std::move(arguments), {}, 0).status());
  return Value(
      std::ranges::all_of(of.bytes(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

Result IsIdentifier(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("isidentifier", std::move(arguments), {}, 0).status());
  return Value(AllOf(of.bytes(), IsPartOfName) &&
               !text::HasNumericValue(FirstCharacter(of.bytes()).value));
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

constexpr Named<Method> kCharacterMethods[] = {{"lower", ChangedText<Lowered>},
                                               {"casefold", ChangedText<Folded>},
                                               {"upper", ChangedText<Uppered>},
                                               {"title", ChangedText<Titled>},
                                               {"capitalize", ChangedText<Capitalized>},
                                               {"swapcase", ChangedText<CasesSwapped>},
                                               {"isalpha", All<text::IsLetter>},
                                               {"isalnum", All<IsAlphanumeric>},
                                               {"isdigit", All<text::IsDigit>},
                                               {"isdecimal", All<text::IsDecimalDigit>},
                                               {"isnumeric", All<text::HasNumericValue>},
                                               {"isspace", All<IsSpace>},
                                               {"isupper", Whole<IsUpperText>},
                                               {"islower", Whole<IsLowerText>},
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
