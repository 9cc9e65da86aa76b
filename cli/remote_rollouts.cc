// quantfleet rollout create|status|watch|pause|resume|approve|abort|rollback|list

#include <thread>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"
#include "cli/rollout_plan.h"
#include "cli/rollout_text.h"
#include "common/base/file.h"

namespace quantfleet::cli {
namespace {

bool IsOver(v1::Rollout::State state) {
  return state == v1::Rollout::COMPLETED || state == v1::Rollout::FAILED ||
         state == v1::Rollout::ABORTED || state == v1::Rollout::ROLLED_BACK;
}

void Output(const v1::Rollout& rollout, bool json, const RemoteContext& remote) {
  if (json)
    PrintJson(rollout);
  else
    PrintOut(RolloutText(rollout, remote.clock.Now()));
}

// Devices that just failed stay on the screen, above the line that is written over and over.
void ShowChange(const v1::Rollout& rollout, StatusLine& line) {
  for (const v1::RolloutDevice& device : rollout.devices()) {
    if (device.state() != v1::RolloutDevice::FAILED) continue;
    line.Clear();
    Note(fmt::format("{} failed: {}", device.device_id(), ShortReason(device)));
  }
  line.Show(fmt::format("{} of {}: {}, phase {} of {}: {}", rollout.name(), rollout.model(),
                        v1::Rollout::State_Name(rollout.state()), rollout.phase() + 1,
                        rollout.plan().phases_size(), RolloutCounts(rollout)));
}

// Until the rollout is over; a daemon that goes away is waited for, and then the watch goes on
// where it was.
absl::StatusOr<v1::Rollout> FollowRollout(OperatorClient& client, const std::string& name,
                                          const Clock& clock) {
  StatusLine line(clock);
  v1::Rollout last;
  bool seen = false;
  for (Duration lost_at = clock.Monotonic();;) {
    absl::Status status = client.WatchRollout(name, last.revision(), [&](const v1::Rollout& now) {
      ShowChange(now, line);
      last = now;
      seen = true;
      lost_at = clock.Monotonic();
    });
    if (IsOver(last.state())) {
      absl::StatusOr<v1::Rollout> whole = client.GetRollout(name);
      // A dynamic one that goes on with a device that came just now is watched on.
      if (whole.ok() && IsOver(whole->state())) return whole;
      status = whole.status();
    }
    if (!status.ok() && (status.code() != absl::StatusCode::kUnavailable || !seen)) return status;
    if (clock.Monotonic() - lost_at > kPatience)
      return status.ok() ? Unavailable("the daemon ended the watch before the rollout was over")
                         : status;
    line.Show(fmt::format("{}: the daemon is away, waiting for it", name));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void FinishRollout(OperatorClient& client, const std::string& name, bool json,
                   const RemoteContext& remote) {
  const v1::Rollout rollout = RpcValueOrExit(FollowRollout(client, name, remote.clock));
  Output(rollout, json, remote);
  if (rollout.state() == v1::Rollout::COMPLETED) return;
  const std::string why = rollout.reason().empty() ? RolloutCounts(rollout) : rollout.reason();
  fmt::print(stderr, "quantfleet: {} is {}: {}\n", Printable(rollout.name()),
             v1::Rollout::State_Name(rollout.state()), Printable(why));
  throw CLI::RuntimeError(rollout.state() == v1::Rollout::ROLLED_BACK ? kExitRolledBack
                          : rollout.state() == v1::Rollout::ABORTED   ? kExitAborted
                                                                      : kExitFailed);
}

struct CreateOptions {
  std::string model, request_id, plan_file, group;
  std::vector<std::string> devices, artifacts, selector;
  PlanOptions plan;
  bool watch = false, json = false, dry_run = false, draft = false;
};

void AddPlanOptions(CLI::App* command, CreateOptions& options) {
  PlanOptions& plan = options.plan;
  std::vector<CLI::Option*> flags{
      command
          ->add_option("--phase", plan.phases,
                       "Who comes next: 5 (devices), 10% (of all, earlier phases included), "
                       "ring=early (a label), "
                       "group:NAME or rest; may be repeated. Who is in no phase comes last. "
                       "Without it: all at once")
          ->allow_extra_args(false),
      command->add_option("--soak", plan.soak,
                          "How long a phase's devices have to stay healthy before the next: 10m"),
      command->add_flag("--approve", plan.approve,
                        "Each phase but the first begins with `rollout approve`"),
      command
          ->add_option("--max-in-flight", plan.max_in_flight, "So many devices under way at once")
          ->check(CLI::Range(1, 1'000'000)),
      command
          ->add_option(
              "--min-success", plan.min_success,
              "Percent of a phase's devices that have to be healthy to go on [100 with phases]")
          ->check(CLI::Range(0, 100)),
      command->add_option("--max-failures", plan.max_failures,
                          "More is too much: 3 (devices) or 5% (of those that are through)"),
      command
          ->add_option("--min-executed", plan.min_executed,
                       "Failures are judged once so many devices are through [1]")
          ->check(CLI::Range(1, 1'000'000)),
      command
          ->add_option("--on-failure", plan.on_failure,
                       "What follows when too many fail: pause, rollback or abort [pause]")
          ->check(CLI::IsMember({"pause", "rollback", "abort"})),
      command->add_option("--device-timeout", plan.device_timeout,
                          "A device that is not through by then has failed [24h]"),
      command->add_option("--rate", plan.rate, "At most so many devices a minute")
          ->check(CLI::Range(1, 1'000'000)),
      command->add_option("--jitter", plan.jitter, "Each device is told up to so much later"),
      command
          ->add_option("--priority", plan.priority,
                       "Its devices are not taken by rollouts of lower priority, and of rollouts "
                       "that wait for a "
                       "device the highest goes first [0]")
          ->check(CLI::Range(-1000, 1000)),
      command->add_flag("--dynamic", plan.dynamic, "Devices that fit and come later join"),
  };
  CLI::Option* file = command
                          ->add_option("--plan", options.plan_file,
                                       "A plan file in TOML, in place of the options above")
                          ->check(CLI::ExistingFile);
  for (CLI::Option* flag : flags) file->excludes(flag);
}

v1::CreateRolloutRequest MakeRequest(CreateOptions& options) {
  v1::CreateRolloutRequest request;
  FillRequestId(options.request_id);
  request.set_request_id(options.request_id);
  request.set_model(options.model);
  request.set_dry_run(options.dry_run);
  request.set_draft(options.draft);
  request.set_group(options.group);
  for (const std::string& id : options.devices) request.add_device_ids(id);
  for (const std::string& name : options.artifacts) request.add_artifacts(name);
  for (const std::string& text : options.selector) {
    const auto [key, value] = ValueOfOption(ParseLabel(text), "--selector");
    (*request.mutable_selector())[key] = value;
  }
  if (options.plan_file.empty())
    *request.mutable_plan() = ValueOfOption(MakePlan(options.plan), "plan");
  else
    request.set_plan_toml(ValueOrExit(RealFileSystem().ReadAll(options.plan_file)));
  return request;
}

void Create(CreateOptions& options, const RemoteContext& remote) {
  const v1::CreateRolloutRequest request = MakeRequest(options);
  const auto client = remote.Connect();
  const v1::Rollout rollout = RpcValueOrExit(client->CreateRollout(request));
  if (options.dry_run) {
    if (options.json)
      PrintJson(rollout);
    else
      PrintOut(DryRunText(rollout));
    return;
  }
  if (options.watch) return FinishRollout(*client, rollout.name(), options.json, remote);
  if (options.json) return PrintJson(rollout);
  PrintOut(Printable(rollout.name()) + "\n");
  Note(EstimateText(rollout));
  if (options.draft)
    Note(fmt::format("begin it with `quantfleet rollout approve {}`", rollout.name()));
  else
    Note(fmt::format("see how it goes with `quantfleet rollout status {}`", rollout.name()));
}

void AddCreate(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App* command =
      AddCommand(group, "create", "Tell devices to run a model, each the artifact of its class");
  command->add_option("MODEL", options->model)->required();
  command
      ->add_option("--device", options->devices,
                   "Only this device; may be repeated. Without it: every device")
      ->allow_extra_args(false)
      ->delimiter(',');
  command
      ->add_option("--selector", options->selector,
                   "Only devices with this label, key=value; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  command->add_option("--group", options->group,
                      "Only devices of this group (`quantfleet group list`)");
  command
      ->add_option("--artifact", options->artifacts,
                   "This artifact instead of the newest, for going back; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  AddPlanOptions(command, *options);
  CLI::Option* dry =
      command->add_flag("--dry-run", options->dry_run, "Print who would get what, and do nothing");
  CLI::Option* draft =
      command->add_flag("--draft", options->draft, "Make it, and begin with `rollout approve`");
  command
      ->add_flag("--watch", options->watch,
                 "Stay until it is over; exit code 1 failed, 6 rolled back, 7 aborted")
      ->excludes(dry)
      ->excludes(draft);
  AddRequestIdOption(command, options->request_id);
  AddJsonOption(command, options->json);
  command->callback([remote, options] { Create(*options, *remote); });
}

void AddShow(CLI::App& group, const Remote& remote, const std::string& verb,
             const std::string& help, bool always_watch) {
  auto name = std::make_shared<std::string>();
  auto watch = std::make_shared<bool>(always_watch);
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, verb, help);
  command->add_option("NAME", *name)->required();
  if (!always_watch)
    command->add_flag("--watch", *watch,
                      "Stay until it is over; exit code 1 failed, 6 rolled back, 7 aborted");
  AddJsonOption(command, *json);
  command->callback([remote, name, watch, json] {
    const auto client = remote->Connect();
    const std::string full = InCollection("rollouts", *name);
    if (*watch) return FinishRollout(*client, full, *json, *remote);
    Output(RpcValueOrExit(client->GetRollout(full)), *json, *remote);
  });
}

// `phase`: the command takes the number of a phase.
void AddAction(
    CLI::App& group, const Remote& remote, const std::string& verb, const std::string& help,
    bool phase,
    absl::StatusOr<v1::Rollout> (OperatorClient::*call)(const v1::RolloutActionRequest&)) {
  auto request = std::make_shared<v1::RolloutActionRequest>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, verb, help);
  command->add_option("NAME", *request->mutable_name())->required();
  auto number = std::make_shared<uint32_t>(0);
  if (phase)
    command
        ->add_option("--phase", *number,
                     "The phase that may begin, from 1; nothing happens when it has")
        ->check(CLI::Range(1, 1000));
  else
    command->add_option("--reason", *request->mutable_reason(), "Words for the record");
  AddJsonOption(command, *json);
  command->callback([remote, request, number, json, call] {
    request->set_phase(*number);
    request->set_name(InCollection("rollouts", request->name()));
    const auto client = remote->Connect();
    const v1::Rollout rollout = RpcValueOrExit((client.get()->*call)(*request));
    if (*json) return PrintJson(rollout);
    PrintOut(fmt::format("{} is {}\n", Printable(rollout.name()),
                         v1::Rollout::State_Name(rollout.state())));
  });
}

void AddAllowDownload(CLI::App& group, const Remote& remote) {
  auto request = std::make_shared<v1::AllowDownloadRequest>();
  auto devices = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(
      group, "allow-download",
      "Let devices pull what is beyond their byte budget; without --device each that waits");
  command->add_option("NAME", *request->mutable_name())->required();
  command->add_option("--device", *devices, "Only this device; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  AddJsonOption(command, *json);
  command->callback([remote, request, devices, json] {
    request->set_name(InCollection("rollouts", request->name()));
    request->mutable_device_ids()->Assign(devices->begin(), devices->end());
    const v1::Rollout rollout = RpcValueOrExit(remote->Connect()->AllowDownload(*request));
    if (*json) return PrintJson(rollout);
    PrintOut(fmt::format("{} is {}\n", Printable(rollout.name()),
                         v1::Rollout::State_Name(rollout.state())));
  });
}

void AddRolloutList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "Rollouts, whatever their state");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListRolloutsResponse response = RpcValueOrExit(remote->Connect()->ListRollouts());
    if (*json) return PrintJson(response);
    Table table({"NAME", "MODEL", "STATE", "PHASE", "DEVICES", "CREATED"});
    for (const v1::Rollout& rollout : response.rollouts())
      table.Add({rollout.name(), rollout.model(), v1::Rollout::State_Name(rollout.state()),
                 fmt::format("{} of {}", rollout.phase() + 1, rollout.plan().phases_size()),
                 RolloutCounts(rollout), Relative(rollout.created_ms(), remote->clock.Now())});
    PrintOut(table.ToString("no rollouts; start one with `quantfleet rollout create MODEL`"));
  });
}

}  // namespace

void AddRolloutCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "rollout", "Who runs which version, and how it spreads");
  AddCreate(group, remote);
  AddShow(group, remote, "status", "One rollout, device by device", false);
  AddShow(group, remote, "watch",
          "Stay until it is over; exit code 1 failed, 6 rolled back, 7 aborted", true);
  AddAction(group, remote, "pause", "Tell no new device; those under way go on", false,
            &OperatorClient::PauseRollout);
  AddAction(group, remote, "resume", "Go on; what failed so far is forgiven", false,
            &OperatorClient::ResumeRollout);
  AddAction(group, remote, "approve", "Begin a draft, or the phase that waits", true,
            &OperatorClient::ApproveRollout);
  AddAllowDownload(group, remote);
  AddAction(group, remote, "abort", "End it; devices keep what they have", false,
            &OperatorClient::AbortRollout);
  AddAction(group, remote, "rollback", "Send each device that was told back to what it ran before",
            false, &OperatorClient::RollbackRollout);
  AddRolloutList(group, remote);
}

}  // namespace quantfleet::cli
