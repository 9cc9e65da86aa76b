#include "agent/serve/reply.h"

namespace quantfleet::agent {

http::Response MakeReply(int status, std::string body, const char* type) {
  http::Response reply;
  reply.status = status;
  reply.fields.emplace_back("Content-Type", type);
  if (status == 429 || status == 503) reply.fields.emplace_back("Retry-After", "1");
  reply.body = std::move(body);
  return reply;
}

http::Response ErrorReply(const ApiError& error) {
  return MakeReply(error.http, RenderError(error));
}
http::Response ErrorReply(const absl::Status& status) { return ErrorReply(ToApiError(status)); }

}  // namespace quantfleet::agent
