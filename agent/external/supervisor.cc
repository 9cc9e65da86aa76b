#include "agent/external/supervisor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/serve/listen_address.h"
#include "common/base/bytes.h"
#include "common/trust/runtime.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kMaxRestartWait = std::chrono::minutes(1);
constexpr Duration kSteady =
    std::chrono::minutes(1);  // after being ready this long it counts restarts from zero
// Only what a class says counts; but programs and scripts that call others need to find them.
constexpr const char* kPath = "PATH=/usr/local/bin:/usr/bin:/bin";
constexpr std::string_view kUnixAddress = "unix:";
// EX_CONFIG of sysexits.h: the program cannot run this artifact, and starting it again is no use.
constexpr int kNoUse = 78;
constexpr int kMaxLines = 200;  // of output in a minute that go to the log

// What a folder takes on the disk.
uint64_t DiskBytes(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat file{};
    if (::lstat(at->path().c_str(), &file) == 0)
      bytes += static_cast<uint64_t>(file.st_blocks) * 512;
  }
  return bytes;
}

bool WantsSocket(const v1::Runtime& runtime) {
  const auto holds = [](const std::string& text) {
    return text.find("{socket}") != std::string::npos;
  };
  return std::ranges::any_of(runtime.args(), holds) ||
         std::ranges::any_of(runtime.env(),
                             [&](const auto& variable) { return holds(variable.second); });
}

}  // namespace

Supervisor::Supervisor(RuntimeOrder order, SupervisorWorld world)
    : order_(std::move(order)), world_(std::move(world)) {
  thread_ = std::jthread([this](std::stop_token stop) { Work(stop); });
}

Supervisor::~Supervisor() {
  thread_.request_stop();
  thread_.join();
  if (WantsSocket(order_.runtime)) ::unlink(order_.socket.c_str());
  std::error_code error;
  if (!order_.folder.empty()) fs::remove_all(order_.folder, error);
}

Verdict Supervisor::AwaitReady(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return was_ready_ || !condition_.ok(); }))
    return {Reason::kInterrupted, "stopping"};
  return condition_;
}

Verdict Supervisor::condition() const {
  std::lock_guard lock(mutex_);
  return condition_;
}

void Supervisor::Work(std::stop_token stop) {
  const v1::Runtime& runtime = order_.runtime;
  const Duration first_by = Now() + start_timeout();
  Backoff backoff(world_.random, Duration(runtime.restart_ms()), kMaxRestartWait);
  heard_ = Now();
  for (uint32_t restarts = 0; !stop.stop_requested(); ++restarts) {
    ready_ = false;
    Verdict ended = Live(stop);
    if (stop.stop_requested()) return;
    if (ready_ && Now() - ready_since_ >= kSteady) {
      restarts = 0;
      backoff.Reset();
    }
    if (!last_words_.empty())
      ended = {ended.reason(), ended.detail() + "; its last output: " + last_words_};
    const Duration wait = backoff.Next();
    // All starts until it is first ready share one limit: an activation waits for them.
    if (no_use_ || restarts >= runtime.restarts() || (!was_ready_ && Now() + wait >= first_by))
      return GiveUp(ended, restarts);
    world_.log(fmt::format("{}; restarting it in {} ms", ended.detail(), wait.count()));
    if (!world_.sleeper.Sleep(wait, stop)) return;
    if (was_ready_) heard_ = Now();
  }
}

void Supervisor::GiveUp(const Verdict& why, uint32_t restarts) {
  {
    std::lock_guard lock(mutex_);
    condition_ = why.Within(fmt::format("runtime {} failed after {} {}", order_.runtime.command(),
                                        restarts, restarts == 1 ? "restart" : "restarts"));
    changed_.notify_all();
  }
  world_.on_given_up();
}

absl::StatusOr<std::string> Supervisor::NewAddress() const {
  if (WantsSocket(order_.runtime)) {
    ::unlink(order_.socket.c_str());  // of the life before
    return std::string(kUnixAddress) + order_.socket.string();
  }
  // Another process may take it before the child does; then the child ends and gets another.
  QF_ASSIGN_OR_RETURN(const http::ListenSocket free, http::OpenListenSocket({"127.0.0.1", 0, {}}));
  ::close(free.fd);
  return free.endpoint;
}

