#include "daemon/server.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "common/base/access.h"
#include "common/base/open_files.h"
#include "daemon/app/app.h"
#include "daemon/app/chronicle.h"
#include "daemon/app/device_errors.h"
#include "daemon/data_lock.h"
#include "daemon/data_state.h"
#include "daemon/grpc/grpc_server.h"
#include "daemon/grpc/probe.h"
#include "daemon/rollout/ticker.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "daemon/web/http_server.h"
#include "daemon/web/metrics.h"
#include "pipeline/artifact/folder/folder_blob_store.h"

namespace quantfleet::daemon {
namespace {

constexpr Duration kGrpcGrace = std::chrono::seconds(1), kHttpGrace = std::chrono::seconds(1);
constexpr Duration kTick =
    std::chrono::milliseconds(500);  // of rollouts: soak times and timeouts count in seconds

bool IsWildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// How this machine reaches what listens at `address`.
HostPort Reachable(HostPort address) {
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return address;
}

// What devices are told of another port: the port alone where it is open wherever gRPC's is, so
// that each device stays with the address that reached us.
std::string Endpoint(const Config& config, const std::string& host, uint16_t port) {
  if (host == config.listen.host || IsWildcard(host)) return fmt::format(":{}", port);
  return ToString({host, port});
}

// How many connections there may be, of the descriptors that this process may hold: a reserve is
// for files. gRPC's take two each, those that wait at its door one.
struct Connections {
  size_t http, grpc, held;
};
Connections MostConnections() {
  constexpr uint64_t kReserve = 256, kHttp = 1024, kHeld = 512, kFew = 1024;
  const uint64_t files = RaiseOpenFiles(0).value_or(kFew);  // as it is
  const uint64_t free = files - std::min(kReserve, files / 4);
  const uint64_t http = std::min(kHttp, free / 4), held = std::min(kHeld, free / 8);
  return {http, (free - http - held) / 2, held};
}

// Names that the certificate has to carry besides the local ones.
std::vector<std::string> ListenNames(const Config& config) {
  std::vector<std::string> names = config.names;
  for (const std::string& host : {config.listen.host, config.http.host, config.fleet_listen.host})
    if (!host.empty() && !IsWildcard(host)) names.push_back(host);
  return names;
}

// Wherever it was started: records and messages name the same folder.
Config Placed(Config config) {
  config.data = fs::absolute(config.data).lexically_normal();
  return config;
}

}  // namespace

struct Server::Impl {
  Impl(Config config_in, Environment environment_in)
      : config(Placed(std::move(config_in))),
        environment(std::move(environment_in)),
        blobs(environment.files, config.data / "blobs"),
        device_errors(config.data, environment.random, environment.clock, environment.warn) {}

  absl::Status Open();
  absl::Status ServeHttp(const Authority::ServerCredential& identity);
  absl::Status ServeGrpc(const Authority::ServerCredential& identity);
  absl::Status WriteAdminCredential();
  absl::Status WriteEndpoints();
  absl::Status Ready();
  std::string Metrics(HttpServer::Traffic traffic);
  void Stop();

