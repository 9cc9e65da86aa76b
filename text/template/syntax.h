// A chat template (Jinja) as a tree: texts, outputs, sets, ifs and fors. White space is handled as
// in transformers (trim_blocks, lstrip_blocks). Any other construct becomes a node that says so: it
// fails a template only when it is reached, so that a part about tools does no harm. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

struct Expression {
  enum class Kind {
    kUnread,     // text: what is not understood
    kText,       // text
    kNumber,     // number
    kName,       // text
    kList,       // operands: its elements
    kAttribute,  // operands[0] . text; also operands[0]['text']
    kIndex,      // operands[0][operands[1]]
    kSlice,  // operands[0][a:b:c]; operands: the whole, a, b, c; those left out are kUnread without
             // text
    kCall,   // operands[0](...); keywords: one per argument, empty where it has none
    kFilter,  // operands[0] | text(...)
    kTest,    // operands[0] is text
    kNot,
    kNegative,
    kAnd,
    kOr,
    kBinary,  // text: the operator, "not in" too
    kChoice,  // operands: if so, the condition, if not (kUnread without text: left out)
  };
  Kind kind = Kind::kUnread;
  std::string text;
  int64_t number = 0;
  std::vector<Expression> operands;
  std::vector<std::string> keywords;
};

struct Statement {
  enum class Kind {
    kUnread,  // text: what is not understood
    kText,    // text
    kOutput,  // values[0]
    kSet,     // text, or text.attribute, becomes values[0]
    kIf,      // bodies[i] where values[i] is true; one body more: else
    kFor,  // text: the variable; values[0]: of what; values[1], if any: only those for which it is
           // true; bodies[0]
  };
  Kind kind = Kind::kUnread;
  std::string text, attribute;
  std::vector<Expression> values;
  std::vector<std::vector<Statement>> bodies;
};

// INVALID_ARGUMENT says why the text cannot be parsed at all.
absl::StatusOr<std::vector<Statement>> ReadTemplate(std::string_view text);

}  // namespace quantfleet::text
