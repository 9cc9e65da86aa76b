// Runs a template's statements on a conversation. It understands a closed subset of Jinja, the part
// with which templates lay out turns; it does that exactly as transformers does, or says that it
// does not understand. Tools, documents and lists of parts are not supported: a template sees none.
// Pure, in bounded time and memory.
#pragma once

#include <vector>

#include "common/base/status.h"
#include "text/template/conversation.h"
#include "text/template/marked_text.h"
#include "text/template/syntax.h"

namespace quantfleet::text {

// UNIMPLEMENTED: something that was reached is not understood; the message says what.
// INVALID_ARGUMENT: the template refuses this conversation, with its own words. RESOURCE_EXHAUSTED:
// it takes more steps, or makes more text, than any real template.
absl::StatusOr<MarkedText> Evaluate(const std::vector<Statement>& statements,
                                    const Conversation& conversation);

}  // namespace quantfleet::text