  const Config config;
  const Environment environment;
  int64_t started_ms = 0;
  HostPort grpc_at, http_at;
  std::optional<DataLock> lock;
  std::unique_ptr<Authority> authority;
  std::unique_ptr<Store> store;
  pipeline::FolderBlobStore blobs;
  std::unique_ptr<ModelRegistry> models;
  std::unique_ptr<CalibrationTexts> texts;
  std::unique_ptr<ClassRegistry> classes;
  std::unique_ptr<Fleet> fleet;
  std::unique_ptr<Rollouts> rollouts;
  std::unique_ptr<Operators> operators;
  std::unique_ptr<Ticker> ticker;
  std::unique_ptr<JobRunner> jobs;
  std::unique_ptr<Scrubber> scrubber;
  std::unique_ptr<app::App> app;
  std::unique_ptr<app::Chronicle> chronicle;
  app::DeviceErrors device_errors;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<GrpcServer> grpc;
  std::unique_ptr<Probe> probe;  // of grpc; the HTTPS side asks it once `serving`
  std::atomic<bool> serving{false};
};

absl::Status Server::Impl::Open() {
  FileSystem& files = environment.files;
  const Clock& clock = environment.clock;
  Random& random = environment.random;
  started_ms = ToUnixMillis(clock.Now());
  QF_RETURN_IF_ERROR(files.MakeFolder(config.data));
  QF_ASSIGN_OR_RETURN(DataLock taken, DataLock::Take(files, config.data));
  lock.emplace(std::move(taken));
  QF_RETURN_IF_ERROR(
      files.Remove(config.data / "endpoints.json"));  // those of an earlier process lead nowhere
  QF_RETURN_IF_ERROR(CheckUnshared(config.data / "state.db"));
  QF_RETURN_IF_ERROR(CheckState(files, clock, config.data, environment.warn));
  // The state first: keys without a state are those of a fleet that was lost.
  QF_ASSIGN_OR_RETURN(store, OpenSqliteStore(config.data / "state.db"));
  QF_RETURN_IF_ERROR(CheckKeys(files, *store, config.data));
  QF_ASSIGN_OR_RETURN(authority, Authority::Open(files, clock, config.data, ListenNames(config)));

  models = std::make_unique<ModelRegistry>(*store, files, random, clock, config.data);
  const fs::path calibration_texts = config.calibration_texts.empty()
                                         ? config.data / "calibration-texts"
                                         : config.calibration_texts;
  texts = std::make_unique<CalibrationTexts>(files, calibration_texts);
  classes = std::make_unique<ClassRegistry>(*store, texts.get());
  QF_RETURN_IF_ERROR(classes->SeedShipped());
  Fleet::Options fleet_options{
      config.certificate_lifetime, config.check_in, config.enrollment_queue, {}};
  if (!config.enrollment_ca.empty()) {
    QF_ASSIGN_OR_RETURN(fleet_options.customer_ca_pem,
                        files.ReadAll(config.enrollment_ca, 1 << 20));
    const std::string place = "enrollment CA " + config.enrollment_ca.string();
    QF_RETURN_IF_ERROR(Annotate(trust::CheckAuthorities(fleet_options.customer_ca_pem), place));
  }
  fleet = std::make_unique<Fleet>(Fleet::Collaborators{*store, *authority, *classes, random, clock},
                                  std::move(fleet_options));
  rollouts = std::make_unique<Rollouts>(
      Rollouts::Collaborators{*store, *authority, *classes, random, clock}, config.check_in);
  operators = std::make_unique<Operators>(
      Operators::Collaborators{*store, *authority, fleet->challenges(), random, clock},
      config.operator_certificate_lifetime);
  QF_RETURN_IF_ERROR(operators->Open());
  JobRunner::Options options;
  options.memory_bytes = config.memory_mib << 20;
  options.threads = config.threads;
  options.evaluation.tokens = config.evaluation_tokens;
  options.evaluation.prompts = config.golden_prompts;
  if (!config.evaluation_text.empty()) {
    QF_ASSIGN_OR_RETURN(options.evaluation.text, files.ReadAll(config.evaluation_text));
  }
  options.scratch = config.data / "evaluation";
  options.data = config.data;
  options.calibration_texts = calibration_texts;
  options.on_collected = [log = environment.log,
                          warn = environment.warn](const absl::StatusOr<Collected>& collected) {
    if (!collected.ok())
      return warn(fmt::format("collecting garbage: {}", Describe(collected.status())));
    if (collected->blobs_removed > 0)
      log(fmt::format("garbage: freed {} in {} blobs", HumanBytes(collected->bytes_removed),
                      collected->blobs_removed));
  };
  jobs = std::make_unique<JobRunner>(
      JobRunner::Collaborators{*store, *authority, blobs, files, random, clock},
      std::move(options));
  Scrubber::Options scrub;
  scrub.every = std::chrono::hours(config.scrub_hours);
  scrub.bytes_per_second = config.scrub_mib_per_second << 20;
  scrub.data = config.data;
  scrub.log = environment.log;
  scrub.warn = environment.warn;
  scrubber = std::make_unique<Scrubber>(Scrubber::Collaborators{*store, blobs, files, *jobs, clock},
                                        std::move(scrub));
  app::Calls::Options calls;
  calls.log = environment.events;
  calls.warn = environment.warn;
  calls.keep = std::chrono::hours(24 * config.audit_days);
  app = std::make_unique<app::App>(
      app::Backend{*store, *authority, *models, *jobs, *scrubber, blobs, *classes, *fleet,
                   *rollouts, *operators, clock, started_ms},
      std::move(calls));
  chronicle = std::make_unique<app::Chronicle>(*store, environment.events);
  if (const absl::Status trimmed = app->calls.Trim(); !trimmed.ok())
    environment.warn(fmt::format("removing old audit entries: {}", Describe(trimmed)));
  if (const absl::Status swept = models->Sweep(); !swept.ok())
    environment.warn(fmt::format("removing leftovers of pushes: {}", Describe(swept)));
  return absl::OkStatus();
}

std::string Server::Impl::Metrics(HttpServer::Traffic traffic) {
  MetricValues values;
  values.version = QUANTFLEET_VERSION;
  values.started_ms = started_ms;
  if (auto counts = app->status.Count(); counts.ok()) values.counts = *counts;
  const FleetCounters& counters = fleet->counters();
  values.check_ins = counters.check_ins;
  values.enrollments = counters.enrollments;
  values.enrollments_held = counters.enrollments_held;
  values.enrollments_refused = counters.enrollments_refused;
  values.renewals = counters.renewals;
  values.renewals_refused = counters.renewals_refused;
  values.http_requests = std::move(traffic.requests);
  values.http_connections = traffic.connections;
  values.http_connections_refused = traffic.refused;
  values.blob_bytes = traffic.blob_bytes;
  const Scrubber::Counts scrubbed = scrubber->counts();
  values.blobs_checked = scrubbed.checked;
  values.blobs_damaged = scrubbed.damaged;
  values.blobs_missing = scrubbed.missing;
  values.scrub_finished_ms = scrubber->Get().finished_ms();
  if (serving) {
    const Door::Counts door = grpc->connections();
    values.grpc_connections = door.crowd.open;
    values.grpc_strangers = door.crowd.strangers;
    values.grpc_connections_refused = door.crowd.refused;
    values.grpc_strangers_cut = door.cut + door.crowd.gave_way;
  }
  return RenderMetrics(values);
}

absl::Status Server::Impl::Ready() {
  if (!serving) return Unavailable("the daemon is starting");
  QF_RETURN_IF_ERROR(app->status.Count().status());
  return probe->Check();
}

absl::Status Server::Impl::ServeHttp(const Authority::ServerCredential& identity) {
  HttpServer::Options options;
  options.host = config.http.host;
  options.port = config.http.port;
  options.ca_pem = authority->authorities_pem();
  options.certificate_pem = identity.certificate_pem;
  options.private_pem = identity.private_pem;
  options.grace = kHttpGrace;
  options.max_connections = MostConnections().http;
  HttpServer::Handlers handlers;
  handlers.for_device = [this](const absl::Status& error) {
    return device_errors.ForDevice(error);
  };
  handlers.authorize = [this](const trust::CertificateInfo& certificate) {
    return app->device_calls.MayReadBlobs(certificate);
  };
  handlers.metrics = [this](HttpServer::Traffic traffic) { return Metrics(std::move(traffic)); };
  handlers.ready = [this] { return Ready(); };
  handlers.unreadable = [this](const Digest& blob) { return scrubber->Suspect(blob); };
  QF_ASSIGN_OR_RETURN(http, HttpServer::Start(blobs, std::move(options), std::move(handlers)));
  http_at = {config.http.host, http->port()};
  return absl::OkStatus();
}

absl::Status Server::Impl::ServeGrpc(const Authority::ServerCredential& identity) {
  GrpcServer::Options options;
  options.host = config.listen.host;
  options.port = config.listen.port;
  options.ca_pem = authority->authorities_pem();
  options.certificate_pem = identity.certificate_pem;
  options.private_pem = identity.private_pem;
  const Connections most = MostConnections();
  http::Crowd::Limits& crowd = options.door.crowd;
  crowd.most = most.grpc;
  crowd.most_strangers = std::min(crowd.most_strangers, most.grpc / 2);
  crowd.most_strangers_per_address =
      std::min(crowd.most_strangers_per_address, crowd.most_strangers / 4);
  options.door.most_held = most.held;
  options.door.log = environment.warn;
  options.for_device = [this](const absl::Status& error) { return device_errors.ForDevice(error); };
  options.fleet_host = config.fleet_listen.host;
  options.fleet_port = config.fleet_listen.port;
  app->set_blob_endpoint(Endpoint(config, config.http.host, http_at.port));
  options.fleet_listens = [this](uint16_t fleet_port) {
    app->set_fleet_endpoint(Endpoint(config, config.fleet_listen.host, fleet_port));
  };
  QF_ASSIGN_OR_RETURN(grpc, GrpcServer::Start(*app, options));
  grpc_at = {config.listen.host, grpc->port()};
  probe = std::make_unique<Probe>(ToString(Reachable(grpc_at)),
                                  net::ServerTrust{authority->authorities_pem(), {}, {}},
                                  environment.clock);
  serving = true;
  return absl::OkStatus();
}

// Unless an operator has revoked it: then there is another admin.
absl::Status Server::Impl::WriteAdminCredential() {
  QF_ASSIGN_OR_RETURN(const Authority::ServerCredential own, authority->AdminIdentity());
  QF_ASSIGN_OR_RETURN(const bool counts, operators->KeepOwn(own.certificate_pem));
  if (counts) return authority->WriteAdminCredential(ToString(Reachable(grpc_at))).status();
  environment.log("admin.json is not written: its operator was revoked");
  return environment.files.Remove(config.data / "admin.json");
}

absl::Status Server::Impl::WriteEndpoints() {
  QF_RETURN_IF_ERROR(WriteAdminCredential());
  // Hosts are IP addresses or host names: nothing that JSON escapes.
  const std::string json =
      fmt::format("{{\"grpc\": \"{}\", \"http\": \"{}\", \"pid\": {}}}\n",
                  ToString(Reachable(grpc_at)), ToString(Reachable(http_at)), ::getpid());
  return environment.files.WriteAtomically(config.data / "endpoints.json", AsBytes(json));
}

void Server::Impl::Stop() {
  // The calls first: they use everything else.
  if (grpc) grpc->Stop(kGrpcGrace);
  if (http) http->Stop();
  if (scrubber) scrubber->Stop();
  if (jobs) jobs->Stop();
  ticker.reset();
  if (store)
    if (const absl::Status flushed = store->Flush(); !flushed.ok())
      environment.warn(Describe(flushed));
  if (lock) environment.files.Remove(config.data / "endpoints.json").IgnoreError();
  http.reset();
  probe.reset();
  grpc.reset();
  chronicle.reset();
  app.reset();
  scrubber.reset();
  jobs.reset();
  operators.reset();
  rollouts.reset();
  fleet.reset();
  classes.reset();
  models.reset();
  store.reset();
  authority.reset();
  lock.reset();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config,
                                                      const Environment& environment) {
  std::unique_ptr<Server> server(new Server(std::make_unique<Impl>(config, environment)));
  Impl& impl = *server->impl_;
  QF_RETURN_IF_ERROR(impl.Open());
  const auto identity = impl.authority->ServerIdentity();
  if (!identity.ok()) return Annotate(identity.status(), "the server's certificate");
  QF_RETURN_IF_ERROR(impl.ServeHttp(*identity));
  QF_RETURN_IF_ERROR(impl.ServeGrpc(*identity));
  QF_RETURN_IF_ERROR(impl.jobs->Start());
  QF_RETURN_IF_ERROR(impl.scrubber->Start());
  impl.ticker = std::make_unique<Ticker>(*impl.rollouts, kTick, environment.warn);
  QF_RETURN_IF_ERROR(impl.WriteEndpoints());
  return server;
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { Stop(); }
void Server::Stop() { impl_->Stop(); }
HostPort Server::grpc() const { return impl_->grpc_at; }
HostPort Server::http() const { return impl_->http_at; }
fs::path Server::admin_credential() const { return impl_->config.data / "admin.json"; }

}  // namespace quantfleet::daemon
