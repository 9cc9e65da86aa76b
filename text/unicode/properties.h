// What tokenizers and templates ask about characters. Pure.
#pragma once

#include <cstdint>

namespace quantfleet::text {

// Of kNoCharacter, all of these are false.
bool IsWhiteSpace(uint32_t c);   // property White_Space
bool IsNumeric(uint32_t c);      // categories N*
bool IsPunctuation(uint32_t c);  // categories P*, and ASCII's $+<=>^`|~
// Property Alphabetic, marks, decimal digits, connectors and joiners.
bool IsWordCharacter(uint32_t c);
bool IsMark(uint32_t c);            // categories M*
bool IsNonspacingMark(uint32_t c);  // category Mn
bool IsOther(uint32_t c);           // categories Cc, Cf, Co
bool IsLetter(uint32_t c);          // categories L*
bool IsDecimalDigit(uint32_t c);    // category Nd
bool IsDigit(uint32_t c);           // Numeric_Type Decimal or Digit: superscripts too
bool HasNumericValue(uint32_t c);   // Numeric_Type: ideographs of numbers too
bool IsPrintable(uint32_t c);       // a space, and neither C* nor Z*
int CombiningClass(uint32_t c);     // Canonical_Combining_Class; of kNoCharacter 0

bool IsLowercase(uint32_t c);      // property Lowercase
bool IsUppercase(uint32_t c);      // property Uppercase
bool IsCased(uint32_t c);          // property Cased
bool IsCaseIgnorable(uint32_t c);  // property Case_Ignorable

}  // namespace quantfleet::text
