// What templates come out as. Every expected text is transformers 5.24's, with Jinja 3.1.6, for the
// same template and messages; tests/e2e/test_templates.py asks it about whole published templates.
#include "text/jinja/template.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "text/jinja/json_values.h"

namespace quantfleet::jinja {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kNow = 1795955696;  // 2026-11-29 12:34:56 in Greenwich

Variables Usual() {
  const boost::json::value messages = boost::json::parse(
      R"([{"role":"user","content":"Hi"},{"role":"assistant","content":"Ho"},
          {"role":"user","content":"Why?"}])");
  return {{"messages", *FromJson(messages)},  {"tools", Value(None{})},
          {"documents", Value(None{})},       {"add_generation_prompt", Value(false)},
          {"bos_token", Value::Plain("<s>")}, {"eos_token", Value::Plain("</s>")}};
}

absl::StatusOr<MarkedText> Made(std::string_view source) {
  const auto read = Template::Read(source);
  QF_RETURN_IF_ERROR(read.status());
  return read->Render(Usual(), kNow);
}

std::string Output(std::string_view source) {
  const auto made = Made(source);
  return made.ok() ? made->bytes : "error: " + Message(made.status());
}

TEST(Template, AsTransformersDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ 'a' 'b' + 'c' ~ 1 }}", "abc1"},
      {"{{ none }}{{ undefined_thing }}{{ true }}{{ 1.0 }}{{ 1e20 }}{{ 1/3 }}{{ 0.00001 }}",
       "NoneTrue1.01e+200.33333333333333331e-05"},
      {"{{ [1, 'a', none, true, 1.5, {'k': [(), (1,)]}] }}",
       "[1, 'a', None, True, 1.5, {'k': [(), (1,)]}]"},
      {"{{ \"it's\" }}{{ [\"it's\", 'a\"b', 'x\\n\\\\'] }}", "it's[\"it's\", 'a\"b', 'x\\n\\\\']"},
      {"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2.5 // 1 }}",
       "-4 2 3.5 1024 0.5 -3.0"},
      {"{{ 1 < 2 < 3 }}{{ 1 < 2 > 3 }}{{ 'a' in 'cat' }}{{ 'x' not in ['x'] }}{{ 1 == 1.0 == true "
       "}}",
       "TrueFalseTrueFalseTrue"},
      {"{{ 'x' if false }}|{{ 'x' if false else 'y' if true else 'z' }}", "|y"},
      {"{{ not none and 'last' }}{{ '' or 'first' }}{{ 0 and x.y.z }}", "lastfirst0"},
      {"{{ 'hello'[1] }}{{ 'hello'[-1] }}{{ 'hello'[::-1] }}{{ 'hello'[1:3] }}{{ 'hello'[-3:] }}{{ "
       "[1,2,3,4][::2] }}{{ 'grüße'[2:5] }}",
       "eoollehelllo[1, 3]üße"},
      {"{{ messages[9] }}{{ messages[0]['nothing'] }}{{ messages[0].nothing }}{{ none.x }}{{ (1).x "
       "}}",
       ""},
      {"{{ 'a' * 3 }}{{ [1] * 2 }}{{ 3 * 'ab' }}{{ 'ab' * -1 }}", "aaa[1, 1]ababab"},
      {"{{ '%s is %d, %5.2f|%-4s|%04d|%x' % ('a', 3, 2.5, 'b', 7, 255) }}",
       "a is 3,  2.50|b   |0007|ff"},
      {"{{ '{} {1} {x!r} {y:>5}|{z:.2f}|{0:^7}'.format('a', 'b', x='c', y='d', z=1) if false else "
       "'{0} {1} {x!r} {y:>5}|{z:.2f}|{0:^7}'.format('a', 'b', x='c', y='d', z=1) }}",
       "a b 'c'     d|1.00|   a   "},
      {"{{ 'grüße'|length }}{{ '🙂e'|length }}{{ messages|length }}{{ {'a':1}|length }}", "5231"},
      {"{{ ' a '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ 'a b'|upper }}|{{ 'A B'|lower }}|{{ 'hELLO "
       "wORLD-x (y'|title }}|{{ 'hELLO'|capitalize }}",
       "a|a|A B|a b|Hello World-X (Y|Hello"},
      {"{{ 'straße'|upper }}{{ 'ÄÖ'|lower }}{{ 'ß'.upper() }}", "STRASSEäöSS"},
      {"{{ 'a.b.c'.split('.') }}{{ 'a.b.c'.split('.', 1) }}{{ 'a.b.c'.rsplit('.', 1) }}{{ ' a  b "
       "'.split() }}{{ ' a  b c '.split(none, 1) }}{{ ''.split(',') }}{{ '  a b  c '.rsplit(none, "
       "1) }}",
       "['a', 'b', 'c']['a', 'b.c']['a.b', 'c']['a', 'b']['a', 'b c ']['']['  a b', 'c']"},
      {"{{ 'abcabc'.replace('b', 'X') }}{{ 'abcabc'.replace('b', 'X', 1) }}{{ 'ab'.replace('', "
       "'-') }}{{ 'ab'|replace('a', 1) }}",
       "aXcaXcaXcabc-a-b-1b"},
      {"{{ 'abc'.startswith('ab') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('bc') }}{{ "
       "'abc'.find('c') }}{{ 'äbc'.index('c') }}{{ 'abca'.count('a') }}{{ 'abca'.rfind('a') }}",
       "TrueTrueTrue2223"},
      {"{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.partition('x') }}",
       "('a', '=', 'b=c')('a=b', '=', 'c')('abc', '', '')"},
      {"{{ 'a\nb\\r\\nc\\n'.splitlines() }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') "
       "}}",
       "['a', 'b', 'c']bcab"},
      {"{{ 'xxaxx'.strip('x') }}{{ '\\n\\n a \\n'.lstrip('\\n') }}|{{ 'a\\n '.rstrip() }}|",
       "a a \n|a|"},
      {"{{ ', '.join(['a', 'b']) }}{{ ['a', 1, none]|join('-') }}{{ messages|join(', ', "
       "attribute='content') }}",
       "a, ba-1-NoneHi, Ho, Why?"},
      {"{{ 'ab1'.isalnum() }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ ' '.isspace() }}{{ "
       "'Ab'.isupper() }}{{ 'ab'.islower() }}{{ 'ab'.title() }}{{ \"they're\".title() }}{{ "
       "'aB'.swapcase() }}",
       "TrueTrueTrueTrueFalseTrueAbThey'ReAb"},
      {"{{ '7'.zfill(3) }}{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}|{{ 'ab'.center(5, '*') }}",
       "007a  |..a|**ab*"},
      {"{{ {'b': 1, 'a': [1.0, none, true, 'ü<\"\\n\\u007f']} | tojson }}",
       "{\"b\": 1, \"a\": [1.0, null, true, \"ü<\\\"\\n\"]}"},
      {"{{ {'b': 1, 'a': {}, 'c': [], 'd': [1, {'x': 'y'}]} | tojson(indent=2) }}",
       "{\n  \"b\": 1,\n  \"a\": {},\n  \"c\": [],\n  \"d\": [\n    1,\n    {\n      \"x\": "
       "\"y\"\n    }\n  ]\n}"},
      {"{{ {'b': 'ü🙂', 'a': 2} | tojson(sort_keys=true, ensure_ascii=true, separators=(',', ':')) "
       "}}",
       "{\"a\":2,\"b\":\"\\u00fc\\ud83d\\ude42\"}"},
      {"{{ 'x' | tojson }}{{ none | tojson }}{{ [1e30, 1.5, 100000.0] | tojson }}{{ {1: 2, true: "
       "3, none: 4} | tojson }}",
       "\"x\"null[1e+30, 1.5, 100000.0]{\"1\": 3, \"null\": 4}"},
      {"{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb' | indent('> ', "
       "blank=true) }}",
       "a\n    b\n\n    c|  a\n  b|a\n> \n> b"},
      {"{{ x | default('d') }}{{ none | default('d') }}{{ '' | default('d', true) }}{{ x | d }}",
       "dNoned"},
      {"{{ [3,1,2] | sort }}{{ ['b','A','c'] | sort }}{{ ['b','A'] | sort(case_sensitive=true) "
       "}}{{ [1,2] | sort(reverse=true) }}{{ messages | sort(attribute='content') | "
       "map(attribute='content') | list }}",
       "[1, 2, 3]['A', 'b', 'c']['A', 'b'][2, 1]['Hi', 'Ho', 'Why?']"},
      {"{{ ['a','A','b'] | unique | list }}{{ [1,2,1] | unique | join(',') }}{{ [3,1] | max }}{{ "
       "[3,1] | min }}{{ [1,2] | sum }}{{ [] | max }}",
       "['a', 'b']1,2313"},
      {"{{ [1,2,3] | first }}{{ [1,2,3] | last }}{{ 'abc' | first }}{{ [] | first }}{{ 'abc' | "
       "reverse }}{{ [1,2] | reverse | list }}{{ 'ab' | list }}",
       "13acba[2, 1]['a', 'b']"},
      {"{{ messages | map(attribute='role') | list }}{{ ['a','b'] | map('upper') | join }}{{ "
       "[{'a':1},{}] | map(attribute='a', default=0) | list }}",
       "['user', 'assistant', 'user']AB[1, 0]"},
      {"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}{{ "
       "messages | rejectattr('role', 'in', ['user']) | list | length }}",
       "['Hi', 'Why?']1"},
      {"{{ [1,0,2] | select | list }}{{ [1,2,3] | select('odd') | list }}{{ [1,2,3] | reject('>', "
       "1) | list }}{{ messages | selectattr('nothing') | list }}",
       "[1, 2][1, 3][1][]"},
      {"{{ none | selectattr('a') | list }}{{ none | map('upper') | list }}", "[][]"},
      {"{{ {'b': 2, 'A': 1} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value') }}{{ {'a': 1} "
       "| items | list }}{{ x | items | list }}",
       "[('A', 1), ('b', 2)][('b', 1), ('a', 2)][('a', 1)][]"},
      {"{% for k, v in {'b': 2, 'a': 1}.items() %}{{ k }}={{ v }},{% endfor %}{% for k in {'b': 2, "
       "'a': 1} %}{{ k }}{% endfor %}",
       "b=2,a=1,ba"},
      {"{{ {'a': 1}.get('b') }}{{ {'a': 1}.get('b', 2) }}{{ {'a': 1}.keys() | list }}{{ {'a': "
       "1}.values() }}{{ {'a': 1}.items() }}",
       "None2['a']dict_values([1])dict_items([('a', 1)])"},
      {"{{ {'items': 3}['items'] }}{{ {'x': 3}.x }}{{ {'a': 1}.items is callable }}", "33True"},
      {"{% for m in messages | groupby('role') %}{{ m.grouper }}:{{ m.list | length }};{% endfor "
       "%}",
       "assistant:1;user:2;"},
      {"{{ [1,2,3,4,5] | batch(2) | list }}{{ [1,2,3] | batch(2, 0) | list }}{{ [1,2,3,4,5] | "
       "slice(2) | list }}",
       "[[1, 2], [3, 4], [5]][[1, 2], [3, 0]][[1, 2, 3], [4, 5]]"},
      {"{{ '3' | int }}{{ 'x' | int }}{{ 'x' | int(7) }}{{ '3.7' | int }}{{ 'ff' | int(base=16) "
       "}}{{ 3.9 | int }}{{ '1.5' | float }}{{ -3 | abs }}{{ 2.5 | round }}{{ 3.14159 | round(2) "
       "}}{{ 2.1 | round(method='ceil') }}",
       "307325531.532.03.143.0"},
      {"{{ ('a b c d e ' * 30) | truncate(20) }}{{ 'abc' | center(7) }}|{{ 'a b  c' | wordcount "
       "}}{{ 'a b/ü' | urlencode }}",
       "a b c d e a b c...  abc  |3a%20b/%C3%BC"},
      {"{{ '<a> & \"b\"' | e }}{{ '<b>' | safe }}{{ '<b>' | safe + '<i>' }}{{ ('<b>' | safe) ~ "
       "'<i>' }}{{ '%s' | safe | format('<x>') }}{{ '<b>' | safe | string + '<' }}",
       "&lt;a&gt; &amp; &#34;b&#34;<b><b>&lt;i&gt;<b><i>&lt;x&gt;<b>&lt;"},
      {"{{ 1 is number }}{{ true is number }}{{ true is boolean }}{{ 1 is integer }}{{ true is "
       "integer }}{{ 1.0 is float }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}{{ "
       "'a' is iterable }}{{ 1 is iterable }}{{ {} is sequence }}",
       "TrueTrueTrueTrueFalseTrueTrueTrueTrueTrueFalseTrue"},
      {"{{ x is defined }}{{ messages is defined }}{{ x is undefined }}{{ none is none }}{{ x is "
       "none }}{{ true is true }}{{ 1 is true }}{{ x is string }}{{ x is iterable }}{{ 3 is odd "
       "}}{{ 4 is even }}{{ 4 is divisibleby 2 }}",
       "FalseTrueTrueTrueFalseTrueFalseFalseTrueTrueTrueTrue"},
      {"{{ 1 is eq 1 }}{{ 1 is ne 1 }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 1 is in [1] }}{{ 1 is not "
       "in [1] }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 'upper' is filter }}{{ none is sameas none "
       "}}",
       "TrueFalseTrueTrueTrueFalseTrueTrueTrueTrue"},
      {"{{ x == y }}{{ x == none }}{{ x ~ 'a' }}{{ x | length }}{{ x | list }}{{ x | upper }}|{{ x "
       "or 'z' }}{{ 'a' in x }}",
       "TrueFalsea0[]|zFalse"},
      {"{% set a = 1 %}{% for m in messages %}{{ a }}{% set a = 2 %}{{ a }}{% endfor %}{{ a }}",
       "1212121"},
      {"{% set n = namespace(a=1) %}{% for m in messages %}{% set n.a = n.a + 1 %}{% endfor %}{{ "
       "n.a }}{{ n['a'] }}{{ n.b is defined }}",
       "44False"},
      {"{% if true %}{% set a = 2 %}{% endif %}{{ a }}{% set b %}x{{ a }}y{% endset %}{{ b }}{% "
       "set c | upper %}ab{% endset %}{{ c }}",
       "2x2yAB"},
      {"{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.index0 }}{{ loop.first "
       "}}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ (loop.previtem or {}).content }}{{ "
       "(loop.nextitem or {}).content }}|{% endfor %}",
       "10TrueFalse22Why?|21FalseTrue21Hi|"},
      {"{% for i in range(5) %}{% if i == 3 %}stop{% break %}{% endif %}{% if i == 1 %}skip{% "
       "continue %}{% endif %}{{ i }}{% endfor %}",
       "0skip2stop"},
      {"{% for i in [] %}x{% else %}none{% endfor %}{% for i in [1] %}x{% else %}none{% endfor "
       "%}{% for c in 'añ🙂' %}{{ c }},{% endfor %}{% for i in x %}never{% endfor %}",
       "nonexa,ñ,🙂,"},
      {"{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% set p, q = 1, 2 "
       "%}{{ p }}{{ q }}",
       "12312"},
      {"{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }}{% endfor %}{{ "
       "range(1, 10, 4) | list }}{{ range(3) }}",
       "aTruebFalseaTrue[1, 5, 9]range(0, 3)"},
      {"{% for i in [1, [2, [3]]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i "
       "}}{{ loop.depth }}{% endif %}{% endfor %}",
       "11(22(33))"},
      {"{% macro f(a, b='x', c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ "
       "f(1, c=3) }}{{ f(b=1) }}",
       "1xx1221x311"},
      {"{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}{{ "
       "f(1) | upper }}",
       "321010"},
      {"{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, k=3) }}{{ f(*[4, 5], "
       "**{'z': 6}) }}",
       "(1, 2){'k': 3}(4, 5){'z': 6}"},
      {"{% macro box(t) %}<{{ t }}>{{ caller('in') }}</{{ t }}>{% endmacro %}{% call(x) box('b') "
       "%}{{ x }}side{% endcall %}",
       "<b>inside</b>"},
      {"{% set x = 'outer' %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 'later' %}{{ f() }}{% "
       "for x in [1] %}{{ f() }}{% endfor %}",
       "laterlater"},
      {"{% filter upper | replace('A', 'b') %}a{{ 'c' }}{% endfilter %}{% with a = 1, b = 2 %}{{ a "
       "}}{{ b }}{% endwith %}{{ a }}",
       "bC12"},
      {"{% generation %}a{% set z = 1 %}{% endgeneration %}{{ z }}{# c #}{% raw %}{{ x }}{% endraw "
       "%}",
       "a{{ x }}"},
      {"{{ ''.__class__ }}{{ [].append }}{{ {}.update }}{{ ''.__class__ is defined }}", "False"},
      {"{{ strftime_now('%Y-%m-%d %d %b %Y %H:%M %A') }}{{ strftime_now is defined }}",
       "2026-11-29 29 Nov 2026 12:34 SundayTrue"},
      {"{{ '\\x41\\u00e4\\101\\d\\'' }}{{ 0x1F }}{{ 1_000 }}{{ 0b11 }}{{ 1.5e3 }}",
       "AäA\\d'31100031500.0"},
      {"{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}{{ {'a': 1, 'a': 2} }}{{ (1, 2) + (3,) }}{{ [1] "
       "+ [2] }}",
       "{'a': 1, 'b': 2}{'x': 1}{'a': 2}(1, 2, 3)[1, 2]"},
      {"  {%- if true %}  \n  a  {% endif -%}  b\n  {% if true %}\nc\n  {% endif %}\nd\n",
       "  \n  a  b\nc\nd"},
      {"a\n  {% if true %}\n  b\n  {% endif %}\nc  {% if true %}  d{% endif %}\n\n",
       "a\n  b\nc    d"},
      {"a\n  {{ 1 }}\n  {{- 2 -}}  \n b\n  {# c #}\nd {%+ if true %} e{% endif +%}\nf",
       "a\n  12b\nd  e\nf"},
      {"{{ messages[0] }}{{ messages[-1]['content'] }}{{ messages[1:] | map(attribute='content') | "
       "join }}",
       "{'role': 'user', 'content': 'Hi'}Why?HoWhy?"},
      {"{{ [1, 2] == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ (1,) == [1] }}{{ 'a' < 'b' }}{{ [1, "
       "2] < [1, 3] }}",
       "TrueTrueFalseTrueTrue"},
      {"{{ (messages | selectattr('x')) and 'a generator is true' }}", "a generator is true"},
      {"{% set g = [1, 2] | map('string') %}{{ g | list }}{{ g | list }}", "['1', '2'][]"},
      {"{{ ['a'] | map('tojson') | list }}{{ ' x ' | map('trim') | join('.') }}{{ 'tEST' | string "
       "| capitalize }}",
       "['\"a\"'].x.Test"},
      {"{{ 'a' ~ none ~ true ~ 1.5 ~ [1] }}{{ (x if false) is defined }}", "aNoneTrue1.5[1]False"},
      {"{{ 'aXbX'.lower().split('x')[0] }}{{ ('abc' | list)[1] }}{{ 'abc'.upper()[0] }}{{ "
       "messages[0].content.strip().lower() }}",
       "abAhi"},
  };
  for (const auto& [source, expected] : cases) EXPECT_EQ(Output(source), expected) << source;
}

