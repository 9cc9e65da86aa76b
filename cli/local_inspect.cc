#include "cli/local_inspect.h"

#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_text.h"
#include "cli/progress.h"
#include "cli/source_text.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/verify.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/format/registry/registry.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

struct InspectOptions {
  std::string path;
  bool json = false;
};

void Print(const InspectOptions& options, const json::object& object) {
  PrintOut(options.json ? Serialized(object) : Readable(object));
}

absl::Status InspectModel(const InspectOptions& options) {
  QF_ASSIGN_OR_RETURN(const ModelFiles files, ResolveModel(RealFileSystem(), options.path));
  QF_ASSIGN_OR_RETURN(const auto source, OpenModel(RealFileSystem(), files));
  json::object model = DescribeModel(*source);
  model["source"] = FilesJson(files);
  Print(options, model);
  WarnOf(source->description());
  return absl::OkStatus();
}

// There is none for an unknown format or a program.
absl::StatusOr<json::array> TensorsOf(const TargetFormat* format, const fs::path& folder,
                                      const v1::Manifest& manifest) {
  json::array list;
  if (format == nullptr) return list;
  std::vector<std::string> paths;
  for (const v1::ArtifactFile& file : manifest.files()) paths.push_back(file.path());
  QF_ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors,
                      format->stored->list(RealFileSystem(), folder, paths));
  for (const StoredTensor& t : tensors)
    list.push_back({{"name", t.name},
                    {"dtype", t.type},
                    {"shape", json::value_from(t.shape)},
                    {"bytes", t.bytes}});
  return list;
}

// The folder's files are verified, chunk by chunk, and the model in it is described too.
absl::Status InspectArtifact(const InspectOptions& options) {
  const Interrupt interrupt;
  const fs::path folder = options.path;
  QF_ASSIGN_OR_RETURN(const v1::Manifest manifest,
                      ReadManifest(RealFileSystem(), folder / kManifestFile));
  {
    ProgressLine line("verify");
    const uint64_t total = ArtifactBytes(manifest);
    QF_RETURN_IF_ERROR(VerifyFolder(
        RealFileSystem(), folder, manifest, [&](uint64_t done) { line.Update(done, total); },
        interrupt.token()));
  }
  json::object artifact = DescribeManifest(manifest);
  artifact["verified"] = true;
  const TargetFormat* format = FindFormat(manifest.target().format());
  if (format != nullptr && !format->stored) {
    QF_ASSIGN_OR_RETURN(const auto source,
                        OpenModel(RealFileSystem(), folder / EntryFile(manifest)));
    artifact["model"] = DescribeModel(*source);
    WarnOf(source->description());
  } else {
    QF_ASSIGN_OR_RETURN(artifact["tensors"], TensorsOf(format, folder, manifest));
  }
  Print(options, artifact);
  return absl::OkStatus();
}

absl::Status Inspect(const InspectOptions& options) {
  const fs::path path = options.path;
  if (RealFileSystem().Exists(path / kManifestFile)) return InspectArtifact(options);
  if (path.extension() != ".pb") return InspectModel(options);
  QF_ASSIGN_OR_RETURN(const v1::Manifest manifest, ReadManifest(RealFileSystem(), path));
  Print(options, DescribeManifest(manifest));
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Describe a model or a manifest, or verify and describe an artifact");
  command
      ->add_option("path", options->path,
                   "A Hugging Face folder, a GGUF file, an artifact's folder, or a manifest.pb")
      ->type_name("PATH")
      ->required();
  command->add_flag("--json", options->json, "Print JSON on stdout");
  command->callback([options] { ExitOnError(Inspect(*options)); });
}

}  // namespace quantfleet::cli
