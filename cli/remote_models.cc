// quantfleet model push|import|list|show

#include <optional>
#include <thread>

#include "cli/lora_option.h"
#include "cli/progress.h"
#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/source_text.h"
#include "common/base/bytes.h"
#include "pipeline/format/registry/open_model.h"

namespace quantfleet::cli {
namespace {

std::string AdapterText(const v1::ModelAdapter& adapter) {
  return fmt::format(
      "{}{}: changes {} weights{}", adapter.name(),
      adapter.scale() == 1 ? "" : fmt::format(" at {} times its scale", adapter.scale()),
      adapter.weights(),
      adapter.base_model().empty() ? "" : "; trained on " + adapter.base_model());
}

// "tone, domain:0.5", as --lora takes them; "-" for none.
std::string AdapterNames(const auto& adapters) {
  std::vector<std::string> names;
  for (const v1::ModelAdapter& adapter : adapters)
    names.push_back(adapter.scale() == 1 ? adapter.name()
                                         : fmt::format("{}:{}", adapter.name(), adapter.scale()));
  return names.empty() ? "-" : Join(names, ", ");
}

void PrintModel(const v1::Model& model, Time now) {
  std::vector<std::pair<std::string, std::string>> fields{
      {"name", model.name()},
      {"version", VersionText(model.version())},
      {"architecture", model.architecture()},
      {"format", model.format()},
      {"parameters", HumanCount(model.parameters())},
      {"size", HumanBytes(model.size_bytes())},
      {"created",
       fmt::format("{} ({}){}", UtcTime(model.created_ms()), Relative(model.created_ms(), now),
                   model.created_by().empty() ? "" : " by " + model.created_by())},
      {"path", model.path()}};
  if (!model.files_digest().empty()) fields.emplace_back("digest", HexDigest(model.files_digest()));
  std::vector<std::string> files;
  for (const v1::ModelFile& file : model.files()) files.push_back(file.path());
  if (!files.empty()) fields.emplace_back("files", Join(files, ", "));
  for (const v1::ModelAdapter& adapter : model.adapters())
    fields.emplace_back("adapter", AdapterText(adapter));
  for (const std::string& note : model.notes()) fields.emplace_back("note", note);
  PrintOut(Fields(fields));
  if (model.versions().empty()) return;
  Table versions({">VERSION", "DIGEST", ">SIZE", ">ARTIFACTS", "CREATED", "BY", "ADAPTERS"});
  for (const v1::ModelVersion& version : model.versions())
    versions.Add({VersionText(version.version()), ShortDigest(version.files_digest()),
                  HumanBytes(version.size_bytes()), fmt::format("{}", version.artifacts()),
                  Relative(version.created_ms(), now),
                  version.created_by().empty() ? "-" : version.created_by(),
                  AdapterNames(version.adapters())});
  PrintOut("\n" + versions.ToString(""));
}

void Output(const v1::Model& model, bool json, const RemoteContext& remote) {
  if (json)
    PrintJson(model);
  else
    PrintModel(model, remote.clock.Now());
}

void PrintPushPlan(const v1::PushState& plan, bool json) {
  if (json) return PrintJson(plan);
  Table table({"FILE", ">SIZE", ">TO SEND"});
  uint64_t size = 0, rest = 0;
  for (const v1::PushFile& file : plan.files()) {
    const uint64_t missing = file.size() - file.received();
    table.Add({file.path(), HumanBytes(file.size()), missing == 0 ? "-" : HumanBytes(missing)});
    size += file.size();
    rest += missing;
  }
  PrintOut(table.ToString(""));
  PrintOut(fmt::format("\nwould send {} of {}\n", HumanBytes(rest), HumanBytes(size)));
}

// One line per step of the push, drawn anew when the step changes.
class PushProgress {
 public:
  explicit PushProgress(std::string name) : name_(std::move(name)) {}

