#include "common/net/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <charconv>

#include "common/base/retry_after.h"
#include "common/net/grpc_exit.h"
#include "common/net/server_check.h"

namespace quantfleet::net {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::TlsCustomVerificationCheckRequest;

// gRPC's own verification is off, because it knows neither fingerprints nor clocks that cannot be
// right: this decides alone. It runs on gRPC's handshake threads, before any call's bytes are sent.
class PinnedCaVerifier final : public ExternalCertificateVerifier {
 public:
  explicit PinnedCaVerifier(ServerTrust trust) : trust_(std::move(trust)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const grpc::string_ref chain = request->peer_cert_full_chain();
    const absl::Status status = CheckServer({chain.data(), chain.size()}, trust_);
    *sync_status = ToGrpc(status);
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const ServerTrust trust_;
};

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const ServerTrust& trust,
                                                                 const ClientIdentity& identity) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<PinnedCaVerifier>(trust));
  // Where no CA is named, gRPC reads the machine's hundred and more, for each channel: 30 ms for
  // nothing.
  std::vector<grpc::experimental::IdentityKeyCertPair> pairs;
  if (!identity.certificate_pem.empty())
    pairs.push_back({identity.private_pem, identity.certificate_pem});
  if (!trust.ca_pem.empty() || !pairs.empty())
    options.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(trust.ca_pem, pairs));
  if (!trust.ca_pem.empty()) options.watch_root_certs();
  if (!pairs.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

constexpr char kRetryAfterKey[] = "retry-after-ms";
constexpr int kMaxMessage = 64 << 20;  // the manifest of a 100 GB artifact with its chunk list fits
constexpr int kKeepAliveMs = 30'000, kKeepAliveTimeoutMs = 15'000, kServerPingFloorMs = 10'000;

grpc::ChannelArguments MakeArguments() {
  grpc::ChannelArguments arguments;
  // Channels with different identities must never share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // As for blobs: the daemon is reached directly, whatever http_proxy says.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 250);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 15'000);
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return arguments;
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const ServerTrust& trust,
                                           const ClientIdentity& identity) {
  auto channel =
      grpc::CreateCustomChannel(address, MakeChannelCredentials(trust, identity), MakeArguments());
  AwaitGrpcAtExit();
  return channel;
}

bool AwaitConnection(grpc::Channel& channel, Duration timeout) {
  // The other states are driven by the call itself.
  if (channel.GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_TRANSIENT_FAILURE) return true;
  return channel.WaitForConnected(std::chrono::system_clock::now() + timeout);
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(
    const std::string& ca_pem, const std::string& certificate_chain_pem,
    const std::string& private_pem, ClientCertificate client) {
  grpc::SslServerCredentialsOptions options(
      client == ClientCertificate::kRequired
          ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
          : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ca_pem;
  options.pem_key_cert_pairs.push_back({private_pem, certificate_chain_pem});
  return grpc::SslServerCredentials(options);
}

void ConfigureServer(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kServerPingFloorMs);
  // Two daemons on one port would each answer half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

std::string PeerCertificate(const grpc::ServerContextBase& context) {
  const auto peer = context.auth_context();
  if (!peer) return "";
  const auto values = peer->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return values.empty() ? "" : std::string(values.front().data(), values.front().size());
}

absl::Status FromGrpc(const grpc::Status& status) {
  return MakeStatus(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), Message(status));
}

void AddRetryAfter(grpc::ServerContextBase& context, const absl::Status& refusal) {
  if (const auto after = RetryAfter(refusal))
    context.AddTrailingMetadata(kRetryAfterKey, std::to_string(after->count()));
}

absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context) {
  const absl::Status plain = FromGrpc(status);
  if (plain.ok()) return plain;
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto at = trailing.find(kRetryAfterKey);
  if (at == trailing.end()) return plain;
  int64_t ms = 0;  // what is no number says nothing
  const auto [end, error] =
      std::from_chars(at->second.data(), at->second.data() + at->second.size(), ms);
  return error == std::errc() && end == at->second.data() + at->second.size() && ms > 0
             ? WithRetryAfter(plain, Duration(ms))
             : plain;
}

}  // namespace quantfleet::net
