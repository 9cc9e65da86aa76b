#include "agent/agent.h"

#include <spdlog/spdlog.h>

#include <condition_variable>
#include <mutex>

#include "agent/identity/session.h"
#include "agent/platform/hardware.h"
#include "agent/platform/state_lock.h"
#include "agent/platform/unwritten.h"
#include "agent/self/self_host.h"
#include "agent/self/trial.h"
#include "agent/serve/listen_address.h"
#include "agent/socket_folder.h"
#include "agent/status_file.h"
#include "agent/update/worker.h"
#include "engine/measure/kernel_benchmark.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kBudgetEvery = std::chrono::minutes(10);  // between looks at downloads that wait
constexpr Duration kFirstRetry = std::chrono::seconds(1), kMaxRetry = std::chrono::seconds(60);
constexpr Duration kFirstRetryRevoked = std::chrono::minutes(1),
                   kMaxRetryRevoked = std::chrono::minutes(30);
constexpr Duration kLeastCheckIn = std::chrono::milliseconds(200),
                   kMaxCheckIn = std::chrono::hours(1);
constexpr Duration kFactsEvery = std::chrono::hours(1);

// Wakes the check-in loop when a model's phase changes.
class Bell {
 public:
  void Ring() {
    std::lock_guard lock(mutex_);
    rung_ = true;
    wake_.notify_all();
  }
  // True when it rang or `time` is over; false when stopped.
  bool Wait(Duration time, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, time, [this] { return rung_; });
    rung_ = false;
    return !stop.stop_requested();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool rung_ = false;
};

void Log(const v1::ModelStatus& status) {
  const std::string& phase = v1::ModelStatus::Phase_Name(status.phase());
  if (status.phase() == v1::ModelStatus::FAILED) {
    spdlog::error("{} release {}: {} {}: {}", status.model(), status.release(), phase,
                  status.reason(), status.detail());
  } else if (status.phase() == v1::ModelStatus::HEALTHY) {
    const double speed = status.tokens_per_second();
    spdlog::info("{} release {}: {}{}, {} downloaded ({} received in all), {} reused",
                 status.model(), status.release(), phase,
                 speed > 0 ? fmt::format(", {:.1f} tokens/s", speed) : "",
                 HumanBytes(status.bytes_pulled()), HumanBytes(status.bytes_paid()),
                 HumanBytes(status.bytes_reused()));
    if (!status.detail().empty())
      spdlog::warn("{} release {}: {}", status.model(), status.release(), status.detail());
  } else if (!status.reason().empty()) {
    spdlog::warn("{} release {}: {} {}: {}", status.model(), status.release(), phase,
                 status.reason(), status.detail());
  } else {
    spdlog::info("{} release {}: {}", status.model(), status.release(), phase);
  }
}

class Agent {
 public:
  // `sockets`: the folder for the sockets of runtimes; it exists.
  Agent(const AgentWorld& world, const AgentOptions& options, CompletionServer& server,
        DeviceIdentity identity, fs::path sockets, Unwritten& unwritten)
      : world_(world),
        options_(options),
        server_(server),
        unwritten_(unwritten),
        clock_(world.clock),
        store_(world.files, options.state, &unwritten),
        session_(store_, world.connect, clock_, std::move(identity)),
        host_(EngineHost(server, {.threads = options.threads, .context = 0},
                         [this] { return MemoryAvailable(); }),
              server,
              {.allowed = options.runtimes,
               .threads = options.threads,
               .sockets = std::move(sockets),
               .runtime_disk_bytes = options.runtime_disk_bytes},
              Runtimes()),
        self_({.state = options.state, .self = SelfPath(), .version = world.version}, Self()),
        budget_(world.files, options.state / "pulled.json", clock_),
        blobs_(MakeHttpsBlobSource([this] { return session_.blob_access(); })),
        hardware_(MakeHardware(world.files)),
        worker_(Environment(), options.state / "models", session_.identity().device_id),
        backoff_(world.random, kFirstRetry, kMaxRetry),
        revoked_backoff_(world.random, kFirstRetryRevoked, kMaxRetryRevoked) {}

  ~Agent() {
    worker_.Stop();
    host_.StopAll();  // runtimes notify the worker when they are given up
  }

