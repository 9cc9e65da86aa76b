#include "text/template/evaluate.h"

#include <gmock/gmock.h>

namespace quantfleet::text {
namespace {

using ::testing::HasSubstr;

const std::vector<ChatMessage> kThree = {{"user", "Hi"}, {"assistant", "Ho"}, {"user", "Why?"}};

absl::StatusOr<MarkedText> Made(std::string_view text) {
  QF_ASSIGN_OR_RETURN(const std::vector<Statement> statements, ReadTemplate(text));
  return Evaluate(statements, {kThree, {"<s>", "</s>"}, 0});
}

std::string Output(std::string_view text) {
  const auto made = Made(text);
  return made.ok() ? made->bytes : "error: " + Message(made.status());
}

// Each line is what transformers 5.24 makes of it.
TEST(Evaluate, AsJinjaDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ 'a' 'b' + 'c' ~ 1 }}", "abc1"},
      {"{{ 1 + 2 == 3 and not false }}", "True"},
      {"{{ none }}{{ undefined_thing }}", "None"},
      {"{{ 'x' if messages|length > 9 }}", ""},
      {"{{ 'x' if false else 'y' if true else 'z' }}", "y"},
      {"{{ not messages is defined or 'a' == 'a' }}", "True"},
      {"{{ -1 % 3 }}", "2"},
      {"{{ messages[-1].content }}{{ messages[9] }}", "Why?"},
      {"{% for m in messages[1:] %}{{ loop.index0 }}{{ m['content'] }}{% endfor %}", "0Ho1Why?"},
      {"{% for m in messages[::-1] %}{{ m.content }}{% endfor %}", "Why?HoHi"},
      {"{% for m in messages if m.role == 'user' %}{{ loop.length }}{{ loop.last }}{% endfor %}",
       "2False2True"},
      {"{% for m in nothing %}x{% endfor %}", ""},
      // What is set in a loop ends with its turn, what is set in a namespace does not.
      {"{% set a = 1 %}{% for m in messages %}{{ a }}{% set a = 2 %}{% endfor %}{{ a }}", "1111"},
      {"{% set n = namespace(a=1) %}{% for m in messages %}{% set n.a = n.a + 1 %}{% endfor %}{{ "
       "n.a }}",
       "4"},
      {"{% if true %}{% set a = 2 %}{% endif %}{{ a }}", "2"},
      {"{{ 'a' in 'cat' }}{{ 'x' not in ['a', 'x'] }}{{ 'role' in messages[0] }}", "TrueFalseTrue"},
      {"{{ ' a '|trim ~ ' b '.strip() ~ 'xxc'.lstrip('x') ~ 'd\n'.rstrip() }}", "abcd"},
      {"{{ 'a</t>b</t>c'.split('</t>')[-1] }}", "c"},
      {"{{ messages[0].get('tool_calls') }}{{ messages[0].tool_calls is defined }}", "NoneFalse"},
      {"{{ tools is none }}{{ strftime_now is defined }}", "TrueTrue"},
      {"{% generation %}a{% endgeneration %}{# b #}c", "ac"},
      {"{% if false %}a{% elif true %}b{% else %}c{% endif %}", "b"},
      {"{{ bos_token + eos_token }}", "<s></s>"},
      {"{{ '}}' }}", "}}"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Output(text), expected) << text;
}

// A branch that is not taken may hold anything.
TEST(Evaluate, WhatIsNotReachedNeedNotBeUnderstood) {
  EXPECT_EQ(
      Output("{% if tools %}{% for k, v in tools|items %}{{ {'a': [1.5]} | tojson(indent=4) }}{% "
             "endfor %}{% endif %}a"),
      "a");
  EXPECT_EQ(Output("{% macro f(x) %}{{ x }}{% endmacro %}a"), "a");
  EXPECT_EQ(Output("{% set x = messages | map(attribute='role') | list %}a"), "a");
  EXPECT_EQ(Output("{{ 'a' if not tools else tools[0].x.y() }}"), "a");
  EXPECT_EQ(Output("{{ tools is not none and tools|first }}"), "False");
}

TEST(Evaluate, SaysWhatItDoesNotUnderstand) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ messages | tojson }}", "the filter tojson"},
      {"{% set x = messages | map(attribute='role') | list %}{{ x }}", "the filter map"},
      {"{{ f(1) }}", "a call"},
      {"{{ 'a'.upper() }}", ".upper()"},
      {"{{ 'a' + 1 }}", "\"+\""},
      {"{{ nothing.at.all }}", ".at"},
      {"{{ messages }}", "the text of a list"},
      {"{% for c in 'abc' %}{{ c }}{% endfor %}", "not a list"},
      {"{% for a, b in messages %}{% endfor %}", "several variables"},
      {"{% break %}", "the statement \"break\""},
      {"{% set x %}a{% endset %}", "a set block"},
      {"{{ 1 if }}", "an expression"},
      {"{{ 'a' is divisibleby 2 }}", "an expression"},
      {"{{ '\\d' }}", "an expression"},
      {"{{ strftime_now('%c') }}", "strftime_now"},
      {"{{ messages == messages }}", "comparison"},
  };
  for (const auto& [text, what] : cases) {
    const auto made = Made(text);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kUnimplemented) << text;
    EXPECT_THAT(Message(made.status()), HasSubstr(what)) << text;
  }
}

// Found by the fuzzer: it was not understood without a word.
TEST(Evaluate, SubscriptOfNothing) {
  EXPECT_EQ(Output("{{ messages[] }}"), "error: an expression, near \"]\"");
}

TEST(Evaluate, RefusalIsTheTemplatesOwn) {
  const auto made = Made("{{ raise_exception('not so') }}");
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(made.status()), "not so");
}

TEST(Evaluate, EndsInBoundedTimeAndMemory) {
  std::string loops, ends;
  for (int i = 0; i < 40; ++i) {
    loops += "{% for a in messages %}";
    ends += "{% endfor %}";
  }
  EXPECT_EQ(Made(loops + ends).status().code(), absl::StatusCode::kResourceExhausted);
  std::string doubling = "{% set x = 'ab' %}";
  for (int i = 0; i < 100; ++i) doubling += "{% set x = x + x %}";
  EXPECT_EQ(Made(doubling).status().code(), absl::StatusCode::kResourceExhausted);
  std::string deep = "{{ ", sum = "{{ 1";
  for (int i = 0; i < 100000; ++i) deep += "(", sum += " + 1";
  EXPECT_FALSE(Made(deep + " }}").ok());
  EXPECT_EQ(Made(sum + " }}").status().code(), absl::StatusCode::kUnimplemented);
  std::string ifs;
  for (int i = 0; i < 100000; ++i) ifs += "{% if true %}";
  EXPECT_EQ(ReadTemplate(ifs).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Evaluate, BlocksThatDoNotMatch) {
  for (const char* bad : {"{% if x %}", "{% endif %}", "{% for a in b %}{% endif %}",
                          "{% if x %}{% else %}{% elif y %}{% endif %}", "{% else %}",
                          "{% raw %}{% endraw %}", "{% macro f() %}"})
    EXPECT_EQ(ReadTemplate(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
}

}  // namespace
}  // namespace quantfleet::text
