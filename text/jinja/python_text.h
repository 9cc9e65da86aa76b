// Values as Python writes them: str() and repr(). Origin is kept. Pure.
#pragma once

#include <string>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

// 1.0, 1e-05, inf: the shortest text that reads back as the number.
std::string RealText(double number);
// str(value): a text is itself.
MarkedText ToText(const Value& value);
void AppendText(const Value& value, MarkedText& out);
// repr(value): a text stands in quotes.
void AppendRepr(const Value& value, MarkedText& out);

}  // namespace quantfleet::jinja
