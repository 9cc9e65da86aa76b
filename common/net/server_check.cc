#include "common/net/server_check.h"

#include "common/trust/certificate.h"

namespace quantfleet::net {

absl::Status CheckServer(std::string_view chain_pem, const ServerTrust& trust) {
  std::string ca = trust.ca_pem;
  if (ca.empty()) {
    if (!trust.ca_fingerprint)
      return Unauthenticated("no CA is pinned, so no server can be trusted");
    QF_ASSIGN_OR_RETURN(ca, trust::FindCertificate(chain_pem, *trust.ca_fingerprint));
  }
  const std::optional<Time> at = trust.time ? trust.time() : RealClock().Now();
  return trust::VerifyChain(chain_pem, ca, /*server=*/true, at);
}

}  // namespace quantfleet::net
