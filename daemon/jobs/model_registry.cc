#include "daemon/jobs/model_registry.h"

#include <algorithm>
#include <set>

#include "daemon/jobs/agent_release.h"
#include "daemon/jobs/model_place.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/format/safetensors/lora_adapter.h"

namespace quantfleet::daemon {

Digest FilesDigest(const v1::Model& model) {
  std::vector<std::string> lines;
  for (const v1::ModelFile& file : model.files())
    lines.push_back(
        fmt::format("{} {} {}\n", ToHex(AsBytes(file.sha256())), file.size(), file.path()));
  std::ranges::sort(lines);
  Sha256 hash;
  for (const std::string& line : lines) hash.Update(AsBytes(line));
  return hash.Finish();
}

namespace {

absl::StatusOr<v1::ModelAdapter> DescribeAdapter(FileSystem& files,
                                                 const pipeline::LoraChoice& choice) {
  QF_ASSIGN_OR_RETURN(const pipeline::LoraAdapter opened,
                      pipeline::LoraAdapter::Open(files, choice.folder, choice.times));
  v1::ModelAdapter adapter;
  adapter.set_name(choice.name);
  adapter.set_scale(choice.times);
  adapter.set_base_model(opened.base());
  adapter.set_weights(opened.deltas().size());
  return adapter;
}

}  // namespace

ModelRegistry::ModelRegistry(Store& store, FileSystem& files, Random& random, const Clock& clock,
                             fs::path data, Limits limits)
    : store_(store),
      files_(files),
      random_(random),
      clock_(clock),
      data_(std::move(data)),
      limits_(limits) {}

fs::path ModelRegistry::IncomingOf(std::string_view push_id) const {
  return data_ / "incoming" / push_id;
}

fs::path ModelRegistry::PublishedOf(const PushRecord& record) const {
  return data_ / "models" / (record.model + "-" + record.id);
}

absl::StatusOr<v1::Model> ModelRegistry::Describe(std::string_view name, const fs::path& path) {
  if (pipeline::KindOfModel(name) == pipeline::ArtifactKind::kProgram) return DescribeAgents(path);
  QF_ASSIGN_OR_RETURN(pipeline::ModelFiles files, pipeline::ResolveModel(files_, path));
  files.name = name;
  QF_ASSIGN_OR_RETURN(const auto source, pipeline::OpenModel(files_, files));
  const pipeline::ModelDescription& description = source->description();
  v1::Model model;
  for (const pipeline::ModelFile& file : files.files) {
    v1::ModelFile& entry = *model.add_files();
    entry.set_path(file.name);
    entry.set_part(std::string(pipeline::PartName(file.part)));
    entry.set_size(file.size);
  }
  for (const pipeline::LoraChoice& choice : files.adapters) {
    QF_ASSIGN_OR_RETURN(*model.add_adapters(), DescribeAdapter(files_, choice));
  }
  model.add_notes("the weights are " + files.why);
  for (const std::string& ignored : files.ignored) model.add_notes("not read: " + ignored);
  for (std::string& warning : pipeline::WarningsOf(description))
    model.add_notes(std::move(warning));
  if (std::string note = pipeline::QuantizedNote(description); !note.empty())
    model.add_notes(std::move(note));
  model.set_name(std::string(name));
  model.set_architecture(std::string(description.family->name));
  model.set_format(std::string(source->format()));
  model.set_parameters(static_cast<uint64_t>(description.Parameters()));
  uint64_t bytes = 0;
  for (const pipeline::SourceTensor& tensor : description.tensors)
    bytes += static_cast<uint64_t>(tensor.rows * pipeline::RowBytes(tensor.dtype, tensor.cols));
  model.set_size_bytes(bytes);
  model.set_created_ms(ToUnixMillis(clock_.Now()));
  // Of the hub's cache the snapshot: what its name leads to later is another version.
  model.set_path((files.gguf ? path : files.folder).string());
  return model;
}

// Under that name only programs of the agent are accepted.
absl::StatusOr<v1::Model> ModelRegistry::DescribeAgents(const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const std::vector<FoundAgent> agents, FindAgents(files_, path));
  v1::Model model;
  model.set_name(std::string(pipeline::kAgentModel));
  model.set_format(std::string(pipeline::kAgentFormat));
  uint64_t bytes = 0;
  std::string architectures;
  for (const FoundAgent& agent : agents) {
    v1::ModelFile& entry = *model.add_files();
    entry.set_path(agent.path.filename().string());
    entry.set_part("program");
    entry.set_size(agent.program.size);
    bytes += agent.program.size;
    architectures += (architectures.empty() ? "" : ", ") + agent.program.architecture;
  }
  model.set_architecture(architectures);
  model.set_size_bytes(bytes);
  model.set_created_ms(ToUnixMillis(clock_.Now()));
  model.set_path(path.string());
  return model;
}

