// Two slots per model, one of which is current:
//
//   STATE/models/<model>/slots/{a,b}/
//     manifest.pb     exact bytes of the manifest
//     evaluations.pb  what the daemon measured of it, if it did
//     runtime.pb      with what it was proven; empty: the agent's own engine
//     context.pb      with which context and KV cache; absent: by an agent that had no choice
//     files/...       the artifact
//     journal         which chunks are there (download_journal.h)
//     verified        hex digest of the manifest: every byte was checked
//   STATE/models/<model>/current  symbolic link to one of the slots, switched by rename
//
// Not thread-safe; one owner per model.
#pragma once

#include <optional>
#include <string>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

enum class Slot { kA, kB };

class Slots {
 public:
  Slots(FileSystem& files, fs::path model_folder)
      : files_(files), folder_(std::move(model_folder)) {}

  const fs::path& folder() const { return folder_; }
  // nullopt: nothing was activated yet.
  std::optional<Slot> Current() const;
  // The slot for the next version: the one that is not current.
  Slot Idle() const { return Current() == Slot::kA ? Slot::kB : Slot::kA; }

  fs::path PathOf(Slot slot) const;
  fs::path FilesOf(Slot slot) const { return PathOf(slot) / "files"; }
  fs::path JournalOf(Slot slot) const { return PathOf(slot) / "journal"; }

  // The manifest in the slot; NOT_FOUND when it is empty.
  absl::StatusOr<v1::Manifest> ManifestOf(Slot slot) const;
  // Which artifact has been begun, or is complete, in the slot.
  std::optional<Digest> Begun(Slot slot) const;
  std::optional<Digest> Verified(Slot slot) const;

  // Evaluations of the artifact in the slot, kept beside it. If they are missing or damaged there
  // are none.
  absl::Status KeepEvaluations(Slot slot, const v1::Evaluations& evaluations);
  v1::Evaluations EvaluationsOf(Slot slot) const;

  // The artifact in the slot was proven with this; nullopt: with the agent's own engine.
  absl::Status KeepRuntime(Slot slot, const std::optional<v1::Runtime>& runtime);
  // NOT_FOUND: it was not proven, or by an agent of version 0.1, which had its own engine only.
  absl::StatusOr<std::optional<v1::Runtime>> RuntimeOf(Slot slot) const;

  // It was also proven with this context and KV cache. If none was kept, the result has no tokens.
  absl::Status KeepContext(Slot slot, const v1::ContextPolicy& context);
  absl::StatusOr<v1::ContextPolicy> ContextOf(Slot slot) const;

  // Prepares the slot for this artifact. What it has of the same artifact stays, everything else is
  // removed.
  absl::Status Begin(Slot slot, std::string_view manifest_bytes);
  // Every byte of the slot was checked and is durable.
  absl::Status MarkVerified(Slot slot, const Digest& manifest);
  absl::Status UnmarkVerified(Slot slot);

  // Durable and atomic: afterwards this slot is current, even if the power fails now.
  absl::Status Switch(Slot to);
  // Nothing is current any more.
  absl::Status Deactivate();
  // Nothing is current any more, and both slots are emptied.
  absl::Status RemoveAll();

 private:
  FileSystem& files_;
  const fs::path folder_;
};

}  // namespace quantfleet::agent
