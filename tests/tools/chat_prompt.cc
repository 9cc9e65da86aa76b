// What text/jinja makes of templates, for judges: reads {"template", "now", "inputs": [{name:
// value}]}, one JSON object a line, and answers each with {"error"} where it is no template, and
// otherwise {"answers": [{"text"} or {"error", "code"}]}. The template is given exactly these
// variables.
#include <boost/json.hpp>
#include <iostream>

#include "text/jinja/json_values.h"
#include "text/jinja/template.h"

namespace json = boost::json;
using namespace quantfleet;

namespace {

absl::StatusOr<jinja::MarkedText> Render(const jinja::Template& read, const json::value& input,
                                         int64_t now) {
  jinja::Variables variables;
  for (const auto& [name, value] : input.as_object()) {
    QF_ASSIGN_OR_RETURN(jinja::Value made, jinja::FromJson(value));
    variables.emplace_back(std::string(name), std::move(made));
  }
  return read.Render(variables, now);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const json::value asked = json::parse(line);
    const auto read = jinja::Template::Read(asked.at("template").as_string().c_str());
    json::object said;
    if (!read.ok()) said["error"] = Message(read.status());
    json::array answers;
    for (const json::value& input : asked.at("inputs").as_array()) {
      if (!read.ok()) break;
      const auto made = Render(*read, input, asked.at("now").as_int64());
      answers.push_back(made.ok() ? json::object{{"text", made->bytes}}
                                  : json::object{{"error", Message(made.status())},
                                                 {"code", static_cast<int>(made.status().code())}});
    }
    said["answers"] = std::move(answers);
    std::cout << json::serialize(said) << "\n";
  }
}