absl::StatusOr<ChildSpec> Supervisor::Spec(const std::string& address) const {
  auto values = order_.values;
  values["port"] = address.substr(address.rfind(':') + 1);
  values["socket"] = order_.socket.string();
  ChildSpec spec{.program = order_.program, .args = {}, .env = {kPath}, .folder = order_.folder};
  if (!order_.folder.empty())
    for (const char* name : {"HOME=", "TMPDIR="}) spec.env.push_back(name + order_.folder.string());
  for (const std::string& arg : order_.runtime.args()) {
    QF_ASSIGN_OR_RETURN(std::string filled, trust::FillIn(arg, values));
    spec.args.push_back(std::move(filled));
  }
  for (const auto& [name, value] : order_.runtime.env()) {
    QF_ASSIGN_OR_RETURN(const std::string filled, trust::FillIn(value, values));
    spec.env.push_back(name + "=" + filled);
  }
  return spec;
}

absl::Status Supervisor::MakeFolder() const {
  if (order_.folder.empty()) return absl::OkStatus();
  std::error_code error;
  fs::remove_all(order_.folder, error);  // of the life before
  if (!error) fs::create_directory(order_.folder, error);
  if (!error) fs::permissions(order_.folder, fs::perms::owner_all, error);
  return error ? ErrnoStatus(error.value(), "making " + order_.folder.string()) : absl::OkStatus();
}

// The log is on a disk, too.
void Supervisor::Hear(std::string_view line) {
  last_words_ = line;
  if (Now() - minute_ >= std::chrono::minutes(1)) {
    minute_ = Now();
    lines_ = 0;
  }
  if (++lines_ <= kMaxLines) return world_.log(line);
  if (lines_ == kMaxLines + 1)
    world_.log(fmt::format(
        "the program writes more than {} lines in a minute: the rest is left out", kMaxLines));
}

Verdict Supervisor::Live(std::stop_token stop) {
  last_words_.clear();
  const auto not_started = [](const absl::Status& status) {
    return Verdict(Reason::kHealthFailed, Message(status));
  };
  const absl::StatusOr<std::string> address = NewAddress();
  if (!address.ok()) return not_started(address.status());
  const absl::StatusOr<ChildSpec> spec = Spec(*address);
  if (!spec.ok()) return not_started(spec.status());
  if (const absl::Status made = MakeFolder(); !made.ok()) return not_started(made);
  const auto started = ChildProcess::Start(*spec, [this](std::string_view line) { Hear(line); });
  if (!started.ok()) return not_started(started.status());
  ChildProcess& child = **started;
  world_.log(fmt::format("started {} as process {}", order_.program.string(), child.pid()));
  const Verdict why = Watch(child, *address, stop);
  upstream_->SetAddress("");
  child.Terminate(stop_timeout());
  memory_bytes_ = 0;
  return why;
}

Verdict Supervisor::Watch(ChildProcess& child, const std::string& address, std::stop_token stop) {
  const v1::Runtime& runtime = order_.runtime;
  while (true) {
    const auto event = child.Wait(ready_ ? world_.ask_when_ready : world_.ask_until_ready, stop);
    if (event == ChildProcess::Event::kEnded) {
      no_use_ = child.exit_status() == kNoUse;
      return Setback(Reason::kHealthFailed, "the program ended with {}", child.ending());
    }
    if (event == ChildProcess::Event::kStopped) return {Reason::kInterrupted, "stopping"};
    if (const uint64_t memory = memory_bytes_ = child.memory_bytes();
        runtime.memory_bytes() > 0 && memory > runtime.memory_bytes())
      return Setback(Reason::kOutOfMemory, "the program used {} of memory, the class allows {}",
                     HumanBytes(memory), HumanBytes(runtime.memory_bytes()));
    if (order_.disk_bytes > 0)
      if (const uint64_t disk = DiskBytes(order_.folder); disk > order_.disk_bytes)
        return Setback(Reason::kHealthFailed,
                       "the program keeps {} on this disk, the device allows {} "
                       "(--runtime-disk-mib)",
                       HumanBytes(disk), HumanBytes(order_.disk_bytes));
    const absl::Status answer = world_.ask(address, runtime.health_path(), stop);
    if (answer.ok()) {
      heard_ = Now();
      if (ready_) continue;
      ready_ = true;
      ready_since_ = heard_;
      upstream_->SetAddress(address);
      std::lock_guard lock(mutex_);
      was_ready_ = true;
      changed_.notify_all();
    } else if (Now() - heard_ >= start_timeout()) {
      return Setback(Reason::kHealthFailed, "the program was not ready for {} s ({})",
                     runtime.start_timeout_seconds(), Message(answer));
    }
  }
}

}  // namespace quantfleet::agent
