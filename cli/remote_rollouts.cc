// quantfleet rollout create|status|list

#include <map>
#include <thread>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"

namespace quantfleet::cli {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // for a daemon that is being restarted
constexpr auto kPollEvery = std::chrono::milliseconds(500);

// "2 healthy, 1 pending"
std::string Counts(const v1::Rollout& rollout) {
  std::map<v1::RolloutDevice::State, int> counts;
  for (const v1::RolloutDevice& device : rollout.devices()) ++counts[device.state()];
  constexpr std::pair<v1::RolloutDevice::State, const char*> kNames[] = {
      {v1::RolloutDevice::HEALTHY, "healthy"}, {v1::RolloutDevice::IN_PROGRESS, "in progress"},
      {v1::RolloutDevice::PENDING, "pending"}, {v1::RolloutDevice::FAILED, "failed"},
      {v1::RolloutDevice::SKIPPED, "skipped"}};
  std::string text;
  for (const auto& [state, name] : kNames)
    if (counts[state] > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[state], name);
  return text.empty() ? "no devices" : text;
}

// "artifacts/<64 hex digits>" as the 12 digits that `artifact show` takes.
std::string ShortArtifact(const std::string& name) {
  const size_t slash = name.find('/');
  return slash == std::string::npos ? name : name.substr(slash + 1, 12);
}

void PrintRollout(const v1::Rollout& rollout, Time now) {
  const int64_t end = rollout.finished_ms() ? rollout.finished_ms() : ToUnixMillis(now);
  PrintOut(Fields({{"name", rollout.name()},
                   {"model", rollout.model()},
                   {"state", v1::Rollout::State_Name(rollout.state())},
                   {"devices", Counts(rollout)},
                   {"created", fmt::format("{} ({})", UtcTime(rollout.created_ms()), Relative(rollout.created_ms(), now))},
                   {rollout.finished_ms() ? "took" : "running for", HumanDuration(Duration(end - rollout.created_ms()))}}));
  if (rollout.devices_size() == 0) return;
  Table table({"DEVICE", "CLASS", "ARTIFACT", ">RELEASE", "STATE", "REASON"});
  for (const v1::RolloutDevice& device : rollout.devices())
    table.Add({device.device_id(), device.device_class(), ShortArtifact(device.artifact()),
               fmt::format("{}", device.release()), v1::RolloutDevice::State_Name(device.state()), device.reason()});
  PrintOut("\n" + table.ToString(""));
}

void Output(const v1::Rollout& rollout, bool json, const RemoteContext& remote) {
  if (json) PrintJson(rollout);
  else PrintRollout(rollout, remote.clock.Now());
}

absl::StatusOr<v1::Rollout> WatchToTheEnd(OperatorClient& client, v1::Rollout rollout, const Clock& clock) {
  StatusLine line(clock);
  for (Duration reached_at = clock.Monotonic(); rollout.state() == v1::Rollout::RUNNING;) {
    line.Show(fmt::format("{} of {}: {}", rollout.name(), rollout.model(), Counts(rollout)));
    std::this_thread::sleep_for(kPollEvery);
    absl::StatusOr<v1::Rollout> next = client.GetRollout(rollout.name());
    if (next.ok()) {
      rollout = *std::move(next);
      reached_at = clock.Monotonic();
    } else if (next.status().code() != absl::StatusCode::kUnavailable || clock.Monotonic() - reached_at > kPatience) {
      return next.status();
    }
  }
  return rollout;
}

void FinishWatch(OperatorClient& client, v1::Rollout started, bool json, const RemoteContext& remote) {
  const v1::Rollout rollout = RpcValueOrExit(WatchToTheEnd(client, std::move(started), remote.clock));
  Output(rollout, json, remote);
  if (rollout.state() == v1::Rollout::FAILED) ExitOnError(Internal("{} failed: {}", rollout.name(), Counts(rollout)));
}

void AddCreate(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string model, request_id;
    std::vector<std::string> devices, artifacts;
    bool watch = false, json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(group, "create", "Tell devices to run a model, each the artifact of its class");
  command->add_option("MODEL", options->model)->required();
  command->add_option("--device", options->devices, "Only this device; may be repeated. Without it: every device")
      ->allow_extra_args(false)->delimiter(',');
  command->add_option("--artifact", options->artifacts,
                      "This artifact instead of the newest, for going back; may be repeated")
      ->allow_extra_args(false)->delimiter(',');
  command->add_flag("--watch", options->watch, "Stay until each device is healthy; exit code 1 when it failed");
  AddRequestIdOption(command, options->request_id);
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    v1::CreateRolloutRequest request;
    FillRequestId(options->request_id);
    request.set_request_id(options->request_id);
    request.set_model(options->model);
    for (const std::string& id : options->devices) request.add_device_ids(id);
    for (const std::string& name : options->artifacts) request.add_artifacts(name);
    const auto client = remote->Connect();
    v1::Rollout rollout = RpcValueOrExit(client->CreateRollout(request));
    if (options->watch) return FinishWatch(*client, std::move(rollout), options->json, *remote);
    if (options->json) return PrintJson(rollout);
    PrintOut(Printable(rollout.name()) + "\n");
    Note(fmt::format("see how it goes with `quantfleet rollout status {}`", rollout.name()));
  });
}

void AddStatus(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto watch = std::make_shared<bool>(false);
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "status", "One rollout, device by device");
  command->add_option("NAME", *name)->required();
  command->add_flag("--watch", *watch, "Stay until it is over; exit code 1 when it failed");
  AddJsonOption(command, *json);
  command->callback([remote, name, watch, json] {
    const auto client = remote->Connect();
    v1::Rollout rollout = RpcValueOrExit(client->GetRollout(InCollection("rollouts", *name)));
    if (*watch) return FinishWatch(*client, std::move(rollout), *json, *remote);
    Output(rollout, *json, *remote);
  });
}

void AddList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "Rollouts, whatever their state");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListRolloutsResponse response = RpcValueOrExit(remote->Connect()->ListRollouts());
    if (*json) return PrintJson(response);
    Table table({"NAME", "MODEL", "STATE", "DEVICES", "CREATED"});
    for (const v1::Rollout& rollout : response.rollouts())
      table.Add({rollout.name(), rollout.model(), v1::Rollout::State_Name(rollout.state()), Counts(rollout),
                 Relative(rollout.created_ms(), remote->clock.Now())});
    PrintOut(table.ToString("no rollouts; start one with `quantfleet rollout create MODEL`"));
  });
}

}  // namespace

void AddRolloutCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "rollout", "Who runs which version, and how it spreads");
  AddCreate(group, remote);
  AddStatus(group, remote);
  AddList(group, remote);
}

}  // namespace quantfleet::cli
