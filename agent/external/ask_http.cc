#include "agent/external/ask_http.h"

#include "agent/serve/listen_address.h"

namespace quantfleet::agent {

absl::StatusOr<HttpAnswer> AskHttp(const std::string& address, const std::string& path,
                                   const std::string& json, Duration most, std::stop_token stop) {
  QF_ASSIGN_OR_RETURN(const http::ListenAddress parsed, ParseListenAddress(address));
  return http::Ask(parsed, address, path, json, most, std::move(stop));
}

}  // namespace quantfleet::agent
