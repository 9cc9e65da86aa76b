// Who calls, and whether they may: each use case asks first. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/trust/role.h"
#include "daemon/app/certificate_cache.h"
#include "daemon/fleet/fleet.h"
#include "daemon/operators/operators.h"

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
  Callers(Fleet& fleet, Operators& operators) : fleet_(fleet), operators_(operators) {}

  // The operator's name. UNAUTHENTICATED: no certificate; PERMISSION_DENIED names the role that is
  // missing, or says that it is not an operator's (any more). Outside of any transaction.
  absl::StatusOr<std::string> Operator(const Caller& caller, Role least);
  // The same, with all that is recorded of it.
  absl::StatusOr<v1::Operator> OperatorRecord(const Caller& caller, Role least);
  // What the certificate of a calling device says; read before any transaction, since OpenSSL takes
  // longer for it than the database for the rest. UNAUTHENTICATED: no certificate;
  // PERMISSION_DENIED: an operator's. Fleet::Authenticate decides in the transaction whether the
  // device may call.
  absl::StatusOr<CertificateCache::Info> DeviceCertificate(const Caller& caller);
  // Any operator, or a device as above, for connections whose certificate is read once. Outside of
  // any transaction.
  absl::Status OperatorOrDevice(Store& store, const trust::CertificateInfo& certificate);
  // Who calls, for the record: "operators/NAME" or "devices/ID", as the certificate says (empty: it
  // showed none), and the role of an operator who may call. Outside of any transaction.
  struct Known {
    std::string name, role;
  };
  Known WhoIs(const Caller& caller);

 private:
  Fleet& fleet_;
  Operators& operators_;
  CertificateCache certificates_;
};

}  // namespace quantfleet::daemon::app
