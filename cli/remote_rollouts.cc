// quantfleet rollout create|status|watch|pause|resume|approve|abort|rollback|list

#include <limits>
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
    const std::string text = fmt::format("{} failed: {}", device.device_id(), ShortReason(device));
    line.Clear();
    Note(text);
    line.Event(text);
  }
  line.Show(fmt::format("{} of {}: {}, phase {} of {}: {}", rollout.name(), rollout.model(),
                        v1::Rollout::State_Name(rollout.state()), rollout.phase() + 1,
                        rollout.plan().phases_size(), RolloutCounts(rollout)));
  line.Event(fmt::format("{}: {}, phase {} of {}", rollout.name(),
                         v1::Rollout::State_Name(rollout.state()), rollout.phase() + 1,
                         rollout.plan().phases_size()));
}

// Watches until the rollout ends; if the daemon goes away, waits for it and continues where it was.
absl::StatusOr<v1::Rollout> FollowRollout(OperatorClient& client, const std::string& name,
                                          const Clock& clock) {
  StatusLine line(clock,
                  fmt::format("the rollout goes on; follow it with `quantfleet rollout watch "
                              "{0}`, or stop it with `quantfleet rollout pause {0}`",
                              name));
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
      // A dynamic rollout that continues with a device that has just joined is still watched.
      if (whole.ok() && IsOver(whole->state())) return whole;
      status = whole.status();
    }
    if (!status.ok() && (status.code() != absl::StatusCode::kUnavailable || !seen)) return status;
    if (clock.Monotonic() - lost_at > kPatience)
      return status.ok() ? Unavailable("the daemon closed the stream before the rollout had ended")
                         : status;
    line.Show(fmt::format("{}: lost the daemon, waiting for it", name));
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
  std::string model, request_id, plan_file, group, reason;
  std::vector<std::string> devices, artifacts, selector;
  PlanOptions plan;
  uint64_t version = 0;
  bool watch = false, json = false, dry_run = false, draft = false;
};

void AddPlanOptions(CLI::App* command, CreateOptions& options) {
  PlanOptions& plan = options.plan;
  std::vector<CLI::Option*> flags{
      command
          ->add_option(
              "--phase", plan.phases,
              "Devices of the next phase: 5 (devices), 10% (of all, earlier phases included), "
              "ring=early (a label), group:NAME or rest; may be repeated. Remaining devices form "
              "the last phase. Without this option, all devices are assigned at once")
          ->allow_extra_args(false),
      command->add_option(
          "--soak", plan.soak,
          "How long a phase's devices must stay healthy before the next phase: 10m"),
      command->add_flag("--approve", plan.approve,
                        "Each phase after the first begins only with `rollout approve`"),
      command
          ->add_option("--max-in-flight", plan.max_in_flight, "Maximum number of devices in flight")
          ->check(CLI::Range(1, 1'000'000)),
      command
          ->add_option("--min-success", plan.min_success,
                       "Minimum percentage of a phase's devices that must be healthy to continue "
                       "[100 with phases]")
          ->check(CLI::Range(0, 100)),
      command->add_option("--max-failures", plan.max_failures,
                          "Maximum number of failures: 3 (devices) or 5% (of finished devices)"),
      command
          ->add_option("--min-executed", plan.min_executed,
                       "Apply the failure limit only after this many devices have finished [1]")
          ->check(CLI::Range(1, 1'000'000)),
      command
          ->add_option(
              "--on-failure", plan.on_failure,
              "Action when the failure limit is exceeded: pause, rollback or abort [pause]")
          ->check(CLI::IsMember({"pause", "rollback", "abort"})),
      command->add_option("--device-timeout", plan.device_timeout,
                          "Time after which an unfinished device counts as failed [24h]"),
      command->add_option("--rate", plan.rate, "Maximum number of devices assigned per minute")
          ->check(CLI::Range(1, 1'000'000)),
      command->add_option("--jitter", plan.jitter,
                          "Assign each device after a random delay of up to this time"),
      command
          ->add_option("--priority", plan.priority,
                       "Priority: rollouts of lower priority do not take its devices, and of "
                       "several rollouts that wait for a device the highest goes first [0]")
          ->check(CLI::Range(-1000, 1000)),
      command
          ->add_option("--min-top1-percent", plan.min_top1_percent,
                       "Refuse artifacts that choose the source's likeliest token less often")
          ->check(CLI::Range(0.0, 100.0)),
      command
          ->add_option("--max-kl", plan.max_kl,
                       "Refuse artifacts with a greater mean KL divergence from the source")
          ->check(CLI::Range(0.0, 100.0)),
      command->add_flag("--dynamic", plan.dynamic,
                        "Also include matching devices that appear later"),
  };
  CLI::Option* file = command
                          ->add_option("--plan", options.plan_file,
                                       "TOML file with the plan, instead of the options above")
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
  request.set_reason(options.reason);
  request.set_version(options.version);
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
  if (rollout.version() > 0)
    fmt::print(stderr, "quantfleet: version {} of model {}\n", rollout.version(),
               Printable(rollout.model()));
  for (const std::string& line : LeftOutText(rollout))
    fmt::print(stderr, "quantfleet: left out: {}\n", Printable(line));
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
    Note(fmt::format("start it with `quantfleet rollout approve {}`", rollout.name()));
  else
    Note(fmt::format("follow it with `quantfleet rollout status {}`", rollout.name()));
}

