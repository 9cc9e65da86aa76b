// Who calls, and whether they may: each use case asks first. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/trust/role.h"
#include "daemon/app/certificate_cache.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon::app {

// What a translator knows of the other end: the client certificate that the TLS handshake verified
// (PEM; empty: it showed none), and its address.
struct Caller {
  std::string certificate_pem;
  std::string address = {};  // without the port; empty: not known
};

using trust::Role;

class Callers {
 public:
  explicit Callers(Fleet& fleet) : fleet_(fleet) {}

  // The operator's name. UNAUTHENTICATED: no certificate; PERMISSION_DENIED names the role that is
  // missing.
  absl::StatusOr<std::string> Operator(const Caller& caller, Role least);
  // What the certificate of a calling device says; read before any transaction, since OpenSSL takes
  // longer for it than the database for the rest. UNAUTHENTICATED: no certificate;
  // PERMISSION_DENIED: an operator's. Fleet::Authenticate decides in the transaction whether the
  // device may call.
  absl::StatusOr<CertificateCache::Info> DeviceCertificate(const Caller& caller);
  // Any operator, or a device as above, for connections whose certificate is read once.
  absl::Status OperatorOrDevice(const Transaction& tx, const trust::CertificateInfo& certificate);

 private:
  Fleet& fleet_;
  CertificateCache certificates_;
};

}  // namespace quantfleet::daemon::app
