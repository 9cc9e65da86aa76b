// TLS of the HTTPS side. Pure.
#pragma once

#include <string>

#include "common/base/status.h"

struct ssl_ctx_st;

namespace quantfleet::daemon {

// TLS 1.2 and 1.3; a client certificate is asked for and, when one comes, must lead to the CA.
absl::Status ConfigureTls(ssl_ctx_st* context, const std::string& ca_pem,
                          const std::string& certificate_pem, const std::string& private_pem);

}  // namespace quantfleet::daemon
