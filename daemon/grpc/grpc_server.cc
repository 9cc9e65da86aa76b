#include "daemon/grpc/grpc_server.h"

#include <absl/cleanup/cleanup.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/resource_quota.h>
#include <unistd.h>

#include <mutex>

#include "common/http/listen_socket.h"
#include "common/net/channel.h"
#include "common/net/grpc_exit.h"
#include "daemon/grpc/listen.h"
#include "daemon/grpc/open_calls.h"
#include "daemon/grpc/services.h"

namespace quantfleet::daemon {
namespace {

constexpr int kMaxReceive = 4 << 20;
constexpr int kMaxSend =
    64 << 20;  // as net's channels accept: the manifest and chunk list of a large artifact
constexpr int kMaxStreams = 64;                   // per connection
constexpr int kHandshakeMs = 10'000;              // TLS and the first frames of HTTP/2
constexpr size_t kMaxMetadata = size_t{8} << 10;  // names and values of a call's headers
constexpr size_t kMemoryQuota = size_t{512} << 20;

std::function<void(std::string_view)>& LogTarget() {
  static auto* target =
      new std::function<void(std::string_view)>();  // gRPC may log until the very end
  return *target;
}

void Log(gpr_log_func_args* entry) {
  if (LogTarget()) LogTarget()(entry->message);
}

void PrepareProcess(const std::function<void(std::string_view)>& log) {
  static std::once_flag once;
  std::call_once(once, [&] {
    LogTarget() = log;
    gpr_set_log_function(&Log);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

}  // namespace

struct GrpcServer::Impl {
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  Impl(app::Calls& calls, Door::Options options, Dispatcher::ForDevice for_device)
      : dispatcher(
            calls, [this](const std::string& peer, bool known) { door.Met(peer, known); },
            std::move(for_device)),
        door(std::move(options)) {}

  absl::StatusOr<uint16_t> Listen(const Options& options, const std::string& host, uint16_t at,
                                  net::ClientCertificate client, grpc::ServerBuilder& builder,
                                  std::vector<Door::Listener>& listeners);

  Dispatcher dispatcher;
  Services services;
  std::vector<std::unique_ptr<Acceptor>> acceptors;
  std::unique_ptr<grpc::Server> server;
  Door door;
  uint16_t port = 0, fleet_port = 0;
  std::once_flag stopped;
};

namespace {

void HandOver(grpc::experimental::ExternalConnectionAcceptor& acceptor, int fd) {
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = fd;
  acceptor.HandleNewConnection(&connection);
}

}  // namespace

// The port, where gRPC will get what is accepted.
absl::StatusOr<uint16_t> GrpcServer::Impl::Listen(const Options& options, const std::string& host,
                                                  uint16_t at, net::ClientCertificate client,
                                                  grpc::ServerBuilder& builder,
                                                  std::vector<Door::Listener>& listeners) {
  QF_ASSIGN_OR_RETURN(
      const std::vector<http::ListenSocket> sockets,
      OpenListenSockets(
          host, at, client == net::ClientCertificate::kRequired ? "--fleet-listen" : "--listen"));
  const auto credentials = net::MakeServerCredentials(options.ca_pem, options.certificate_pem,
                                                      options.private_pem, client);
  credentials->SetAuthMetadataProcessor(MakeStrangersFilter(
      [this](std::string_view path, const absl::Status& why) { dispatcher.Refused(path, why); }));
  acceptors.push_back(builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials));
  for (const http::ListenSocket& socket : sockets)
    listeners.push_back(
        {socket, [&acceptor = *acceptors.back()](int fd) { HandOver(acceptor, fd); }});
  return sockets.front().port;
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(app::App& app,
                                                              const Options& options) {
  PrepareProcess(options.log);
  auto impl = std::make_unique<Impl>(app.calls, options.door, options.for_device);
  AddModelServices(app, impl->dispatcher, impl->services);
  AddOperatorServices(app, impl->dispatcher, impl->services);
  AddRolloutService(app, impl->dispatcher, impl->services);
  AddDeviceService(app, impl->dispatcher, impl->services);

  grpc::ServerBuilder builder;
  std::vector<Door::Listener> listeners;
  absl::Cleanup close_all = [&listeners] {
    for (const Door::Listener& listener : listeners) ::close(listener.socket.fd);
  };
  QF_ASSIGN_OR_RETURN(impl->port,
                      impl->Listen(options, options.host, options.port,
                                   net::ClientCertificate::kAskedFor, builder, listeners));
  if (!options.fleet_host.empty()) {
    QF_ASSIGN_OR_RETURN(impl->fleet_port,
                        impl->Listen(options, options.fleet_host, options.fleet_port,
                                     net::ClientCertificate::kRequired, builder, listeners));
    options.fleet_listens(impl->fleet_port);
  }
  net::ConfigureServer(builder);
  builder.SetMaxReceiveMessageSize(kMaxReceive);
  builder.SetMaxSendMessageSize(kMaxSend);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(kMaxMetadata));
  builder.SetResourceQuota(grpc::ResourceQuota("quantfleetd").Resize(kMemoryQuota));
  for (const auto& service : impl->services) builder.RegisterService(service.get());
  impl->server = builder.BuildAndStart();
  net::AwaitGrpcAtExit();
  if (!impl->server) return Internal("gRPC: the server did not start");
  std::move(close_all).Cancel();  // they are the door's
  QF_RETURN_IF_ERROR(impl->door.Open(std::move(listeners)));
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() { Stop(std::chrono::seconds(2)); }
uint16_t GrpcServer::port() const { return impl_->port; }
uint16_t GrpcServer::fleet_port() const { return impl_->fleet_port; }
Door::Counts GrpcServer::connections() const { return impl_->door.counts(); }

void GrpcServer::Stop(Duration grace) {
  std::call_once(impl_->stopped, [&] {
    if (auto* health = impl_->server->GetHealthCheckService()) health->Shutdown();
    impl_->door.Close();
    impl_->server->Shutdown(std::chrono::system_clock::now() + grace);
    impl_->server->Wait();
    impl_->dispatcher.Stop();
  });
}

}  // namespace quantfleet::daemon
