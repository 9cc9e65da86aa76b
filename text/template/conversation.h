// What a chat template is filled with.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::text {

// The texts of the model's own tokens; empty: it has none.
struct ControlTokens {
  std::string begin, end;
  // True when the tokenizer puts `begin` before a prompt, so that the template's own is removed.
  bool adds_begin = true;
};

// As clients of OpenAI's API send it.
struct Chat {
  // Objects with a role and, as it may be, content (a text, or a list of {"type": "text", "text"}),
  // tool_calls, tool_call_id, name, reasoning_content, and whatever else a template knows.
  boost::json::array messages{};
  boost::json::array tools{};       // empty: none
  boost::json::object variables{};  // chat_template_kwargs: what else the template is told
  bool add_generation_prompt = true;
};

// Roles are the one thing in a message that may become part of a template's own marks.
bool IsRole(std::string_view role);
// For errors.
inline constexpr std::string_view kRoles = "system, developer, user, assistant, tool or function";

// A single message, for tests and probes.
boost::json::object MakeMessage(std::string_view role, std::string_view content);

}  // namespace quantfleet::text