// The C library maps characters one by one.
TEST(Template, CasesAreThoseOfWords) {
  EXPECT_EQ(Output("{{ 'ΟΔΟΣ Σ' | lower }}"), "οδος σ");
  EXPECT_EQ(Output("{{ 'straße ﬁn' | upper }}"), "STRASSE FIN");
  EXPECT_EQ(Output("{{ 'ﬁn STRAßE' | capitalize }}"), "Fin straße");
  EXPECT_EQ(Output("{{ 'x-ßa' | title }} {{ 'x-ßa'.title() }}"), "X-SSa X-Ssa");
  EXPECT_EQ(Output("{{ 'İ'.lower() | length }} {{ '²'.isdigit() }} {{ '一'.isnumeric() }}"),
            "2 True True");
}

TEST(Template, ErrorsNameLineAndColumn) {
  const std::tuple<const char*, absl::StatusCode, const char*> cases[] = {
      {"{{ x.y }}", absl::StatusCode::kFailedPrecondition, "line 1, column 5: 'x' is undefined"},
      {"a\n b{{ 1 +\n 'a' }}", absl::StatusCode::kFailedPrecondition, "line 2, column 8"},
      {"{{ messages[0].x.y }}", absl::StatusCode::kFailedPrecondition,
       "'dict object' has no attribute 'x'"},
      {"{{ f(1) }}", absl::StatusCode::kFailedPrecondition, "'f' is undefined"},
      {"{% for m in none %}{% endfor %}", absl::StatusCode::kFailedPrecondition, "iterated"},
      {"{% for a, b in messages[0].content * 2 %}{% endfor %}",
       absl::StatusCode::kFailedPrecondition, "assigned to 2 names"},
      {"{{ undefined_thing | tojson }}", absl::StatusCode::kFailedPrecondition, "JSON"},
      {"{{ 1 / 0 }}", absl::StatusCode::kFailedPrecondition, "division by zero"},
      {"{{ 'a' | pprint }}", absl::StatusCode::kUnimplemented, "the filter \"pprint\""},
      {"{{ 'a' is odd_thing }}", absl::StatusCode::kUnimplemented, "the test \"odd_thing\""},
      {"{% include 'x' %}", absl::StatusCode::kUnimplemented, "include"},
      {"{% set x.y = 1 %}", absl::StatusCode::kFailedPrecondition, "not a namespace"},
      {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", absl::StatusCode::kFailedPrecondition,
       "at most 1"},
      {"{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", absl::StatusCode::kFailedPrecondition,
       "\"b\""},
      {"{{ [1, 'a'] | sort }}", absl::StatusCode::kFailedPrecondition, "not possible"},
      {"{{ 9223372036854775807 + 1 }}", absl::StatusCode::kResourceExhausted, "too large"},
  };
  for (const auto& [source, code, what] : cases) {
    const auto made = Made(source);
    EXPECT_EQ(made.status().code(), code) << source;
    EXPECT_THAT(Message(made.status()), HasSubstr(what)) << source;
    EXPECT_THAT(Message(made.status()), HasSubstr("line ")) << source;
  }
}

