// gRPC over TLS: channels that pin the daemon's CA (or, at first contact, its fingerprint), and the
// server's side. The rest of the tree gets plain grpc::Channel pointers and never touches
// credentials.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace grpc {
class Channel;
class ChannelCredentials;
class ClientContext;
class ServerBuilder;
class ServerCredentials;
class Status;
class ServerContextBase;
}  // namespace grpc

namespace quantfleet::net {

struct ClientIdentity {
  std::string certificate_pem, private_pem;  // both empty: none
};

struct ServerTrust {
  std::string ca_pem;                    // pinned CA, or empty
  std::optional<Digest> ca_fingerprint;  // used when ca_pem is empty: the chain must end in this CA
  // When the certificate's validity is checked; nullopt at call time: not at all (a clock that
  // cannot be right). Called on gRPC's threads.
  std::function<std::optional<Time>()> time;  // empty: now
};

// address "HOST:PORT". Names are not checked: the CA issues server certificates to the daemon
// alone, and devices reach it by whatever address works. Connects lazily.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const ServerTrust& trust,
                                           const ClientIdentity& identity);

// Call it before each call on a channel that lives long. gRPC drives a connection only while
// something waits on the channel, and a call on a channel whose last attempt failed does not wait
// but fails: it would take 15 s or more to find a restarted daemon again. Returns at once unless
// the last attempt failed; then waits until connected, or returns false after `timeout`.
bool AwaitConnection(grpc::Channel& channel, Duration timeout);

// TLS for the daemon: asks for a client certificate, verifies it against the CA when one comes. The
// chain is the daemon's certificate followed by the CA's, because first contact looks for the CA
// there.
enum class ClientCertificate {
  kAskedFor,  // a client may have none
  kRequired,  // the handshake fails without one
};
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(
    const std::string& ca_pem, const std::string& certificate_chain_pem,
    const std::string& private_pem, ClientCertificate client = ClientCertificate::kAskedFor);

// Keep-alive that agrees with MakeChannel's, and a port of the daemon's own. For every server that
// such channels connect to.
void ConfigureServer(grpc::ServerBuilder& builder);

// The client certificate of a call, PEM; empty when there is none.
std::string PeerCertificate(const grpc::ServerContextBase& context);

absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

// A refusal's retry-after (base/retry_after.h) travels as trailing metadata, "retry-after-ms". Call
// the first before the call is finished; the second takes the status of the call that `context`
// belonged to.
void AddRetryAfter(grpc::ServerContextBase& context, const absl::Status& refusal);
absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace quantfleet::net
