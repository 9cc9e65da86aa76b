#include "text/tokenizer/expression_properties.h"

#include <utility>

namespace quantfleet::text {

std::string FoldedProperty(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != '_' && c != '-' && c != ' ')
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

std::string_view MembersOfProperty(std::string_view folded) {
  static constexpr std::pair<std::string_view, std::string_view> kNamed[] = {
      {"letter", R"(\p{L})"},
      {"casedletter", R"(\p{L&})"},
      {"uppercaseletter", R"(\p{Lu})"},
      {"lowercaseletter", R"(\p{Ll})"},
      {"titlecaseletter", R"(\p{Lt})"},
      {"modifierletter", R"(\p{Lm})"},
      {"otherletter", R"(\p{Lo})"},
      {"mark", R"(\p{M})"},
      {"combiningmark", R"(\p{M})"},
      {"nonspacingmark", R"(\p{Mn})"},
      {"spacingmark", R"(\p{Mc})"},
      {"enclosingmark", R"(\p{Me})"},
      {"number", R"(\p{N})"},
      {"decimalnumber", R"(\p{Nd})"},
      {"letternumber", R"(\p{Nl})"},
      {"othernumber", R"(\p{No})"},
      {"punctuation", R"(\p{P})"},
      {"connectorpunctuation", R"(\p{Pc})"},
      {"dashpunctuation", R"(\p{Pd})"},
      {"openpunctuation", R"(\p{Ps})"},
      {"closepunctuation", R"(\p{Pe})"},
      {"initialpunctuation", R"(\p{Pi})"},
      {"finalpunctuation", R"(\p{Pf})"},
      {"otherpunctuation", R"(\p{Po})"},
      {"symbol", R"(\p{S})"},
      {"mathsymbol", R"(\p{Sm})"},
      {"currencysymbol", R"(\p{Sc})"},
      {"modifiersymbol", R"(\p{Sk})"},
      {"othersymbol", R"(\p{So})"},
      {"separator", R"(\p{Z})"},
      {"spaceseparator", R"(\p{Zs})"},
      {"lineseparator", R"(\p{Zl})"},
      {"paragraphseparator", R"(\p{Zp})"},
      {"other", R"(\p{C})"},
      {"control", R"(\p{Cc})"},
      {"format", R"(\p{Cf})"},
      {"unassigned", R"(\p{Cn})"},
      {"privateuse", R"(\p{Co})"},
      {"surrogate", R"(\p{Cs})"},
      {"alnum", R"(\p{Alphabetic}\p{Nd})"},
      {"alpha", R"(\p{Alphabetic})"},
      {"ascii", R"(\x00-\x7f)"},
      {"blank", R"(\p{Zs}\t)"},
      {"cntrl", R"(\p{Cc})"},
      {"digit", R"(\p{Nd})"},
      {"lower", R"(\p{Lowercase})"},
      {"upper", R"(\p{Uppercase})"},
      {"print", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}\p{Cf}\p{Co})"},
      {"graph", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co})"},
      {"punct", R"(\p{P})"},
      {"space", kSpaceMembers},
      {"word", kWordMembers},
      {"xdigit", "0-9A-Fa-f"},
  };
  for (const auto& [name, members] : kNamed)
    if (name == folded) return members;
  return {};
}

}  // namespace quantfleet::text
