// The database's schema: a list of steps, each applied once and never changed afterwards. Portable
// SQL (SQLite and PostgreSQL); protobuf records are base64url text, digests hex.
#pragma once

#include <span>

namespace quantfleet::daemon {

// Statements that bring version i to i + 1.
using SchemaStep = std::span<const char* const>;
std::span<const SchemaStep> SchemaSteps();

}  // namespace quantfleet::daemon
