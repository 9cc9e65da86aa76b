#include "agent/update/slots.h"

#include "pipeline/artifact/manifest.h"

namespace quantfleet::agent {
namespace {

constexpr uint64_t kMaxManifestBytes = 256 << 20, kMaxEvaluationBytes = 1 << 20,
                   kMaxRuntimeBytes = 1 << 20;
constexpr std::string_view kEvaluationsFile = "evaluations.pb",
                           kOldEvaluationFile = "evaluation.pb",  // of version 0.1, which kept one
    kRuntimeFile = "runtime.pb", kContextFile = "context.pb";

const char* NameOf(Slot slot) { return slot == Slot::kA ? "a" : "b"; }

}  // namespace

fs::path Slots::PathOf(Slot slot) const { return folder_ / "slots" / NameOf(slot); }

std::optional<Slot> Slots::Current() const {
  const absl::StatusOr<fs::path> target = files_.ReadLink(folder_ / "current");
  if (!target.ok()) return std::nullopt;
  if (*target == fs::path("slots") / "a") return Slot::kA;
  if (*target == fs::path("slots") / "b") return Slot::kB;
  return std::nullopt;
}

absl::StatusOr<v1::Manifest> Slots::ManifestOf(Slot slot) const {
  const fs::path path = PathOf(slot) / "manifest.pb";
  if (!files_.Exists(path)) return NotFound("{} does not exist", path.string());
  QF_ASSIGN_OR_RETURN(const std::string bytes, files_.ReadAll(path, kMaxManifestBytes));
  return pipeline::ParseManifest(bytes);
}

std::optional<Digest> Slots::Begun(Slot slot) const {
  const auto bytes = files_.ReadAll(PathOf(slot) / "manifest.pb", kMaxManifestBytes);
  return bytes.ok() ? std::optional(HashText(*bytes)) : std::nullopt;
}

std::optional<Digest> Slots::Verified(Slot slot) const {
  const auto text = files_.ReadAll(PathOf(slot) / "verified", 1024);
  const auto digest =
      text.ok() ? Digest::FromHexText(*text) : absl::StatusOr<Digest>(text.status());
  if (!digest.ok() || Begun(slot) != *digest) return std::nullopt;
  return *digest;
}

absl::Status Slots::Begin(Slot slot, std::string_view manifest_bytes) {
  const fs::path path = PathOf(slot);
  if (Begun(slot) == HashText(manifest_bytes)) return UnmarkVerified(slot);
  // The mark goes first, durably: a slot that is half removed must never look whole.
  QF_RETURN_IF_ERROR(UnmarkVerified(slot));
  QF_RETURN_IF_ERROR(files_.RemoveTree(path));
  QF_RETURN_IF_ERROR(files_.CreateDirectories(path / "files"));
  QF_RETURN_IF_ERROR(files_.WriteAtomically(path / "manifest.pb", AsBytes(manifest_bytes)));
  QF_RETURN_IF_ERROR(files_.SyncDirectory(path.parent_path()));
  return files_.SyncDirectory(folder_);
}

absl::Status Slots::KeepEvaluations(Slot slot, const v1::Evaluations& evaluations) {
  return files_.WriteAtomically(PathOf(slot) / kEvaluationsFile,
                                AsBytes(evaluations.SerializeAsString()));
}

v1::Evaluations Slots::EvaluationsOf(Slot slot) const {
  v1::Evaluations evaluations;
  if (const auto bytes = files_.ReadAll(PathOf(slot) / kEvaluationsFile, kMaxEvaluationBytes);
      bytes.ok()) {
    if (!evaluations.ParseFromString(*bytes)) evaluations.Clear();
  } else if (const auto one =
                 files_.ReadAll(PathOf(slot) / kOldEvaluationFile, kMaxEvaluationBytes);
             one.ok()) {
    if (!evaluations.add_evaluations()->ParseFromString(*one)) evaluations.Clear();
  }
  return evaluations;
}

absl::Status Slots::KeepRuntime(Slot slot, const std::optional<v1::Runtime>& runtime) {
  const std::string bytes = runtime ? runtime->SerializeAsString() : "";
  return files_.WriteAtomically(PathOf(slot) / kRuntimeFile, AsBytes(bytes));
}

absl::StatusOr<std::optional<v1::Runtime>> Slots::RuntimeOf(Slot slot) const {
  const fs::path path = PathOf(slot) / kRuntimeFile;
  if (!files_.Exists(path)) return NotFound("{} does not exist", path.string());
  QF_ASSIGN_OR_RETURN(const std::string bytes, files_.ReadAll(path, kMaxRuntimeBytes));
  if (bytes.empty()) return std::nullopt;
  v1::Runtime runtime;
  if (!runtime.ParseFromString(bytes)) return DataLoss("{} is damaged", path.string());
  return runtime;
}

absl::Status Slots::KeepContext(Slot slot, const v1::ContextPolicy& context) {
  return files_.WriteAtomically(PathOf(slot) / kContextFile, AsBytes(context.SerializeAsString()));
}

absl::StatusOr<v1::ContextPolicy> Slots::ContextOf(Slot slot) const {
  const fs::path path = PathOf(slot) / kContextFile;
  v1::ContextPolicy context;
  const auto bytes = files_.ReadAll(path, kMaxRuntimeBytes);
  if (bytes.status().code() == absl::StatusCode::kNotFound) return context;
  if (!bytes.ok()) return bytes.status();
  if (!context.ParseFromString(*bytes)) return DataLoss("{} is damaged", path.string());
  return context;
}

absl::Status Slots::MarkVerified(Slot slot, const Digest& manifest) {
  return files_.WriteAtomically(PathOf(slot) / "verified", AsBytes(manifest.hex()));
}

absl::Status Slots::UnmarkVerified(Slot slot) {
  const fs::path mark = PathOf(slot) / "verified";
  if (!files_.Exists(mark)) return absl::OkStatus();
  QF_RETURN_IF_ERROR(files_.Remove(mark));
  return files_.SyncDirectory(PathOf(slot));
}

absl::Status Slots::Switch(Slot to) {
  const fs::path link = folder_ / "current", fresh = folder_ / "current.tmp";
  QF_RETURN_IF_ERROR(files_.Remove(fresh));
  QF_RETURN_IF_ERROR(files_.MakeLink(fs::path("slots") / NameOf(to), fresh));
  QF_RETURN_IF_ERROR(files_.Rename(fresh, link));
  return files_.SyncDirectory(folder_);
}

absl::Status Slots::Deactivate() {
  QF_RETURN_IF_ERROR(files_.Remove(folder_ / "current"));
  return files_.Exists(folder_) ? files_.SyncDirectory(folder_) : absl::OkStatus();
}

absl::Status Slots::RemoveAll() {
  QF_RETURN_IF_ERROR(Deactivate());
  return files_.RemoveTree(folder_ / "slots");
}

}  // namespace quantfleet::agent
