// quantfleet agent publish|list

#include <boost/json.hpp>
#include <thread>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_jobs.h"
#include "cli/remote_progress.h"
#include "common/base/bytes.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/program/agent_program.h"
#include "pipeline/artifact/program/agent_release.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;

struct Release {
  std::string artifact;  // empty: not published yet
  std::string architecture, version;
  uint64_t size = 0;
  int64_t created_ms = 0;
};

json::string_view JsonText(std::string_view text) { return {text.data(), text.size()}; }

void PrintReleases(const std::vector<Release>& releases, bool as_json, Time now) {
  if (as_json) {
    json::array list;
    for (const Release& release : releases)
      list.push_back(json::object{{"artifact", JsonText(release.artifact)},
                                  {"architecture", JsonText(release.architecture)},
                                  {"version", JsonText(release.version)},
                                  {"size_bytes", release.size},
                                  {"created_ms", release.created_ms}});
    return PrintOut(std::string(json::serialize(json::object{{"releases", std::move(list)}})) +
                    "\n");
  }
  Table table({"VERSION", "ARCHITECTURE", ">SIZE", "ARTIFACT", "CREATED"});
  for (const Release& release : releases) {
    const size_t slash = release.artifact.find('/');
    table.Add({Printable(release.version), Printable(release.architecture),
               HumanBytes(release.size),
               release.artifact.empty() ? "-" : release.artifact.substr(slash + 1, 12),
               Relative(release.created_ms, now)});
  }
  PrintOut(
      table.ToString("no releases of the agent; make one with `quantfleet agent publish FILE`"));
}

Release ReleaseOf(OperatorClient& client, const std::string& artifact) {
  const v1::ArtifactDetail detail = RpcValueOrExit(client.GetArtifact(artifact));
  Release release{.artifact = detail.artifact().name(),
                  .architecture = detail.artifact().recipe(),
                  .version = ValueOrExit(pipeline::AgentVersionOf(detail.manifest())),
                  .size = detail.artifact().size_bytes(),
                  .created_ms = detail.artifact().created_ms()};
  return release;
}

struct PublishOptions {
  std::vector<std::string> files;
  std::string request_id;
  bool dry_run = false, json = false;
};

// Everything that the daemon would refuse is refused before a byte is sent.
std::vector<Release> ReadPrograms(const std::vector<std::string>& paths,
                                  std::vector<LocalFile>& files) {
  std::vector<Release> releases;
  for (const std::string& path : paths) {
    const pipeline::AgentProgram program =
        ValueOrExit(pipeline::ReadAgentProgram(RealFileSystem(), path));
    if (std::ranges::count(releases, program.architecture, &Release::architecture) > 0)
      ExitOnError(InvalidArgument("{}: more than one agent for {}: give one file per architecture",
                                  path, program.architecture));
    releases.push_back({.artifact = "",
                        .architecture = program.architecture,
                        .version = program.version,
                        .size = program.size});
    files.push_back(
        {path, fmt::format("{}-{}", pipeline::kAgentFile, program.architecture), program.size});
  }
  return releases;
}

void Publish(const RemoteContext& remote, PublishOptions& options) {
  std::vector<LocalFile> files;
  const std::vector<Release> programs = ReadPrograms(options.files, files);
  if (options.dry_run) return PrintReleases(programs, options.json, remote.clock.Now());
  const auto client = remote.Connect();
  FillRequestId(options.request_id);
  StatusLine line(remote.clock);
  RpcValueOrExit(Push(RealFileSystem(), *client, files,
                      {.name = std::string(pipeline::kAgentModel),
                       .request_id = options.request_id,
                       .on_progress =
                           [&](std::string_view doing, uint64_t done, uint64_t total) {
                             if (line.Due())
                               line.Show(fmt::format("{} {}", doing, Share(done, total)));
                           },
                       .wait = [](Duration time) { std::this_thread::sleep_for(time); }}));
  v1::SubmitJobRequest request;
  request.set_request_id(options.request_id + "-job");
  request.set_model(std::string(pipeline::kAgentModel));
  const v1::Job begun = RpcValueOrExit(client->SubmitJob(request));
  line.Clear();
  const v1::Job job = RpcValueOrExit(WatchToTheEnd(*client, begun.name(), remote.clock));
  ExitOnFailedJob(job);
  std::vector<Release> releases;
  for (const std::string& artifact : job.artifacts())
    releases.push_back(ReleaseOf(*client, artifact));
  PrintReleases(releases, options.json, remote.clock.Now());
  Note(fmt::format("roll it out with `quantfleet rollout create {}`", pipeline::kAgentModel));
}

void AddPublish(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<PublishOptions>();
  CLI::App* command = AddCommand(
      group, "publish", "Publish a release of the agent from its programs, one per architecture");
  command
      ->add_option("FILE", options->files, "The built quantfleet-agent; one file per architecture")
      ->required();
  command->add_flag("--dry-run", options->dry_run, "Only print what would be published");
  AddRequestIdOption(command, options->request_id);
  AddJsonOption(command, options->json);
  command->callback([remote, options] { Publish(*remote, *options); });
}

void AddReleaseList(CLI::App& group, const Remote& remote) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List the agent's releases, newest first");
  AddJsonOption(command, *as_json);
  command->callback([remote, as_json] {
    const auto client = remote->Connect();
    const v1::ListArtifactsResponse response =
        RpcValueOrExit(client->ListArtifacts(std::string(pipeline::kAgentModel)));
    std::vector<Release> releases;
    for (const v1::Artifact& artifact : response.artifacts())
      releases.push_back(ReleaseOf(*client, artifact.name()));
    PrintReleases(releases, *as_json, remote->clock.Now());
  });
}

}  // namespace

void AddAgentCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "agent", "Manage releases of the agent itself");
  AddPublish(group, remote);
  AddReleaseList(group, remote);
}

}  // namespace quantfleet::cli
