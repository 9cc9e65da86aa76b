// quantfleet job submit|watch|list|show|cancel

#include "cli/remote_jobs.h"

#include <algorithm>
#include <thread>

#include "absl/strings/ascii.h"
#include "cli/quality_text.h"
#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"
#include "common/base/bytes.h"
#include "common/base/file.h"

namespace quantfleet::cli {
namespace {

constexpr std::string_view kOwnText = "self", kNoText = "none";

std::string Slabs(const v1::JobProgress& progress) {
  std::string text = fmt::format("{} of {} slabs", progress.slabs_done(), progress.slabs_total());
  if (progress.slabs_resumed() > 0)
    text += fmt::format(", {} of them resumed from before a restart", progress.slabs_resumed());
  return text;
}

// "on its own text, 10240 tokens"; empty: on nothing.
std::string CalibrationText(const v1::Job& job) {
  if (!job.has_calibration()) return "";
  const v1::JobCalibration& calibration = job.calibration();
  std::string text =
      calibration.text() == kOwnText ? "on its own text" : "on " + calibration.text();
  if (calibration.tokens() > 0) text += fmt::format(", {} tokens", calibration.tokens());
  return text;
}

// "artifacts/..., gguf:q4_0, 87.4 MiB, 96.1 % of F16's choices (KL 0.012 ± 0.001)"
std::string MadeText(const v1::Job& job, const std::string& name) {
  const auto made = std::ranges::find(job.measured(), name, &v1::MeasuredArtifact::name);
  if (made == job.measured().end()) return name;  // an older daemon
  return fmt::format("{}, {}:{}, {}, {}", name, made->format(), made->recipe(),
                     HumanBytes(made->size_bytes()), QualityText(*made));
}

std::string StepUpText(const v1::StepUp& step) {
  return fmt::format("class {}: {} instead of {}: {}", step.device_class(),
                     step.to().empty() ? "nothing larger" : step.to(), step.from(), step.reason());
}

void PrintJob(const v1::Job& job, Time now) {
  const v1::JobProgress& progress = job.progress();
  const int64_t end = job.finished_ms() ? job.finished_ms() : ToUnixMillis(now);
  std::vector<std::pair<std::string, std::string>> fields = {
      {"name", job.name()},
      {"model", job.model()},
      {"version", VersionText(job.model_version())},
      {"state", v1::Job::State_Name(job.state())},
      {"classes", Join(job.device_classes(), ", ")},
      {"stage", fmt::format("{} ({})", progress.stage(), Slabs(progress))},
      {"read", fmt::format("{} of {}", HumanBytes(progress.bytes_read()),
                           HumanBytes(progress.bytes_total()))},
      {"written", HumanBytes(progress.bytes_written())},
      {"encoded", fmt::format("{} values", progress.values_encoded())},
      {"created",
       fmt::format("{} ({})", UtcTime(job.created_ms()), Relative(job.created_ms(), now))},
      {job.done() ? "took" : "running for", HumanDuration(Duration(end - job.created_ms()))}};
  for (const std::string& artifact : job.repairs()) fields.emplace_back("repairs", artifact);
  for (const std::string& artifact : job.artifacts())
    fields.emplace_back("artifact", MadeText(job, artifact));
  if (const std::string text = CalibrationText(job); !text.empty())
    fields.emplace_back("calibrated", text);
  for (const v1::StepUp& step : job.step_ups())
    fields.emplace_back(step.smaller() ? "smaller" : "step-up", StepUpText(step));
  for (const std::string& note : job.notes()) fields.emplace_back("note", note);
  if (!job.error_message().empty()) fields.emplace_back("error", job.error_message());
  if (!job.evaluation_error().empty()) fields.emplace_back("not measured", job.evaluation_error());
  PrintOut(Fields(fields));
}

// "queued", "quantizing", "failed"
std::string JobStageText(const v1::Job& job) {
  if (job.done() || job.state() == v1::Job::QUEUED || job.progress().stage().empty())
    return absl::AsciiStrToLower(v1::Job::State_Name(job.state()));
  return job.progress().stage();
}

std::string JobProgressText(const v1::Job& job) {
  const v1::JobProgress& progress = job.progress();
  if (job.state() == v1::Job::QUEUED) return job.name() + ": queued";
  if (progress.bytes_total() == 0) return fmt::format("{}: {}", job.name(), progress.stage());
  std::string text =
      fmt::format("{} {} {:>5}  {} of {}", progress.stage(),
                  Bar(progress.bytes_read(), progress.bytes_total(), 12),
                  Share(progress.bytes_read(), progress.bytes_total()),
                  HumanBytes(progress.bytes_read()), HumanBytes(progress.bytes_total()));
  if (progress.bytes_per_second() >= 1)
    text += fmt::format("  {}/s", HumanBytes(static_cast<uint64_t>(progress.bytes_per_second())));
  if (progress.eta_seconds() >= 0 && progress.eta_seconds() < 1e9 && !job.done())
    text += "  ETA " + HumanDuration(Duration(static_cast<int64_t>(progress.eta_seconds() * 1000)));
  text += fmt::format("  {} written",
                      HumanBytes(progress.bytes_written()));  // last: narrow terminals cut it
  return text;
}

void Output(const v1::Job& job, bool json, const RemoteContext& remote) {
  if (json)
    PrintJson(job);
  else
    PrintJob(job, remote.clock.Now());
}

void FinishWatch(OperatorClient& client, const std::string& name, bool json,
                 const RemoteContext& remote) {
  const v1::Job job = RpcValueOrExit(WatchToTheEnd(client, name, remote.clock));
  Output(job, json, remote);
  ExitOnFailedJob(job);
}

// A file here is sent; anything else is what the daemon knows by that name.
void SetCalibration(const std::string& word, v1::SubmitJobRequest& request) {
  request.set_calibration(word);
  if (word.empty() || word == kOwnText || word == kNoText) return;
  if (!RealFileSystem().Exists(word)) return;
  request.set_calibration(fs::path(word).filename().string());
  request.set_calibration_text(ValueOfOption(RealFileSystem().ReadAll(word), "calibration"));
}

void AddSubmit(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string model, request_id, calibration, rounding, fold;
    std::vector<std::string> classes;
    bool watch = false, json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      AddCommand(group, "submit", "Make one artifact per device class, in one pass over the model");
  command->add_option("MODEL", options->model, "The model (`quantfleet model list`)")->required();
  command
      ->add_option("--class", options->classes,
                   "Device class (see `quantfleet class list`); may be repeated")
      ->required()
      ->allow_extra_args(false)
      ->delimiter(',');
  command
      ->add_option("--calibration", options->calibration,
                   "In place of what the classes say: self (the model writes a text), a UTF-8 file "
                   "here, the name of a text of the daemon, or none")
      ->type_name("TEXT");
  command
      ->add_option("--rounding", options->rounding,
                   "In place of what the classes say: nearest, search or feedback")
      ->type_name("HOW");
  command
      ->add_option(
          "--fold", options->fold,
          "In place of what the classes say: auto (move numbers between weights where that "
          "helps) or none")
      ->type_name("HOW");
  command->add_flag("--watch", options->watch,
                    "Wait until the job has finished; exit code 1 if it failed");
  AddRequestIdOption(command, options->request_id);
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    v1::SubmitJobRequest request;
    FillRequestId(options->request_id);
    request.set_request_id(options->request_id);
    request.set_model(options->model);
    for (const std::string& name : options->classes) request.add_device_classes(name);
    SetCalibration(options->calibration, request);
    request.set_rounding(options->rounding);
    request.set_fold(options->fold);
    const auto client = remote->Connect();
    const v1::Job job = RpcValueOrExit(client->SubmitJob(request));
    if (options->watch) return FinishWatch(*client, job.name(), options->json, *remote);
    if (options->json) return PrintJson(job);
    PrintOut(Printable(job.name()) + "\n");
    Note(fmt::format("follow it with `quantfleet job watch {}`", job.name()));
  });
}

