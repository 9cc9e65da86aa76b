// Answers of the endpoint as HTTP carries them. Pure.
#pragma once

#include <string>

#include "agent/serve/openai.h"
#include "common/http/message.h"

namespace quantfleet::agent {

// Whoever is told to come again is told when.
http::Response MakeReply(int status, std::string body, const char* type = "application/json");
http::Response ErrorReply(const ApiError& error);
http::Response ErrorReply(const absl::Status& status);

}  // namespace quantfleet::agent
