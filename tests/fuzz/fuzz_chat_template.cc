// Chat templates of any bytes, and conversations through them: each is known, unknown or absent,
// one that is known renders or says why not, in bounded time, and what is data lies in the text, in
// order and apart.
#include <cstdlib>

#include "text/template/chat_template.h"

namespace text = quantfleet::text;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Check(const text::ChatTemplate& read, const std::vector<text::ChatMessage>& messages) {
  const auto prompt = read.Render(messages, 1795953600);
  if (!prompt.ok()) {
    Require(!quantfleet::Message(prompt.status()).empty());
    return;
  }
  Require(read.state() != text::ChatTemplate::State::kUnknown);
  size_t end = 0;
  for (const text::ByteRange& range : prompt->data) {
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
  const auto read = text::ChatTemplate::Read(jinja, {"<s>", "</s>"});
  Require((read.state() == text::ChatTemplate::State::kUnknown) == !read.why().empty());
  Require((read.state() == text::ChatTemplate::State::kAbsent) == jinja.empty());
  Check(read, {{"user", said}});
  Check(read, {{"system", said}, {"user", "Hi"}, {"assistant", said}, {"user", said}});
  Check(read, {});
  return 0;
}