void AddWatch(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(group, "watch", "Wait until a job has finished; exit code 1 if it failed");
  command->add_option("NAME", *name, "The job")->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    const auto client = remote->Connect();
    FinishWatch(*client, InCollection("jobs", *name), *json, *remote);
  });
}

void AddJobList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List jobs in any state");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListJobsResponse response = RpcValueOrExit(remote->Connect()->ListJobs());
    if (*json) return PrintJson(response);
    Table table({"NAME", "MODEL", "STATE", ">DONE", "CLASSES", "CREATED"});
    for (const v1::Job& job : response.jobs())
      table.Add({job.name(), job.model(), v1::Job::State_Name(job.state()),
                 Share(job.progress().slabs_done(), job.progress().slabs_total()),
                 Join(job.device_classes(), ","), Relative(job.created_ms(), remote->clock.Now())});
    PrintOut(table.ToString("no jobs; start one with `quantfleet job submit MODEL --class CLASS`"));
  });
}

void AddOne(CLI::App& group, const Remote& remote, const std::string& verb, const std::string& help,
            absl::StatusOr<v1::Job> (OperatorClient::*call)(const std::string&)) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, verb, help);
  command->add_option("NAME", *name, "The job")->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json, call] {
    const auto client = remote->Connect();
    Output(RpcValueOrExit((client.get()->*call)(InCollection("jobs", *name))), *json, *remote);
  });
}

}  // namespace

absl::StatusOr<v1::Job> WatchToTheEnd(OperatorClient& client, const std::string& name,
                                      const Clock& clock) {
  StatusLine line(clock,
                  fmt::format("the job goes on; follow it with `quantfleet job watch {0}`, or "
                              "end it with `quantfleet job cancel {0}`",
                              name));
  v1::Job last;
  bool seen = false;
  for (Duration lost_at = clock.Monotonic();;) {
    const absl::Status status = client.WatchJob(name, [&](const v1::Job& job) {
      // A stage's last update is shown even when it comes quickly.
      if (line.Due() || job.done() || job.progress().stage() != last.progress().stage())
        line.Show(JobProgressText(job));
      line.Event(fmt::format("{}: {}", job.name(), JobStageText(job)));
      last = job;
      seen = true;
      lost_at = clock.Monotonic();
    });
    if (last.done()) return last;
    if (!status.ok() && (status.code() != absl::StatusCode::kUnavailable || !seen)) return status;
    if (clock.Monotonic() - lost_at > kPatience)
      return status.ok() ? Unavailable("the daemon closed the stream before the job had finished")
                         : status;
    line.Show(fmt::format("{}: lost the daemon, waiting for it", name));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void ExitOnFailedJob(const v1::Job& job) {
  if (job.state() == v1::Job::FAILED)
    ExitOnError(Internal("{} failed: {}", job.name(), Printable(job.error_message())));
  if (job.state() == v1::Job::CANCELLED) ExitOnError(Cancelled("{} was cancelled", job.name()));
}

void AddJobCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "job", "Manage quantization jobs");
  AddSubmit(group, remote);
  AddWatch(group, remote);
  AddJobList(group, remote);
  AddOne(group, remote, "show", "Show a job", &OperatorClient::GetJob);
  AddOne(group, remote, "cancel", "Cancel a job; the artifacts that it sealed are kept",
         &OperatorClient::CancelJob);
}

}  // namespace quantfleet::cli
