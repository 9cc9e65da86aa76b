#include "daemon/maintenance.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/access.h"
#include "common/base/bytes.h"
#include "common/base/fail_point.h"
#include "daemon/data_lock.h"
#include "daemon/jobs/model_place.h"
#include "daemon/operators/operators.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "daemon/trust/authority.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kDevicePage = 1000;

absl::Status CopyFile(FileSystem& files, const fs::path& from, const fs::path& to) {
  QF_ASSIGN_OR_RETURN(const std::string content, files.ReadAll(from));
  return files.WriteAtomically(to, AsBytes(content), OpenMode::kPrivate);
}

absl::Status CopyKeys(FileSystem& files, const fs::path& from, const fs::path& to) {
  QF_RETURN_IF_ERROR(files.CreateDirectories(to / "keys"));
  std::error_code error;
  fs::permissions(to / "keys", fs::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), "protecting " + (to / "keys").string());
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(from / "keys"));
  for (const std::string& name : names)
    if (name.ends_with(".pem") || name.ends_with(".b64"))
      QF_RETURN_IF_ERROR(CopyFile(files, from / "keys" / name, to / "keys" / name));
  return absl::OkStatus();
}

absl::Status CopyLarge(FileSystem& files, const fs::path& from, const fs::path& to) {
  QF_ASSIGN_OR_RETURN(const auto in, files.Open(from, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const uint64_t size, in->Size());
  QF_ASSIGN_OR_RETURN(const auto out, files.Open(to, OpenMode::kCreate));
  Bytes buffer(std::min<uint64_t>(size, 1 << 20));
  for (uint64_t at = 0; at < size; at += buffer.size()) {
    const MutableBytes part =
        MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
    QF_RETURN_IF_ERROR(in->ReadAt(at, part));
    QF_RETURN_IF_ERROR(out->WriteAt(at, part));
    in->DropCache(at, part.size());
  }
  return out->Sync();
}

// What is below `folder`, as paths relative to it, files with their sizes. Sizes are read anyway:
// the names alone do not tell files from folders.
absl::Status ListTree(FileSystem& files, const fs::path& folder, const fs::path& below,
                      std::map<fs::path, uint64_t>& out) {
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(folder / below));
  for (const std::string& name : names) {
    const fs::path path = below / name;
    if (files.List(folder / path).ok()) {
      QF_RETURN_IF_ERROR(ListTree(files, folder, path, out));
      continue;
    }
    QF_ASSIGN_OR_RETURN(const auto file, files.Open(folder / path, OpenMode::kRead));
    QF_ASSIGN_OR_RETURN(out[path], file->Size());
  }
  return absl::OkStatus();
}

absl::Status CopyTree(FileSystem& files, const fs::path& from, const fs::path& to) {
  std::map<fs::path, uint64_t> all;
  QF_RETURN_IF_ERROR(ListTree(files, from, {}, all));
  std::set<fs::path> folders = {to};
  for (const auto& [path, size] : all) {
    for (fs::path up = path.parent_path(); !up.empty(); up = up.parent_path())
      folders.insert(to / up);
    QF_RETURN_IF_ERROR(files.MakeFolder((to / path).parent_path()));
    QF_RETURN_IF_ERROR(CopyLarge(files, from / path, to / path));
  }
  for (const fs::path& folder : folders) QF_RETURN_IF_ERROR(files.SyncDirectory(folder));
  return absl::OkStatus();
}

// The folders of pushed models that are not in `to` yet. The daemon may remove one meanwhile: then
// a newer version is there, and nobody needs it any more.
absl::Status CopyModels(FileSystem& files, const fs::path& from, const fs::path& to) {
  if (!files.Exists(from)) return absl::OkStatus();
  QF_RETURN_IF_ERROR(files.MakeFolder(to));
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(from));
  for (const std::string& name : names) {
    if (files.Exists(to / name)) continue;
    const fs::path partial = to / ("." + name + ".partial");
    QF_RETURN_IF_ERROR(files.RemoveTree(partial));  // of an interrupted copy
    const absl::Status copied = CopyTree(files, from / name, partial);
    if (copied.ok())
      QF_RETURN_IF_ERROR(files.Rename(partial, to / name));
    else if (files.Exists(from / name))
      return copied;
    else
      QF_RETURN_IF_ERROR(files.RemoveTree(partial));
  }
  return files.SyncDirectory(to);
}

uint64_t TreeBytes(FileSystem& files, const fs::path& folder) {
  std::map<fs::path, uint64_t> all;
  ListTree(files, folder, {}, all).IgnoreError();  // absent, or changing: as far as it is seen
  uint64_t bytes = 0;
  for (const auto& [path, size] : all) bytes += size;
  return bytes;
}

// Lines on the models of a restored folder whose files are not there.
absl::StatusOr<std::string> ModelsWithoutFiles(FileSystem& files, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(const auto store, OpenSqliteStore(data / "state.db"));
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Model> models,
                      store->Read([](const Transaction& tx) { return tx.models().List(); }));
  std::string lines;
  for (const v1::Model& model : models) {
    const fs::path place = PlaceOf(files, data, model.path());
    if (const absl::Status there = CheckFilesThere(files, data, model.name(), place); !there.ok())
      lines += "\n" + Message(there);
  }
  return lines;
}

