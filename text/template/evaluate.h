// Goes through a template's statements with a conversation. What it understands of Jinja is a
// closed list, the part in which templates say how turns are written; it does that exactly as
// transformers does, or says that it does not understand. Tools, documents and lists of parts are
// not among it: to a template, there are none. Pure, in bounded time and memory.
#pragma once

#include <vector>

#include "common/base/status.h"
#include "text/template/conversation.h"
#include "text/template/marked_text.h"
#include "text/template/syntax.h"

namespace quantfleet::text {

// UNIMPLEMENTED: something on the way is not understood, the message says what. INVALID_ARGUMENT:
// the template refuses this conversation, with its own words. RESOURCE_EXHAUSTED: it takes more
// steps, or makes more text, than any needs.
absl::StatusOr<MarkedText> Evaluate(const std::vector<Statement>& statements,
                                    const Conversation& conversation);

}  // namespace quantfleet::text
