// A chat as the values that a template gets, shaped as the template wants them: clients write
// OpenAI's form, templates are written for transformers'.
#pragma once

#include "text/jinja/template.h"
#include "text/template/conversation.h"

namespace quantfleet::text {

// What a template was found to want (chat_template.cc probes it).
struct ChatShape {
  bool takes_parts = false;        // content may be a list of parts; else their texts are joined
  bool needs_parts = false;        // content must be one
  bool needs_content = false;      // a message without content gets an empty one
  bool arguments_as_text = false;  // of tool calls: JSON as the client sent it; else an object
  bool knows_developer = false;    // else that role is called system
};

// Fields that are null are left out, as transformers does. INVALID_ARGUMENT names the message and
// the field that is not as OpenAI's API has it.
absl::StatusOr<jinja::Variables> ChatValues(const Chat& chat, const ChatShape& shape,
                                            const ControlTokens& tokens);

}  // namespace quantfleet::text