  void Update(std::string_view doing, uint64_t done, uint64_t total) {
    if (doing != doing_) {
      doing_ = doing;
      line_.emplace(fmt::format("{} {}", doing, name_));
    }
    line_->Update(done, total);
  }
  void Clear() { line_.reset(); }

 private:
  const std::string name_;
  std::string doing_;
  std::optional<ProgressLine> line_;
};

void AddPush(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string name, path, request_id;
    std::vector<std::string> lora;
    bool dry_run = false, json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "push",
      "Send a version of a model to the daemon; run it again to resume an interrupted push");
  command->add_option("NAME", options->name, "Name of the model in the fleet")->required();
  command->add_option("PATH", options->path, "A Hugging Face folder or a .gguf file")->required();
  AddLoraOption(command, options->lora);
  command->add_flag("--dry-run", options->dry_run, "Only print what would be sent");
  AddRequestIdOption(command, options->request_id);
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    const pipeline::ModelFiles model_files =
        ValueOrExit(ResolveModelWith(RealFileSystem(), options->path, options->lora));
    PrintFiles(model_files);
    // Of adapters, all that the daemon would refuse is refused before a byte is sent.
    if (!model_files.adapters.empty())
      ExitOnError(pipeline::OpenModel(RealFileSystem(), model_files).status());
    const std::vector<LocalFile> files = FilesToPush(model_files);
    const auto client = remote->Connect();
    PushProgress progress(options->name);
    FillRequestId(options->request_id);
    const PushOptions push{.name = options->name,
                           .request_id = options->request_id,
                           .with_adapters = !model_files.adapters.empty(),
                           .on_progress = [&](auto doing, auto done,
                                              auto total) { progress.Update(doing, done, total); },
                           .wait = [](Duration time) { std::this_thread::sleep_for(time); }};
    if (options->dry_run) {
      const auto plan = PlanPush(RealFileSystem(), *client, files, push);
      progress.Clear();
      return PrintPushPlan(RpcValueOrExit(plan), options->json);
    }
    auto model = Push(RealFileSystem(), *client, files, push);
    progress.Clear();
    Output(RpcValueOrExit(std::move(model)), options->json, *remote);
  });
}

void AddImport(CLI::App& group, const Remote& remote) {
  auto request = std::make_shared<v1::ImportModelRequest>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(group, "import", "Register a model at a path on the daemon's machine");
  command->add_option("NAME", *request->mutable_name(), "Name of the model in the fleet")
      ->required();
  command->add_option("PATH", *request->mutable_path(), "A path on the daemon's machine")
      ->required();
  AddRequestIdOption(command, *request->mutable_request_id());
  AddJsonOption(command, *json);
  command->callback([remote, request, json] {
    FillRequestId(*request->mutable_request_id());
    Output(RpcValueOrExit(remote->Connect()->ImportModel(*request)), *json, *remote);
  });
}

void AddModelList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List the daemon's models");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListModelsResponse response = RpcValueOrExit(remote->Connect()->ListModels());
    if (*json) return PrintJson(response);
    Table table({"NAME", ">VERSION", "ARCHITECTURE", "FORMAT", ">PARAMETERS", ">SIZE", "ADAPTERS",
                 "CREATED"});
    for (const v1::Model& model : response.models())
      table.Add({model.name(), VersionText(model.version()), model.architecture(), model.format(),
                 HumanCount(model.parameters()), HumanBytes(model.size_bytes()),
                 AdapterNames(model.adapters()),
                 Relative(model.created_ms(), remote->clock.Now())});
    PrintOut(table.ToString("no models; add one with `quantfleet model push NAME PATH`"));
  });
}

void AddModelShow(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "show", "Show a model and its versions");
  command->add_option("NAME", *name, "The model")->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    Output(RpcValueOrExit(remote->Connect()->GetModel(*name)), *json, *remote);
  });
}

}  // namespace

void AddModelCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "model", "Manage source models");
  AddPush(group, remote);
  AddImport(group, remote);
  AddModelList(group, remote);
  AddModelShow(group, remote);
}

}  // namespace quantfleet::cli
