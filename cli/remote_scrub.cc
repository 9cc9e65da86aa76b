// quantfleet artifact scrub|repair

#include <thread>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_jobs.h"
#include "cli/remote_progress.h"
#include "common/base/bytes.h"

namespace quantfleet::cli {
namespace {

std::string ProgressText(const v1::Scrub& scrub) {
  return fmt::format("checking {} {:>5}  {}", Bar(scrub.blobs_checked(), scrub.blobs_total(), 12),
                     Share(scrub.blobs_checked(), scrub.blobs_total()),
                     HumanBytes(scrub.bytes_checked()));
}

void PrintScrub(const v1::Scrub& scrub, Time now) {
  std::vector<std::pair<std::string, std::string>> fields = {
      {"state", v1::Scrub::State_Name(scrub.state())},
      {"started",
       fmt::format("{} ({})", UtcTime(scrub.started_ms()), Relative(scrub.started_ms(), now))},
      {"checked", fmt::format("{} of {} blobs, {}", scrub.blobs_checked(), scrub.blobs_total(),
                              HumanBytes(scrub.bytes_checked()))},
      {"damaged", fmt::format("{}", scrub.blobs_damaged())},
      {"missing", fmt::format("{}", scrub.blobs_missing())},
      {"not readable", fmt::format("{}", scrub.blobs_unread())}};
  if (!scrub.unread_error().empty()) fields.emplace_back("error", scrub.unread_error());
  for (const std::string& name : scrub.affected()) fields.emplace_back("not whole", name);
  PrintOut(Fields(fields));
}

// If the daemon goes away, waits for it and continues: so does the scrub.
absl::StatusOr<v1::Scrub> WatchScrubToTheEnd(OperatorClient& client, const Clock& clock) {
  StatusLine line(clock, "the scrub goes on; follow it with `quantfleet artifact scrub --watch`");
  v1::Scrub last;
  bool seen = false;
  for (Duration lost_at = clock.Monotonic();;) {
    const absl::Status status = client.WatchScrub([&](const v1::Scrub& scrub) {
      if (line.Due()) line.Show(ProgressText(scrub));
      last = scrub;
      seen = true;
      lost_at = clock.Monotonic();
    });
    if (seen && last.state() == v1::Scrub::FINISHED) return last;
    if (!status.ok() && (status.code() != absl::StatusCode::kUnavailable || !seen)) return status;
    if (clock.Monotonic() - lost_at > kPatience)
      return status.ok() ? Unavailable("the daemon closed the stream before the scrub had finished")
                         : status;
    line.Show("lost the daemon, waiting for it");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void AddScrub(CLI::App& group, const Remote& remote) {
  auto watch = std::make_shared<bool>(false), json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "scrub",
                                 "Compare everything that the daemon stores with its digests, in "
                                 "the background (it does so once a week)");
  command->add_flag("--watch", *watch,
                    "Wait until the scrub has finished; exit code 1 if something is not whole");
  AddJsonOption(command, *json);
  command->callback([remote, watch, json] {
    const auto client = remote->Connect();
    v1::Scrub scrub = RpcValueOrExit(client->ScrubBlobs());
    if (*watch) scrub = RpcValueOrExit(WatchScrubToTheEnd(*client, remote->clock));
    if (*json)
      PrintJson(scrub);
    else
      PrintScrub(scrub, remote->clock.Now());
    if (!*watch) return Note("follow it with `quantfleet artifact scrub --watch`");
    if (scrub.affected_size() > 0)
      ExitOnError(DataLoss("not whole: {}; see `quantfleet artifact list`", scrub.affected_size()));
  });
}

void AddRepair(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string name;
    bool watch = false, json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "repair", "Make a damaged artifact again, from the files that it was made of");
  command->add_option("NAME", options->name, "artifacts/DIGEST, or the first digits of the digest")
      ->required();
  command->add_flag("--watch", options->watch,
                    "Wait until the job has finished; exit code 1 if it failed");
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    const auto client = remote->Connect();
    v1::Job job = RpcValueOrExit(client->RepairArtifact(options->name));
    if (options->watch) job = RpcValueOrExit(WatchToTheEnd(*client, job.name(), remote->clock));
    if (options->json)
      PrintJson(job);
    else
      PrintOut(Printable(job.name()) + "\n");
    if (options->watch) return ExitOnFailedJob(job);
    Note(fmt::format("follow it with `quantfleet job watch {}`", job.name()));
  });
}

}  // namespace

void AddScrubCommands(CLI::App& artifact_group, const Remote& remote) {
  AddScrub(artifact_group, remote);
  AddRepair(artifact_group, remote);
}

}  // namespace quantfleet::cli