void AddCreate(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App* command =
      AddCommand(group, "create", "Assign a model to devices, to each the artifact of its class");
  command->add_option("MODEL", options->model, "The model (`quantfleet model list`)")->required();
  command
      ->add_option("--device", options->devices, "Only this device; may be repeated [every device]")
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
      ->add_option(
          "--artifact", options->artifacts,
          "Use this artifact instead of the newest, to go back to an older one; may be repeated, "
          "but only with artifacts of the same version")
      ->allow_extra_args(false)
      ->delimiter(',');
  command
      ->add_option("--version", options->version,
                   "Version of the model (`quantfleet model show`) [the newest]")
      ->check(CLI::Range(uint64_t{1}, std::numeric_limits<uint64_t>::max()));
  AddPlanOptions(command, *options);
  CLI::Option* dry =
      command->add_flag("--dry-run", options->dry_run, "Only print which device would get what");
  CLI::Option* draft = command->add_flag(
      "--draft", options->draft, "Create it without starting it; start it with `rollout approve`");
  command
      ->add_flag("--watch", options->watch,
                 "Wait until it has ended; exit code 1 failed, 6 rolled back, 7 aborted")
      ->excludes(dry)
      ->excludes(draft);
  command->add_option("--reason", options->reason, "Reason, for the record");
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
  command->add_option("NAME", *name, "The rollout")->required();
  if (!always_watch)
    command->add_flag("--watch", *watch,
                      "Wait until it has ended; exit code 1 failed, 6 rolled back, 7 aborted");
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
  command->add_option("NAME", *request->mutable_name(), "The rollout")->required();
  auto number = std::make_shared<uint32_t>(0);
  if (phase)
    command
        ->add_option("--phase", *number,
                     "The phase to begin, counted from 1; has no effect if it has already begun")
        ->check(CLI::Range(1, 1000));
  command->add_option("--reason", *request->mutable_reason(), "Reason, for the record");
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
  CLI::App* command =
      AddCommand(group, "allow-download",
                 "Permit downloads that exceed the byte budget; without --device, all that wait");
  command->add_option("NAME", *request->mutable_name(), "The rollout")->required();
  command->add_option("--device", *devices, "Only this device; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  command->add_option("--reason", *request->mutable_reason(), "Reason, for the record");
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
  CLI::App* command = AddCommand(group, "list", "List rollouts in any state");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListRolloutsResponse response = RpcValueOrExit(remote->Connect()->ListRollouts());
    if (*json) return PrintJson(response);
    Table table({"NAME", "MODEL", "VERSION", "STATE", "PHASE", "DEVICES", "CREATED"});
    for (const v1::Rollout& rollout : response.rollouts())
      table.Add({rollout.name(), rollout.model(), VersionText(rollout.version()),
                 v1::Rollout::State_Name(rollout.state()),
                 fmt::format("{} of {}", rollout.phase() + 1, rollout.plan().phases_size()),
                 RolloutCounts(rollout), Relative(rollout.created_ms(), remote->clock.Now())});
    PrintOut(table.ToString("no rollouts; start one with `quantfleet rollout create MODEL`"));
  });
}

}  // namespace

void AddRolloutCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "rollout", "Manage rollouts: which devices run which version");
  AddCreate(group, remote);
  AddShow(group, remote, "status", "Show a rollout, device by device", false);
  AddShow(group, remote, "watch",
          "Wait until it has ended; exit code 1 failed, 6 rolled back, 7 aborted", true);
  AddAction(group, remote, "pause", "Assign no further devices; devices in flight continue", false,
            &OperatorClient::PauseRollout);
  AddAction(group, remote, "resume", "Continue; failures so far are forgiven", false,
            &OperatorClient::ResumeRollout);
  AddAction(group, remote, "approve", "Start a draft, or the phase that waits for approval", true,
            &OperatorClient::ApproveRollout);
  AddAllowDownload(group, remote);
  AddAction(group, remote, "abort", "End a rollout; devices keep what they have", false,
            &OperatorClient::AbortRollout);
  AddAction(group, remote, "rollback", "Roll each assigned device back to what it ran before",
            false, &OperatorClient::RollbackRollout);
  AddRolloutList(group, remote);
}

}  // namespace quantfleet::cli