absl::StatusOr<Digest> ModelRegistry::HashFile(const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const auto file, files_.Open(path, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  Sha256 hash;
  Bytes buffer(std::min<uint64_t>(size, 1 << 20));
  for (uint64_t at = 0; at < size; at += buffer.size()) {
    const MutableBytes part =
        MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
    QF_RETURN_IF_ERROR(file->ReadAt(at, part));
    hash.Update(part);
    file->DropCache(at, part.size());
  }
  return hash.Finish();
}

absl::StatusOr<v1::Model> ModelRegistry::Import(std::string_view request_id, std::string_view name,
                                                const fs::path& path, std::string_view by) {
  const Request request{"ImportModel", std::string(request_id)};
  QF_ASSIGN_OR_RETURN(const auto known, store_.Read([&](const Transaction& tx) {
    return tx.models().FindMade(request);
  }));
  if (known) return Shown(*known);
  QF_RETURN_IF_ERROR(CheckModelName(name));
  if (pipeline::IsHubName(path.string()))
    return InvalidArgument(
        "\"{}\" must be an absolute path on the daemon's machine; a model of the Hugging Face hub "
        "is downloaded there first: `{}`",
        path.string(), pipeline::DownloadCommand(path.string()));
  if (!path.is_absolute())
    return InvalidArgument("\"{}\" must be an absolute path on the daemon's machine",
                           path.string());
  QF_ASSIGN_OR_RETURN(v1::Model model, Describe(name, path.lexically_normal()));
  const fs::path source = model.path();
  const fs::path folder = files_.List(source).ok() ? source : source.parent_path();
  for (v1::ModelFile& file : *model.mutable_files()) {
    QF_ASSIGN_OR_RETURN(const Digest digest, HashFile(folder / file.path()));
    file.set_sha256(digest.raw());
  }
  model.set_files_digest(FilesDigest(model).raw());
  model.set_created_by(std::string(by));
  model.set_path(RecordedPlace(data_, source));
  QF_ASSIGN_OR_RETURN(v1::Model recorded,
                      store_.Write([&](Transaction& tx) -> absl::StatusOr<v1::Model> {
                        auto newest = tx.models().Get(name);
                        if (newest.ok() && newest->files_digest() == model.files_digest() &&
                            newest->path() == model.path())
                          return newest;
                        return tx.models().Put(model, request);
                      }));
  QF_RETURN_IF_ERROR(SweepModels());
  return Shown(std::move(recorded));
}

fs::path ModelRegistry::PlaceOf(std::string_view recorded) const {
  return daemon::PlaceOf(files_, data_, recorded);
}

v1::Model ModelRegistry::Shown(v1::Model recorded) const {
  return ModelAsShown(files_, data_, std::move(recorded));
}

bool ModelRegistry::HasAllFiles(const v1::Model& recorded) const {
  const fs::path place = PlaceOf(recorded.path());
  return files_.Exists(place) &&
         std::ranges::all_of(recorded.files(), [&](const v1::ModelFile& file) {
           return files_.Exists(place / file.path());
         });
}

absl::Status ModelRegistry::Sweep() {
  QF_RETURN_IF_ERROR(SweepPushes());
  return SweepModels();
}

absl::Status ModelRegistry::SweepModels() {
  const fs::path folder = data_ / "models";
  if (!files_.Exists(folder)) return absl::OkStatus();
  // Listed first: what appears afterwards is not looked at.
  QF_ASSIGN_OR_RETURN(const auto present, files_.List(folder));
  std::set<fs::path> needed;
  bool all_known = true;
  QF_RETURN_IF_ERROR(store_.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto pushes, tx.models().ListPushes());
    QF_ASSIGN_OR_RETURN(const auto models, tx.models().List());
    QF_ASSIGN_OR_RETURN(const auto jobs, tx.jobs().ListUnfinished());
    for (const PushRecord& push : pushes)
      if (!push.committed) needed.insert(PublishedOf(push));
    for (const v1::Model& model : models) needed.insert(PlaceOf(model.path()));
    for (const JobRecord& job : jobs) needed.insert(PlaceOf(job.source_path));
    all_known = tx.damaged().empty();
    return absl::OkStatus();
  }));
  // A record that cannot be read may need any of them.
  if (!all_known) return absl::OkStatus();
  for (const std::string& name : present)
    if (!needed.contains(folder / name)) QF_RETURN_IF_ERROR(files_.RemoveTree(folder / name));
  return absl::OkStatus();
}

absl::Status ModelRegistry::SweepPushes() {
  const fs::path folder = data_ / "incoming";
  std::vector<std::string> present;
  if (files_.Exists(folder)) {
    QF_ASSIGN_OR_RETURN(present, files_.List(folder));
  }
  std::set<std::string> needed;
  QF_ASSIGN_OR_RETURN(const auto pushes,
                      store_.Read([&](const Transaction& tx) { return tx.models().ListPushes(); }));
  for (const PushRecord& push : pushes) {
    const Duration age = clock_.Now() - FromUnixMillis(push.created_ms);
    // One that became a version has moved there; what is left of it lies in the version before.
    const bool young = std::chrono::abs(age) < limits_.push_lifetime;  // the clock may have jumped
    if (young && !push.committed)
      needed.insert(push.id);
    else if (!young)
      QF_RETURN_IF_ERROR(
          store_.Write([&](Transaction& tx) { return tx.models().DeletePush(push.id); }));
  }
  for (const std::string& name : present)
    if (!needed.contains(name)) QF_RETURN_IF_ERROR(files_.RemoveTree(folder / name));
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
