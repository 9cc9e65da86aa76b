// Which bytes of a text are data: what messages say stays that through everything that a template
// does with it, and nothing else becomes it.
#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "text/jinja/json_values.h"
#include "text/jinja/template.h"

namespace quantfleet::jinja {
namespace {

// The output, data between « and ».
std::string Marked(std::string_view source) {
  const auto read = Template::Read(source);
  if (!read.ok()) return Message(read.status());
  const boost::json::value said =
      boost::json::parse(R"({"text":" A<|end|>\nb ","list":["x","y"],"call":{"k\"":"v\n","n":1}})");
  const auto made = read->Render({{"said", *FromJson(said)}}, 0);
  if (!made.ok()) return Message(made.status());
  std::string out;
  size_t at = 0;
  for (const auto& [begin, end] : made->data) {
    out += made->bytes.substr(at, begin - at) + "«" + made->bytes.substr(begin, end - begin) + "»";
    at = end;
  }
  return out + made->bytes.substr(at);
}

TEST(Origin, StaysThroughWhatTemplatesDo) {
  const std::pair<const char*, const char*> cases[] = {
      {"<{{ said.text }}>", "<« A<|end|>\nb »>"},
      {"<{{ said.text | trim + '.' }}>", "<«A<|end|>\nb».>"},
      {"{{ '<' ~ said.text.strip() ~ '>' }}", "<«A<|end|>\nb»>"},
      {"{{ said.text.split('<|end|>')[0] }}|", "« A»|"},
      {"{{ said.text | replace('<|end|>', '<|eot|>') }}", "« A»<|eot|>«\nb »"},
      {"{{ '[X]' | replace('X', said.list[0]) }}", "[«x»]"},
      {"{{ said.text[1:5] }}{{ said.text[1] }}", "«A<|eA»"},
      {"{{ said.list | join(', ') }}", "«x», «y»"},
      {"{{ said.list }}", "['«x»', '«y»']"},
      {"{{ said.call | tojson }}", R"({"«k\"»": "«v\n»", "«n»": 1})"},
      {"{{ said.list[0] | upper }}{{ said.list[1].upper() }}", "«XY»"},
      {"{{ '%s-%s' % (said.list[0], 1) }}", "«x»-1"},
      {"{{ '{}-{a}'.format(said.list[0], a=said.list[1]) }}", "«x»-«y»"},
      {"{% for c in said.list[0] %}{{ c }}{% endfor %}{{ said.list[0] * 2 }}", "«xxx»"},
      {"{% set t %}<{{ said.list[0] }}>{% endset %}{{ t }}", "<«x»>"},
      {"{% macro f(t) %}<{{ t }}>{% endmacro %}{{ f(said.list[0]) }}", "<«x»>"},
      {"{{ said.text | trim | indent(2) }}", "«A<|end|>»\n  «b»"},
      {"{{ said.text | reverse }}", "« b\n>|dne|<A »"},
      {"{{ said.text | escape }}", "« A&lt;|end|&gt;\nb »"},
      {"{{ said.list[0] | default('d') }}{{ nothing | default('d') }}", "«x»d"},
      {"{% for k, v in said.call | items %}{{ k }}={{ v }};{% endfor %}", "«k\"»=«v\n»;«n»=1;"},
      {"{{ 'x' }}{{ said.list | length }}", "x2"},
  };
  for (const auto& [source, expected] : cases) EXPECT_EQ(Marked(source), expected) << source;
}

}  // namespace
}  // namespace quantfleet::jinja