  absl::StatusOr<AgentEnd> Run(std::stop_token stop) {
    const std::stop_callback end_calls(stop, [this] { session_.Stop(); });
    // A disk that takes nothing does not end what is installed: a model that was proven answers
    // without it, and whoever installs another makes the folder, or says why not.
    world_.files.MakeFolder(options_.state / "models").IgnoreError();
    PublishEndpoint({}).IgnoreError();
    worker_.Start();
    Duration wait{0};
    while (bell_.Wait(wait, stop) && !self_.restarts()) {
      wait = CheckIn();
      if (worker_.booted()) self_.Lives();
      if (options_.once && done_) break;
    }
    worker_.Stop();
    self_.Lives();  // a clean end
    Publish();
    if (stop.stop_requested()) return AgentEnd::kStopped;
    if (self_.restarts()) return AgentEnd::kBecomeCurrent;
    QF_RETURN_IF_ERROR(Outcome());
    return AgentEnd::kStopped;
  }

 private:
  UpdateEnvironment Environment() {
    return {.files = world_.files,
            .random = world_.random,
            .sleeper = sleeper_,
            .clock = clock_,
            .budget = budget_,
            .blobs = *blobs_,
            .host = self_,
            .get_artifact = [this](const auto& request) { return session_.GetArtifact(request); },
            .trust_root = [this] { return session_.identity().trust_root; },
            .turns = turns_,
            .min_bytes_per_second = options_.min_download_rate,
            .on_change =
                [this](const v1::ModelStatus& status) {
                  if (!status.model().empty()) Log(status);
                  bell_.Ring();
                }};
  }

  ModelHosts::World Runtimes() {
    return {.clock = world_.clock,
            .random = world_.random,
            .sleeper = sleeper_,
            .log = [](const std::string& model,
                      std::string_view line) { spdlog::info("{}: {}", model, line); },
            .on_given_up = [this] { worker_.LookAgain(); }};
  }

  SelfHost::World Self() {
    return {.files = world_.files,
            .models = host_,
            .trial =
                [this](const fs::path& program, const Digest& manifest, const std::string& version,
                       auto stop) {
                  spdlog::info("quantfleet-agent {}: starting its trial", version);
                  return RunTrial(program, options_.state, manifest, version, stop);
                },
            .on_restart = [this] { bell_.Ring(); }};
  }

  uint64_t MemoryAvailable() const {
    v1::HardwareFacts facts = hardware_->Find(options_.state);
    Override(options_.overrides, &facts);
    return facts.memory_available_bytes();
  }

  // One exchange with the daemon; how long to wait until the next.
  Duration CheckIn() {
    LookAtDamage();
    Publish();
    // Taken before the report, so that what is reported is at least as new.
    const bool settled = worker_.settled() && heard_;
    v1::CheckInRequest request;
    request.set_agent_version(world_.version);
    request.set_unwritten(unwritten_.Text());
    for (v1::ModelStatus& status : worker_.statuses()) *request.add_models() = std::move(status);
    if (!facts_sent_ || world_.clock.Monotonic() - *facts_sent_ >= kFactsEvery) {
      *request.mutable_facts() = FindFacts(
          world_.files, *hardware_, [] { return engine::MeasureKernel(); }, options_.state);
      for (const auto& [name, program] : options_.runtimes)
        request.mutable_facts()->add_runtimes(name);
      Override(options_.overrides, request.mutable_facts());
    }
    auto response = session_.CheckIn(request);
    WarnOfClocks();
    if (!response.ok()) return After(response.status());
    if (request.has_facts()) facts_sent_ = world_.clock.Monotonic();
    if (!connected_)
      spdlog::info("checked in as {}, class {}", session_.identity().device_id,
                   response->device_class());
    connected_ = true;
    self_.CheckedIn();
    revoked_ = false;
    backoff_.Reset();
    revoked_backoff_.Reset();
    worker_.Hand({response->assignments().begin(), response->assignments().end()});
    heard_ = true;
    LookAtWaiting();
    done_ = settled && worker_.settled();
    const Duration next =
        std::clamp(Duration(response->next_check_in_ms()), kLeastCheckIn, kMaxCheckIn);
    // Up to a tenth later, so that devices that started together spread out.
    return next + Duration(static_cast<int64_t>(world_.random.Next() %
                                                static_cast<uint64_t>(next.count() / 10 + 1)));
  }

  // Once for each new distance between this machine's clock and the daemon's.
  void WarnOfClocks() {
    const auto clocks = session_.ClocksApart();
    const Duration apart = clocks ? clocks->here - clocks->daemon : Duration{0};
    if (clocks && std::chrono::abs(apart - warned_apart_) < trust::kBackdate) return;
    if (clocks) spdlog::warn("{}", session_.DescribeClocks(*clocks));
    warned_apart_ = apart;
  }

  // A model whose file was cut short while it ran does not say so by itself.
  void LookAtDamage() {
    for (const v1::ModelStatus& model : worker_.statuses())
      if (self_.Condition(model.model()).Is(Reason::kDamaged)) return worker_.LookAgain();
  }

