// Who calls, and may they: each use case asks before it does anything. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "daemon/app/certificate_cache.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon::app {

// What a translator knows of the other end: the client certificate that the TLS handshake verified
// (PEM; empty: it showed none).
struct Caller {
  std::string certificate_pem;
};

enum class Role { kViewer, kPublisher, kAdmin };  // each may do what those before it may
std::string_view Name(Role role);                 // "viewer", as certificates have it

class Callers {
 public:
  explicit Callers(Fleet& fleet) : fleet_(fleet) {}

  // The operator's name. UNAUTHENTICATED: no certificate; PERMISSION_DENIED names the role that is
  // missing.
  absl::StatusOr<std::string> Operator(const Caller& caller, Role least);
  // The ACTIVE device that calls, as the transaction reads it, so that it need not be read again.
  // UNAUTHENTICATED: no certificate, or of a device or key that is not known; PERMISSION_DENIED: an
  // operator, or the device is revoked.
  absl::StatusOr<v1::Device> Device(const Transaction& tx, const Caller& caller);
  // Either, for connections whose certificate is read once: any operator, or a device as above.
  absl::Status OperatorOrDevice(const Transaction& tx, const trust::CertificateInfo& certificate);

 private:
  Fleet& fleet_;
  CertificateCache certificates_;
};

}  // namespace quantfleet::daemon::app
