// TLS of a server that asks its clients for certificates. Pure.
#pragma once

#include <string>

#include "common/base/status.h"

struct ssl_ctx_st;

namespace quantfleet::http {

struct ServerTls {
  std::string ca_pem;           // of the clients' certificates
  std::string certificate_pem;  // the server's own, with the chain that it shows
  std::string private_pem;
};

// TLS 1.2 and 1.3; a client certificate is asked for and, when one comes, must lead to the CA.
absl::Status ConfigureTls(ssl_ctx_st* context, const ServerTls& tls);

}  // namespace quantfleet::http
