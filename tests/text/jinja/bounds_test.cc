// Templates that mean harm: each ends with an error, soon, and takes little memory.
#include <gmock/gmock.h>

#include <string>

#include "text/jinja/template.h"

namespace quantfleet::jinja {
namespace {

std::string Times(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

absl::Status Carry(std::string_view source) {
  const auto read = Template::Read(source);
  QF_RETURN_IF_ERROR(read.status());
  return read->Render({}, 0).status();
}

TEST(Bounds, WhatWouldNotEnd) {
  const std::string cases[] = {
      // Loops in loops, filters in loops, a macro and a recursive loop that call themselves.
      Times("{% for i in range(100000) %}", 4) + Times("{% endfor %}", 4),
      "{% for i in range(100000) %}{{ range(100000) | list | sort | length }}{% endfor %}",
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      // Texts that double, and lists.
      "{% set x = 'ab' %}" + Times("{% set x = x + x %}", 60),
      "{% set x = 'ab' %}" + Times("{% set x = x ~ x %}", 60),
      "{{ 'a' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{% set x = [1] %}" + Times("{% set x = x + x %}", 60),
      "{% set x = 'aaaaaaaa' %}" + Times("{% set x = x | replace('a', x) %}", 20),
      "{% set x = 'aaaaaaaa' %}" + Times("{% set x = [x, x, x, x] | join(x) %}", 20),
      "{% for i in range(100000) %}{{ 'a' * 10000000 }}{% endfor %}",
      "{% set b %}" + Times("{% for i in range(100000) %}", 2) + "aaaaaaaaaaaaaaaa" +
          Times("{% endfor %}", 2) + "{% endset %}",
      // The same list in itself, over and over: printing, comparing or writing it would not end.
      "{% set x = [1] %}" + Times("{% set x = [x, x] %}", 60) + "{{ x }}",
      "{% set x = [1] %}" + Times("{% set x = [x, x] %}", 60) + "{{ x == x }}",
      "{% set x = {} %}" + Times("{% set x = {'a': x, 'b': x} %}", 60) + "{{ x | tojson }}",
      // Values in values, and generators on generators.
      "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(100000) %}"
      "{% set n.x = n.x | map('string') %}{% endfor %}",
      "{{ 'x'.ljust(1000000000) if false else '%1000000000d' % 1 }}",
  };
  for (const std::string& source : cases) {
    const absl::Status status = Carry(source);
    EXPECT_TRUE(absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status))
        << source.substr(0, 200) << ": " << status;
  }
}

TEST(Bounds, TemplatesThatAreNestedTooDeeply) {
  for (const std::string& source :
       {"{{ " + Times("(", 100000) + " }}", "{{ " + Times("[", 100000) + " }}",
        "{{ " + Times("-", 100000) + "1 }}", "{{ " + Times("not ", 100000) + "1 }}",
        "{{ 1" + Times(" + 1", 100000) + " }}", "{{ x" + Times(".x", 100000) + " }}",
        "{{ x" + Times(" | e", 100000) + " }}", "{{ 1" + Times(" if 1", 100000) + " }}",
        "{{ 1" + Times(" if 1 else 1", 100000) + " }}", Times("{% if true %}", 100000),
        "{% set " + Times("(", 100000) + " %}", "{{ 1" + Times(" ** 1", 100000) + " }}"})
    EXPECT_EQ(Template::Read(source).status().code(), absl::StatusCode::kInvalidArgument)
        << source.substr(0, 60);
  // Long is not deep.
  EXPECT_TRUE(Carry("{{ 1" + Times(" ~ 1", 10000) + " }}").ok());
  EXPECT_TRUE(Carry(Times("{% if true %}a{% endif %}", 10000)).ok());
  EXPECT_TRUE(Carry("{% set x = [" + Times("1,", 10000) + "] %}").ok());
}

// A namespace can hold itself, and a macro the scope that holds it: both go with the rendering
// (a leak checker sees it).
TEST(Bounds, RingsOfValuesAreReleased) {
  EXPECT_TRUE(Carry("{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n] %}").ok());
  EXPECT_TRUE(Carry("{% macro f() %}{% endmacro %}{% set g = [f] %}").ok());
  EXPECT_TRUE(
      Carry("{% set n = namespace() %}{% for i in [1, 2] if true %}{% macro f() %}{% endmacro "
            "%}{% set n.f = f %}{% set n.l = loop %}{% endfor %}{{ n.l.nextitem }}")
          .ok());
}

// The sandbox of transformers: what could reach behind a value is not there.
TEST(Bounds, NothingLeadsOutOfTheSandbox) {
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ [].append(1) }}", "{{ {}.update({'a': 1}) }}",
        "{{ {}.pop('a') }}", "{{ ''.__class__() }}", "{{ [].__init__() }}",
        "{{ ('' | attr('__class__')).x }}", "{{ namespace.__init__.__globals__ }}",
        "{{ range.__self__.x }}", "{{ ''.format_map }}{{ '{0.__class__.x}'.format(1) }}",
        "{{ self.x() }}", "{{ loop.x }}", "{{ cycler('a').x.y }}"})
    EXPECT_EQ(Carry(source).code(), absl::StatusCode::kFailedPrecondition) << source;
}

}  // namespace
}  // namespace quantfleet::jinja
