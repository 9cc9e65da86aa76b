// Who calls, and may they: each use case asks before it does anything. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "daemon/app/certificate_cache.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon::app {

// What a translator knows of the other end: the client certificate that the TLS handshake verified
// (PEM; empty: it showed none), and its address.
struct Caller {
  std::string certificate_pem;
  std::string address = {};  // without the port; empty: not known
};

enum class Role { kViewer, kPublisher, kAdmin };  // each may do what those before it may
std::string_view Name(Role role);                 // "viewer", as certificates have it

class Callers {
 public:
  explicit Callers(Fleet& fleet) : fleet_(fleet) {}

  // The operator's name. UNAUTHENTICATED: no certificate; PERMISSION_DENIED names the role that is
  // missing.
  absl::StatusOr<std::string> Operator(const Caller& caller, Role least);
  // What the certificate of a device that calls says; read before any transaction, since OpenSSL
  // takes longer over one than the database. UNAUTHENTICATED: no certificate; PERMISSION_DENIED:
  // an operator's. Whether it may call is Fleet::Authenticate's to say, in the transaction.
  absl::StatusOr<CertificateCache::Info> DeviceCertificate(const Caller& caller);
  // Either, for connections whose certificate is read once: any operator, or a device as above.
  absl::Status OperatorOrDevice(const Transaction& tx, const trust::CertificateInfo& certificate);

 private:
  Fleet& fleet_;
  CertificateCache certificates_;
};

}  // namespace quantfleet::daemon::app