  // As days pass, a budget is freed.
  void LookAtWaiting() {
    const auto models = worker_.statuses();
    const bool waits = std::ranges::find(models, v1::ModelStatus::AWAITING_APPROVAL,
                                         &v1::ModelStatus::phase) != models.end();
    const Duration now = world_.clock.Monotonic();
    if (!waits) looked_ = std::nullopt;
    if (waits && !looked_) looked_ = now;
    if (!waits || now - *looked_ < kBudgetEvery) return;
    looked_ = now;
    worker_.LookAgain();
  }

  Duration After(const absl::Status& failure) {
    if (failure.code() == absl::StatusCode::kPermissionDenied) {
      if (!revoked_)
        spdlog::error(
            "this device was revoked or refused: {}; what runs keeps running, but nothing more is "
            "downloaded",
            Message(failure));
      revoked_ = true;
      connected_ = false;
      done_ = true;
      return revoked_backoff_.Next();
    }
    if (connected_ || !told_)
      spdlog::warn("cannot reach the daemon: {}; trying again", Describe(failure));
    told_ = true;
    connected_ = false;
    return backoff_.Next();
  }

  // For other processes of this machine, when something changed.
  void Publish() {
    const auto models = worker_.statuses();
    std::string now;
    for (const v1::ModelStatus& model : models)
      now += fmt::format("{}/{}/{}/{}/{}/{};", model.model(), model.release(),
                         static_cast<int>(model.phase()), model.endpoint(), model.reason(),
                         model.bytes_done() + model.bytes_pulled());
    if (now == published_) return;
    const absl::Status status = unwritten_.Note(
        "status.json",
        WriteStatus(world_.files, options_.state, {world_.version, self_.slot()}, models));
    if (PublishEndpoint(models).ok() && status.ok()) published_ = now;  // else again next time
  }

  absl::Status PublishEndpoint(const std::vector<v1::ModelStatus>& models) {
    return unwritten_.Note("endpoint.json",
                           WriteEndpoint(world_.files, options_.state, server_.endpoint(), models));
  }

  absl::Status Outcome() {
    if (revoked_) return PermissionDenied("this device has been revoked");
    for (const v1::ModelStatus& model : worker_.statuses())
      if (model.phase() == v1::ModelStatus::FAILED)
        return Aborted("{} release {} failed: {}: {}", model.model(), model.release(),
                       model.reason(), model.detail());
    return absl::OkStatus();
  }

  const AgentWorld& world_;
  const AgentOptions& options_;
  CompletionServer& server_;
  Unwritten& unwritten_;
  TrustedClock clock_;
  const IdentityStore store_;
  Session session_;
  RealSleeper sleeper_;
  ModelHosts host_;
  Bell bell_;
  SelfHost self_;
  DataBudget budget_;
  const std::unique_ptr<BlobSource> blobs_;
  Turns turns_;
  const std::unique_ptr<Hardware> hardware_;
  UpdateWorker worker_;
  Backoff backoff_, revoked_backoff_;
  std::optional<Duration> facts_sent_;
  std::optional<Duration> looked_;  // at downloads that wait
  Duration warned_apart_{0};        // how far apart the clocks were at the last warning of them
  bool connected_ = false, told_ = false, revoked_ = false, heard_ = false, done_ = false;
  std::string published_ = "none yet";
};

}  // namespace

absl::StatusOr<AgentEnd> RunAgent(const AgentWorld& world, const AgentOptions& options,
                                  std::stop_token stop) {
  QF_ASSIGN_OR_RETURN(DeviceIdentity identity, IdentityStore(world.files, options.state).Load());
  QF_ASSIGN_OR_RETURN(const StateLock lock, StateLock::Take(world.files, options.state));
  CompletionServer::Options serve;
  serve.listen = options.listen;
  serve.plain_chat = options.plain_chat;
  serve.version = world.version;
  QF_ASSIGN_OR_RETURN(const auto server, CompletionServer::Start(serve, world.clock, world.random));
  spdlog::info("quantfleet-agent {}, device {}; models are served on {}", world.version,
               identity.device_id, EndpointUrl(server->endpoint()));
  Unwritten unwritten([](const std::string& line) { spdlog::warn("{}", line); });
  QF_ASSIGN_OR_RETURN(const SocketFolder sockets, SocketFolder::Make(world.files, options.state));
  Agent agent(world, options, *server, std::move(identity), sockets.path(), unwritten);
  return agent.Run(stop);
}

}  // namespace quantfleet::agent