// In the words of the template, which speak to the client.
TEST(Template, RefusalIsTheTemplatesOwn) {
  const auto made = Made("{{ raise_exception('not so') }}");
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(made.status()), "not so");
}

// What is not reached need not be there.
TEST(Template, BranchesThatAreNotTakenMayHoldAnything) {
  EXPECT_EQ(Output("{% if tools %}{{ x | nothing }}{% include 'y' %}{% endif %}a"), "a");
  EXPECT_EQ(Output("{{ 'a' if not tools else tools[0].x.y() }}"), "a");
}

TEST(Template, WhatIsNotJinjaIsRefusedWhereItStands) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ x", "line 1, column 5"},
      {"{% if x }}", "line 1, column 9"},
      {"a\n{# x", "line 2, column 1"},
      {"{{ 'x }}", "line 1, column 4"},
      {"{{ x) }}", "line 1, column 5"},
      {"{{ 99999999999999999999 }}", "too large"},
      {"{{ \x01 }}", "unexpected character"},
      {"{{ 1 if }}", "expected an expression"},
      {"{{ a b }}", "expected \"}}\""},
      {"{{ a is }}", "expected a name"},
      {"{{ a. }}", "expected a name"},
      {"{{ f(a=1, 2) }}", "without a name"},
      {"{% if x %}", "endif"},
      {"{% endif %}", "unknown statement"},
      {"{% for a in b %}{% endif %}", "unknown statement \"endif\""},
      {"{% if x %}{% else %}{% elif y %}{% endif %}", "elif"},
      {"{% macro f() %}", "endmacro"},
      {"{% break %}", "outside of a loop"},
      {"{% for x in y %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", "outside of a loop"},
      {"{% set 1 = 2 %}", "a name to assign to"},
      {"{% do x %}", "unknown statement \"do\""},
      {"{% raw %}x", "no end"},
      {"{{ '\\x4' }}", "escape"},
      {"\xff", "UTF-8"},
  };
  for (const auto& [source, what] : cases) {
    const auto read = Template::Read(source);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_THAT(Message(read.status()), HasSubstr(what)) << source;
  }
}

}  // namespace
}  // namespace quantfleet::jinja
