#include "daemon/data_state.h"

#include "common/base/access.h"
#include "common/trust/validity.h"
#include "daemon/data_lock.h"
#include "daemon/store/sqlite/sqlite_store.h"

namespace quantfleet::daemon {
namespace {

// Rows are checked that long at a start; pages are read in any case, as a copy would.
constexpr Duration kCheckFor = std::chrono::seconds(20);

bool HasKeys(FileSystem& files, const fs::path& data) {
  return files.Exists(data / "keys/ca.pem") || files.Exists(data / "keys/signing.pem");
}

std::string WaysOut(const fs::path& data) {
  return fmt::format(
      "Run `quantfleetd set-aside --data {0}`, which keeps what is left in a folder beside it. "
      "Then "
      "restore a backup with `quantfleetd restore BACKUP --data {0}`; if there is none, start the "
      "daemon: it begins a new, empty fleet with new keys, and every device has to enroll again",
      data.string());
}

}  // namespace

absl::Status CheckState(FileSystem& files, const Clock& clock, const fs::path& data,
                        const std::function<void(std::string_view)>& warn) {
  const fs::path database = data / "state.db";
  const auto state = CheckSqliteStore(files, clock, database, kCheckFor);
  if (absl::IsDataLoss(state.status()))
    return DataLoss("{}: {}. {}", database.string(), Message(state.status()), WaysOut(data));
  QF_RETURN_IF_ERROR(state.status());
  if (*state == DatabaseState::kPartial)
    warn(fmt::format("{} is too large to check all of it at the start", database.string()));
  if (*state != DatabaseState::kEmpty || !HasKeys(files, data)) return absl::OkStatus();
  return FailedPrecondition(
      "{} contains the keys of a fleet, but {} is {}: a daemon that starts now knows none of its "
      "devices. {}",
      (data / "keys").string(), database.string(), files.Exists(database) ? "empty" : "missing",
      WaysOut(data));
}

absl::Status CheckKeys(FileSystem& files, Store& store, const fs::path& data) {
  if (HasKeys(files, data)) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const Counts counts,
                      store.Read([](const Transaction& tx) { return tx.counts().Count(0); }));
  if (counts.devices == 0 && counts.artifacts == 0) return absl::OkStatus();
  return FailedPrecondition(
      "{} contains the state of a fleet, but its keys in {} are missing: no device trusts new "
      "ones. "
      "{}",
      (data / "state.db").string(), (data / "keys").string(), WaysOut(data));
}

absl::StatusOr<std::string> SetAside(FileSystem& files, const Clock& clock, const fs::path& data) {
  if (!files.Exists(data / "state.db") && !files.Exists(data / "keys"))
    return NotFound("{} is not a daemon's data folder: pass the right one with --data",
                    data.string());
  QF_RETURN_IF_ERROR(CheckIsOwn(data));
  QF_ASSIGN_OR_RETURN(const DataLock lock, DataLock::Take(files, data));
  absl::Status wrong = CheckState(files, clock, data, [](std::string_view) {});
  if (wrong.ok() && files.Exists(data / "state.db")) {
    QF_ASSIGN_OR_RETURN(const auto store, OpenSqliteStore(data / "state.db"));
    wrong = CheckKeys(files, *store, data);
  }
  if (wrong.ok())
    return FailedPrecondition(
        "nothing is wrong with {}: to begin another fleet, start a daemon with another --data",
        data.string());
  if (!absl::IsFailedPrecondition(wrong) && !absl::IsDataLoss(wrong)) return wrong;
  const std::string name = "lost-" + trust::UtcText(clock.Now());
  fs::path aside = data / name;
  for (int i = 2; files.Exists(aside); ++i) aside = data / fmt::format("{}-{}", name, i);
  QF_RETURN_IF_ERROR(files.MakeFolder(aside));
  // The keys last: until then a daemon still refuses to start.
  for (const char* part : {"state.db", "state.db-wal", "state.db-shm", "keys"})
    if (files.Exists(data / part)) QF_RETURN_IF_ERROR(files.Rename(data / part, aside / part));
  QF_RETURN_IF_ERROR(files.SyncDirectory(aside));
  QF_RETURN_IF_ERROR(files.SyncDirectory(data));
  return fmt::format(
      "{0}: what was left is in {1}. Restore a backup with `quantfleetd restore BACKUP --data "
      "{0}`, "
      "or start the daemon to begin a new, empty fleet",
      data.string(), aside.string());
}

}  // namespace quantfleet::daemon
