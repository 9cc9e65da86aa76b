// How the pre-tokenizer UnicodeScripts cuts a text, as an expression. Pure.
#pragma once

#include <string>

namespace quantfleet::text {

// In Oniguruma's syntax. A match is a run of one script; spaces and characters without a script
// belong to the run before them. Hiragana and Katakana count as Han.
std::string ScriptExpression();

}  // namespace quantfleet::text
