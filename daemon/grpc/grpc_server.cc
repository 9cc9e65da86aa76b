#include "daemon/grpc/grpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/resource_quota.h>

#include <mutex>

#include "common/net/channel.h"
#include "common/net/grpc_exit.h"
#include "daemon/grpc/services.h"

namespace quantfleet::daemon {
namespace {

constexpr int kMaxReceive = 4 << 20;
constexpr int kMaxSend =
    64 << 20;  // as net's channels accept: the manifest and chunk list of a large artifact
constexpr int kMaxStreams = 256;  // per connection
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
  Dispatcher dispatcher;
  Services services;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::once_flag stopped;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(app::App& app,
                                                              const Options& options) {
  PrepareProcess(options.log);
  auto impl = std::make_unique<Impl>();
  AddModelServices(app, impl->dispatcher, impl->services);
  AddOperatorServices(app, impl->dispatcher, impl->services);
  AddRolloutService(app, impl->dispatcher, impl->services);
  AddDeviceService(app, impl->dispatcher, impl->services);

  grpc::ServerBuilder builder;
  const std::string host =
      options.host.find(':') == std::string::npos ? options.host : "[" + options.host + "]";
  const std::string address = fmt::format("{}:{}", host, options.port);
  builder.AddListeningPort(
      address,
      net::MakeServerCredentials(options.ca_pem, options.certificate_pem, options.private_pem),
      &impl->port);
  net::ConfigureServer(builder);
  builder.SetMaxReceiveMessageSize(kMaxReceive);
  builder.SetMaxSendMessageSize(kMaxSend);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.SetResourceQuota(grpc::ResourceQuota("quantfleetd").Resize(kMemoryQuota));
  for (const auto& service : impl->services) builder.RegisterService(service.get());
  impl->server = builder.BuildAndStart();
  net::AwaitGrpcAtExit();
  if (!impl->server || impl->port <= 0)
    return Unavailable(
        "gRPC: cannot listen at {}: the port may be in use by another process: stop it, or choose "
        "another address with --listen",
        address);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() { Stop(std::chrono::seconds(2)); }
uint16_t GrpcServer::port() const { return static_cast<uint16_t>(impl_->port); }

void GrpcServer::Stop(Duration grace) {
  std::call_once(impl_->stopped, [&] {
    if (auto* health = impl_->server->GetHealthCheckService()) health->Shutdown();
    impl_->server->Shutdown(std::chrono::system_clock::now() + grace);
    impl_->server->Wait();
    impl_->dispatcher.Stop();
  });
}

}  // namespace quantfleet::daemon