absl::Status Sync(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kUpdate));
  return file->Sync();
}

struct Opened {
  DataLock lock;
  std::unique_ptr<Store> store;
  std::unique_ptr<Authority> authority;
};

absl::StatusOr<Opened> OpenStopped(FileSystem& files, const Clock& clock, const fs::path& data) {
  if (!files.Exists(data / "state.db"))
    return NotFound("{} is not a daemon's data folder: pass the right one with --data",
                    data.string());
  QF_RETURN_IF_ERROR(CheckIsOwn(data));
  QF_ASSIGN_OR_RETURN(DataLock lock, DataLock::Take(files, data));
  for (const fs::path& path : {data, data / "state.db"}) QF_RETURN_IF_ERROR(CheckUnshared(path));
  QF_ASSIGN_OR_RETURN(auto store, OpenSqliteStore(data / "state.db"));
  QF_ASSIGN_OR_RETURN(auto authority, Authority::Open(files, clock, data, {}));
  return Opened{std::move(lock), std::move(store), std::move(authority)};
}

// To how many statements a signature was added, and in words which could not be read.
struct SignedAll {
  uint64_t count = 0;
  std::string damaged;  // empty: none
};

absl::StatusOr<SignedAll> SignAll(const fs::path& data, Opened& opened) {
  SignedAll all;
  QF_RETURN_IF_ERROR(opened.store->Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(all.count, tx.signatures().SignAnew([&](v1::Signed& statement) {
      return opened.authority->SignAnew(statement);
    }));
    std::string names;
    for (const Damaged& one : std::set(tx.damaged().begin(), tx.damaged().end()))
      names += fmt::format("{}{} {}", names.empty() ? "" : ", ", one.kind, one.name);
    if (!names.empty())
      all.damaged = fmt::format(
          "\n{} contains damaged statements, which were left as they are: {}. Devices cannot use "
          "them: once the daemon runs, submit an artifact's job again, and roll out an "
          "assignment's model to its device again; or restore a backup",
          (data / "state.db").string(), names);
    return absl::OkStatus();
  }));
  return all;
}

}  // namespace

absl::StatusOr<std::string> BackUp(FileSystem& files, const fs::path& data, const fs::path& out,
                                   bool models) {
  if (files.Exists(out))
    return AlreadyExists("{} already exists: choose a folder that does not", out.string());
  if (!files.Exists(data / "state.db"))
    return NotFound("{} is not a daemon's data folder: pass the right one with --data",
                    data.string());
  const fs::path partial = out.string() + ".partial";
  QF_RETURN_IF_ERROR(files.RemoveTree(partial));  // of an interrupted backup
  QF_RETURN_IF_ERROR(CopyKeys(files, data, partial));
  // Before the state, which names only what is there, and after it, for what came in between.
  if (models) QF_RETURN_IF_ERROR(CopyModels(files, data / "models", partial / "models"));
  QF_RETURN_IF_ERROR(CopySqliteStore(data / "state.db", partial / "state.db"));
  if (models) QF_RETURN_IF_ERROR(CopyModels(files, data / "models", partial / "models"));
  QF_RETURN_IF_ERROR(Sync(files, partial / "state.db"));
  QF_RETURN_IF_ERROR(files.SyncDirectory(partial));
  FailPoint("maintenance-backup");
  QF_RETURN_IF_ERROR(files.Rename(partial, out));
  QF_RETURN_IF_ERROR(files.SyncDirectory(fs::absolute(out).parent_path()));
  const uint64_t bytes = TreeBytes(files, data / "models");
  std::string what = fmt::format("{}: state and keys", out.string());
  if (models) what += fmt::format(", and the files of pushed models ({})", HumanBytes(bytes));
  what += "; blobs are recreated by running the jobs again";
  if (!models && bytes > 0)
    what += fmt::format(
        "\nthe files of pushed models ({}) are not in it, and jobs need them: keep the models, or "
        "use --models to back them up too",
        HumanBytes(bytes));
  return what;
}

absl::StatusOr<std::string> Restore(FileSystem& files, const fs::path& from, const fs::path& to) {
  const fs::path data = fs::absolute(to).lexically_normal();
  for (const fs::path& part : {from / "state.db", from / "keys/ca.pem", from / "keys/signing.pem"})
    if (!files.Exists(part))
      return NotFound("{} is missing: {} is not a backup made by `quantfleetd backup`",
                      part.string(), from.string());
  QF_RETURN_IF_ERROR(files.MakeFolder(data));
  QF_RETURN_IF_ERROR(CheckIsOwn(data));
  QF_ASSIGN_OR_RETURN(const DataLock lock, DataLock::Take(files, data));
  if (files.Exists(data / "state.db"))
    return FailedPrecondition("{} already contains a daemon's state: restore into an empty folder",
                              data.string());
  QF_RETURN_IF_ERROR(CopyKeys(files, from, data));
  QF_RETURN_IF_ERROR(CopyModels(files, from / "models", data / "models"));
  // Last: without it, a backup can still be restored into the folder.
  const fs::path partial = data / "state.db.partial";
  QF_RETURN_IF_ERROR(files.Remove(partial));
  QF_RETURN_IF_ERROR(CopySqliteStore(from / "state.db", partial));
  QF_RETURN_IF_ERROR(Sync(files, partial));
  FailPoint("maintenance-restore");
  QF_RETURN_IF_ERROR(files.Rename(partial, data / "state.db"));
  QF_RETURN_IF_ERROR(files.SyncDirectory(data));
  const auto without = ModelsWithoutFiles(files, data);
  return fmt::format("{}: restored; you can start the daemon on it{}", data.string(),
                     without.ok() ? *without : "\n" + Message(without.status()));
}

