// Chat templates of any bytes, and conversations through them: each is known, unknown or absent,
// one that is known renders or says why not, in bounded time and memory, and what is data lies in
// the text, in order and apart.
#include <boost/json.hpp>
#include <cstdlib>

#include "text/template/chat_template.h"

namespace text = quantfleet::text;
namespace json = boost::json;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Check(const text::ChatTemplate& read, const text::Chat& chat) {
  const auto prompt = read.Render(chat, 1795953600);
  if (!prompt.ok()) {
    Require(!quantfleet::Message(prompt.status()).empty());
    return;
  }
  Require(read.state() == text::ChatTemplate::State::kKnown);
  size_t end = 0;
  for (const auto& range : prompt->data) {
    Require(range.begin < range.end && range.end <= prompt->text.size());
    Require(end == 0 || range.begin > end);
    end = range.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  // What stands behind the last zero byte is what messages say.
  const size_t cut = input.rfind('\0');
  const std::string_view jinja = input.substr(0, cut);
  const std::string said(cut == std::string_view::npos ? "Hi" : input.substr(cut + 1));
  const auto read = text::ChatTemplate::Read(jinja, {"<s>", "</s>"}, jinja);
  Require((read.state() == text::ChatTemplate::State::kUnknown) == !read.why().empty());
  Require((read.state() == text::ChatTemplate::State::kAbsent) == jinja.empty());
  text::Chat chat;
  Check(read, chat);
  chat.messages.push_back(text::MakeMessage("user", said));
  Check(read, chat);
  chat.messages.push_back(json::object{
      {"role", "assistant"},
      {"content", nullptr},
      {"reasoning", said},
      {"tool_calls", json::array{json::object{
                         {"id", said}, {"function", {{"name", "f"}, {"arguments", said}}}}}}});
  chat.messages.push_back(text::MakeMessage("tool", said));
  Check(read, chat);
  chat.tools.push_back(json::object{{"function", {{"name", said}, {"parameters", {{said, 1.5}}}}}});
  chat.variables["enable_thinking"] = false;
  Check(read, chat);
  return 0;
}
