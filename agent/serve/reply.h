// Answers of the endpoint as HTTP carries them. Pure.
#pragma once

#include <string>

#include "agent/serve/openai.h"
#include "common/http/message.h"

namespace quantfleet::agent {

// An answer that says to come again also says when.
http::Response MakeReply(int status, std::string body, const char* type = "application/json");
http::Response ErrorReply(const ApiError& error);
http::Response ErrorReply(const absl::Status& status);

}  // namespace quantfleet::agent