absl::StatusOr<std::string> RotateSigningKey(FileSystem& files, const Clock& clock,
                                             const fs::path& data) {
  {
    QF_ASSIGN_OR_RETURN(Opened opened, OpenStopped(files, clock, data));
    if (opened.authority->trust_root().keys_size() > 1) {
      QF_ASSIGN_OR_RETURN(const SignedAll all, SignAll(data, opened));
      if (all.count > 0)
        return fmt::format(
            "completed an interrupted rotation (statements signed with the new key: {}){}",
            all.count, all.damaged);
    }
    QF_RETURN_IF_ERROR(Authority::RotateSigningKey(files, data));
  }
  FailPoint("maintenance-rotate");
  QF_ASSIGN_OR_RETURN(Opened opened, OpenStopped(files, clock, data));
  QF_ASSIGN_OR_RETURN(const SignedAll all, SignAll(data, opened));
  return fmt::format(
      "trust root {}: added a new signing key (statements signed with it: {}). Start the daemon, "
      "and retire the old key once the devices have checked in{}",
      opened.authority->trust_root().version(), all.count, all.damaged);
}

absl::StatusOr<std::string> RotateCa(FileSystem& files, const Clock& clock, const fs::path& data) {
  {
    QF_ASSIGN_OR_RETURN(const Opened opened, OpenStopped(files, clock, data));
    QF_RETURN_IF_ERROR(Authority::RotateCa(files, clock, data));
  }
  QF_ASSIGN_OR_RETURN(const Opened opened, OpenStopped(files, clock, data));
  return fmt::format(
      "trust root {}: added a new CA beside the old one. Start the daemon, and retire the old one "
      "once the devices have checked in and renewed their certificates",
      opened.authority->trust_root().version());
}

absl::StatusOr<std::string> AcceptClock(FileSystem& files, const Clock& clock,
                                        const fs::path& data) {
  if (!files.Exists(data / "keys"))
    return NotFound("{} is not a daemon's data folder: pass the right one with --data",
                    data.string());
  QF_ASSIGN_OR_RETURN(const DataLock lock, DataLock::Take(files, data));
  return Authority::AcceptClock(files, clock, data);
}

absl::StatusOr<std::string> RestoreAdmin(FileSystem& files, const Clock& clock,
                                         const fs::path& data) {
  QF_ASSIGN_OR_RETURN(Opened opened, OpenStopped(files, clock, data));
  QF_RETURN_IF_ERROR(Operators::Restore(*opened.store, clock));
  return "start the daemon: it writes " + (data / "admin.json").string();
}

absl::StatusOr<std::string> RetireOldKeys(FileSystem& files, const Clock& clock,
                                          const fs::path& data, bool force) {
  QF_ASSIGN_OR_RETURN(Opened opened, OpenStopped(files, clock, data));
  // Of an interrupted rotation: nothing may depend on the old key alone.
  QF_RETURN_IF_ERROR(SignAll(data, opened).status());
  const v1::TrustRoot root = opened.authority->trust_root();
  const bool ca = opened.authority->changes_ca();
  uint64_t behind = 0;
  std::string after, example;
  for (;;) {
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Device> page,
                        opened.store->Read([&](const Transaction& tx) {
                          return tx.devices().List(after, kDevicePage);
                        }));
    if (page.empty()) break;
    after = page.back().id();
    for (const v1::Device& device : page) {
      const bool ready =
          device.trust_root_version() >= root.version() &&
          (!ca || device.certificate_root_version() >= opened.authority->ca_version());
      if (device.state() == v1::Device::ACTIVE && !ready && behind++ == 0) example = device.id();
    }
  }
  if (behind > 0 && !force)
    return FailedPrecondition(
        "devices that do not know trust root {2}{3}: {0}, among them {1}. They would be cut off: "
        "wait for their check-ins, revoke them, or use --force",
        behind, example, root.version(), ca ? " or still have a certificate of the old CA" : "");
  QF_RETURN_IF_ERROR(Authority::RetireOldKeys(files, data));
  return fmt::format(
      "trust root {}: one {} remains{}", root.version() + 1, ca ? "CA" : "signing key",
      ca ? "; enrollment tokens and copies of admin.json from before the change are no longer valid"
         : "");
}

}  // namespace quantfleet::daemon
