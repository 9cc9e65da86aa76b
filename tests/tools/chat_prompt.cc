// What text/template makes of conversations, for judges: reads {"template", "bos", "eos", "now",
// "conversations": [[{"role", "content"}]]}, one JSON object a line, and answers each with
// {"state", "why", "answers": [{"text"} or {"error"}]}.
#include <boost/json.hpp>
#include <iostream>

#include "text/template/chat_template.h"

namespace json = boost::json;
using namespace quantfleet;

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const json::value asked = json::parse(line);
    const auto text = [&](const char* name) { return std::string(asked.at(name).as_string()); };
    // The judge's texts begin with the token that begins a text.
    const auto read = text::ChatTemplate::Read(text("template"), {text("bos"), text("eos"), false});
    json::array answers;
    for (const json::value& conversation : asked.at("conversations").as_array()) {
      std::vector<text::ChatMessage> messages;
      for (const json::value& message : conversation.as_array())
        messages.push_back({std::string(message.at("role").as_string()),
                            std::string(message.at("content").as_string())});
      const auto prompt = read.Render(messages, asked.at("now").as_int64());
      answers.push_back(prompt.ok() ? json::object{{"text", prompt->text}}
                                    : json::object{{"error", Message(prompt.status())}});
    }
    std::cout << json::serialize(
                     json::object{{"state", json::string_view(text::Name(read.state()).data())},
                                  {"why", read.why()},
                                  {"answers", answers}})
              << "\n";
  }
}
