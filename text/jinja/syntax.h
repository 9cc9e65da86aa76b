// A template as a tree of statements and expressions. Plain values; names are numbers, so that
// looking one up compares no texts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

struct Expression {
  enum class Kind {
    kConstant,    // constant
    kName,        // name, text
    kList,        // operands: its elements
    kTuple,       // operands: its elements
    kDictionary,  // operands: key, value, key, value...
    kAttribute,   // operands[0] . text
    kItem,        // operands[0] [ operands[1] ]
    kSlice,       // operands[0] [ operands[1] : [2] : [3] ]; left out: kAbsent
    kCall,        // operands[0] ( arguments )
    kFilter,      // operands[0] | text ( arguments ); of a filter block: operands[0] is kAbsent
    kTest,        // operands[0] is text ( arguments )
    kNot,
    kNegative,
    kPositive,
    kAnd,
    kOr,
    kBinary,   // text: the operator
    kJoin,     // operands joined by ~
    kCompare,  // operands[0] names[0] operands[1] names[1] operands[2]...; names: operators
    kChoice,   // operands: if so, the condition, if not (kAbsent: undefined)
    kAbsent,
  };
  Kind kind = Kind::kAbsent;
  Place place{};
  std::string text{};
  int name = -1;
  Value constant{};
  std::vector<Expression> operands{};
  std::vector<std::string> names{};
  // Of a call, filter or test: one for each operand after the first. "" where it has no name, "*"
  // and "**" for lists and dictionaries of arguments.
};

struct Parameter {
  int name = -1;
  std::string text{};
};

struct Statement {
  enum class Kind {
    kData,      // data
    kOutput,    // values[0]
    kSet,       // target = values[0]
    kSetBlock,  // target = what bodies[0] prints, through the filters values[0] (kAbsent: none)
    kIf,        // bodies[i] where values[i] is true; one body more: else
    kFor,     // target in values[0], where values[1], if it is not kAbsent, is true; bodies: each,
              // else
    kMacro,   // name(parameters); values: defaults of the last of them; bodies[0]
    kCall,    // values[0] is a call that bodies[0], with parameters and their defaults, is given to
    kFilter,  // bodies[0] through values[0]
    kWith,    // targets of operands become values; bodies[0]
    kGeneration,  // bodies[0]
    kBreak,
    kContinue,
    kUnsupported  // text: the statement's name
  };
  Kind kind = Kind::kData;
  Place place{};
  std::string text{};
  int name = -1;
  MarkedText data{};
  Expression target{};  // kName, kTuple of them, or kAttribute of a name (a namespace's)
  std::vector<Expression> targets{};  // of kWith
  std::vector<Expression> values{};
  std::vector<Parameter> parameters{};
  std::vector<std::vector<Statement>> bodies{};
  bool recursive = false;                        // of kFor
  bool uses_caller = false;                      // of kMacro: its body says "caller"
  bool takes_more = false, takes_named = false;  // of kMacro: its body says "varargs", "kwargs"
};

using ExpressionKind = Expression::Kind;
using StatementKind = Statement::Kind;

struct SyntaxTree {
  std::vector<Statement> statements;
  std::vector<std::string> names;  // by number

  int NameOf(std::string_view text) const;  // -1: it does not occur
};

// INVALID_ARGUMENT says what is not Jinja, with line and column. What is Jinja and not carried out
// becomes a kUnsupported statement: it fails only where it is reached.
absl::StatusOr<SyntaxTree> ReadTemplate(std::string_view source);

}  // namespace quantfleet::jinja
