#include "agent/serve/openai_fields.h"

#include <charconv>
#include <optional>

#include "common/base/utf8.h"

namespace quantfleet::agent {
namespace {

// Where a JSON string escapes half of a character beyond U+FFFF, as clients do that cut text
// carelessly; nullopt: nowhere.
std::optional<size_t> FindHalfSurrogate(std::string_view text) {
  const auto unit = [text](size_t at) {  // of "\\uXXXX" there; 0 where there is none
    unsigned value = 0;
    if (at + 6 > text.size() || text.substr(at, 2) != "\\u") return 0u;
    const char* const end = text.data() + at + 6;
    return std::from_chars(end - 4, end, value, 16).ptr == end ? value : 0u;
  };
  for (size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
    const unsigned first = unit(at);
    const bool leads = first >= 0xd800 && first < 0xdc00;
    const unsigned second = leads ? unit(at + 6) : 0;
    if (leads && (second < 0xdc00 || second > 0xdfff)) return at;
    if (first >= 0xdc00 && first <= 0xdfff) return at;
    at += leads ? 12 : 2;
  }
  return std::nullopt;
}

}  // namespace

std::string ToString(const json::string& text) { return {text.data(), text.size()}; }

const json::value* Find(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

absl::Status ReadText(const json::object& object, const char* name, std::string* out) {
  const json::value* value = Find(object, name);
  if (!value) return absl::OkStatus();
  if (!value->is_string()) return InvalidArgument("{} must be a string", name);
  *out = ToString(value->get_string());
  return absl::OkStatus();
}

absl::Status ReadInteger(const json::object& object, const char* name, int64_t least,
                         int64_t* out) {
  const json::value* value = Find(object, name);
  if (!value) return absl::OkStatus();
  boost::system::error_code error;
  const auto number = value->is_number() ? value->to_number<int64_t>(error) : 0;
  if (!value->is_number() || error || number < least)
    return InvalidArgument("{} must be an integer of at least {}", name, least);
  *out = number;
  return absl::OkStatus();
}

absl::Status ReadBool(const json::object& object, const char* name, bool* out) {
  const json::value* value = Find(object, name);
  if (!value) return absl::OkStatus();
  if (!value->is_bool()) return InvalidArgument("{} must be true or false", name);
  *out = value->get_bool();
  return absl::OkStatus();
}

absl::StatusOr<json::object> ParseBody(std::string_view text) {
  if (const size_t whole = WholeUtf8Length(text); whole < text.size())
    return InvalidArgument("the body is not valid UTF-8: byte {} does not begin a character",
                           whole);
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 32;  // schemas of tools are deep
  json::value parsed = json::parse({text.data(), text.size()}, error, {}, options);
  const std::optional<size_t> half = error ? FindHalfSurrogate(text) : std::nullopt;
  if (half)
    return InvalidArgument(
        "byte {} of the body begins a \\u escape that is half of a surrogate pair: send both "
        "halves, or \\ufffd",
        *half);
  if (error) return InvalidArgument("the body is not valid JSON: {}", error.message());
  if (!parsed.is_object()) return InvalidArgument("the body must be a JSON object");
  return std::move(parsed.get_object());
}

}  // namespace quantfleet::agent
