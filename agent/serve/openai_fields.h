// Fields of the JSON bodies of OpenAI's API, read strictly. Private to openai_*.cc. Pure.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::agent {

namespace json = boost::json;

// INVALID_ARGUMENT: not an object, or where the bytes are no UTF-8.
absl::StatusOr<json::object> ParseBody(std::string_view text);

std::string ToString(const json::string& text);
// nullptr when the field is absent or null.
const json::value* Find(const json::object& object, const char* name);
// These leave `out` as it is when the field is absent or null; INVALID_ARGUMENT names the field.
absl::Status ReadText(const json::object& object, const char* name, std::string* out);
absl::Status ReadInteger(const json::object& object, const char* name, int64_t least, int64_t* out);
absl::Status ReadBool(const json::object& object, const char* name, bool* out);

}  // namespace quantfleet::agent
