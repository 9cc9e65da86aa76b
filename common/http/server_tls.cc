#include "common/http/server_tls.h"

#include <openssl/ssl.h>

#include "common/trust/openssl_handles.h"

namespace quantfleet::http {

absl::Status ConfigureTls(SSL_CTX* context, const ServerTls& tls) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // No resumption: every connection shows its certificate anew.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  QF_ASSIGN_OR_RETURN(const auto chain, trust::ReadCertificates(tls.certificate_pem));
  QF_ASSIGN_OR_RETURN(const auto key, trust::ReadPrivateKey(tls.private_pem));
  QF_ASSIGN_OR_RETURN(const auto roots, trust::ReadCertificates(tls.ca_pem));
  bool ok = SSL_CTX_use_certificate(context, chain.front().get()) == 1 &&
            SSL_CTX_use_PrivateKey(context, key.get()) == 1;
  for (size_t i = 1; ok && i < chain.size(); ++i)
    ok = SSL_CTX_add1_chain_cert(context, chain[i].get()) == 1;
  for (const auto& root : roots) {
    ok = ok && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root.get()) == 1 &&
         SSL_CTX_add_client_CA(context, root.get()) == 1;
  }
  if (!ok)
    return InvalidArgument("the server's certificate cannot be used: {}",
                           trust::TakeOpenSslError());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER,
                     nullptr);  // asked for, not insisted on; a bad one is refused
  return absl::OkStatus();
}

}  // namespace quantfleet::http
