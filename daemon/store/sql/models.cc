// Models and pushes.
#include <soci/soci.h>

#include <cstdlib>
#include <limits>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

// A record of before versions does not know its number.
absl::StatusOr<v1::Model> UnpackModel(const std::string& record, long long version) {
  QF_ASSIGN_OR_RETURN(v1::Model model, Unpack<v1::Model>(record));
  model.set_version(static_cast<uint64_t>(version));
  return model;
}

// At most `most` versions, the newest first.
absl::StatusOr<std::vector<v1::Model>> SelectVersions(soci::session& sql, const std::string& name,
                                                      long long most) {
  std::vector<v1::Model> models;
  std::string record;
  long long version = 0;
  soci::statement rows =
      (sql.prepare << "SELECT version, record FROM model_versions WHERE model = :n"
                      " ORDER BY version DESC LIMIT :l",
       soci::use(name), soci::use(most), soci::into(version), soci::into(record));
  rows.execute();
  while (rows.fetch()) {
    QF_ASSIGN_OR_RETURN(v1::Model model, UnpackModel(record, version));
    models.push_back(std::move(model));
  }
  if (models.empty()) return NotFound("there is no model \"{}\"", name);
  return models;
}

absl::StatusOr<v1::Model> SelectModel(soci::session& sql, const std::string& name) {
  QF_ASSIGN_OR_RETURN(std::vector<v1::Model> newest, SelectVersions(sql, name, 1));
  return std::move(newest[0]);
}

absl::StatusOr<v1::Model> SelectVersion(soci::session& sql, const std::string& name,
                                        uint64_t number) {
  const auto version = static_cast<long long>(number);
  std::string record;
  sql << "SELECT record FROM model_versions WHERE model = :n AND version = :v", soci::use(name),
      soci::use(version), soci::into(record);
  if (sql.got_data()) return UnpackModel(record, version);
  QF_RETURN_IF_ERROR(SelectModel(sql, name).status());
  return NotFound("model {} has no version {}: see `quantfleet model show {}`", name, number, name);
}

// What a request made, as it is recorded: "name@3"; "name" alone before there were versions. No
// name has an "@" in it.
std::string MadeBy(const v1::Model& model) {
  return fmt::format("{}@{}", model.name(), model.version());
}

absl::StatusOr<v1::Model> SelectMade(soci::session& sql, const std::string& resource) {
  const size_t at = resource.rfind('@');
  if (at == std::string::npos) return SelectModel(sql, resource);
  return SelectVersion(sql, resource.substr(0, at), std::strtoull(&resource[at + 1], nullptr, 10));
}

absl::StatusOr<std::vector<PushedFile>> SelectPushFiles(soci::session& sql,
                                                        const std::string& push) {
  std::vector<PushedFile> files;
  std::string path, sha256;
  long long size = 0;
  soci::statement rows =
      (sql.prepare << "SELECT path, size, sha256 FROM push_files WHERE push = :p", soci::use(push),
       soci::into(path), soci::into(size), soci::into(sha256));
  rows.execute();
  while (rows.fetch()) {
    QF_ASSIGN_OR_RETURN(Digest digest, Digest::FromHexText(sha256));
    files.push_back({path, static_cast<uint64_t>(size), digest});
  }
  SortBy(files, &PushedFile::path);
  return files;
}

absl::StatusOr<PushRecord> SelectPush(soci::session& sql, const std::string& id) {
  PushRecord push{.id = id, .model = {}, .files = {}};
  long long created = 0;
  int committed = 0;
  long long version = 0;
  sql << "SELECT model, created_ms, committed, version FROM pushes WHERE id = :i", soci::use(id),
      soci::into(push.model), soci::into(created), soci::into(committed), soci::into(version);
  if (!sql.got_data()) return NotFound("push \"{}\" does not exist: begin a new one", id);
  push.created_ms = created;
  push.committed = committed != 0;
  push.version = static_cast<uint64_t>(version);
  QF_ASSIGN_OR_RETURN(push.files, SelectPushFiles(sql, id));
  return push;
}

class SqlModelStore final : public ModelStore, private SqlSubject {
 public:
  explicit SqlModelStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<v1::Model> Get(std::string_view name) const override;
  absl::StatusOr<v1::Model> GetVersion(std::string_view name, uint64_t version) const override;
  absl::StatusOr<std::vector<v1::Model>> List() const override;
  absl::StatusOr<std::vector<v1::Model>> ListVersions(std::string_view name) const override;
  absl::StatusOr<std::optional<v1::Model>> FindMade(const Request& request) const override;
  absl::StatusOr<v1::Model> Put(const v1::Model& model, const Request& request) override;
  absl::StatusOr<PushRecord> GetPush(std::string_view id) const override;
  absl::StatusOr<std::vector<PushRecord>> ListPushes() const override;
  absl::StatusOr<PushRecord> CreatePush(const PushRecord& push, const Request& request) override;
  absl::Status FinishPush(std::string_view id, uint64_t version) override;
  absl::Status DeletePush(std::string_view id) override;
};

}  // namespace

absl::StatusOr<v1::Model> SqlModelStore::Put(const v1::Model& model, const Request& request) {
  v1::Model result = model;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(result, SelectMade(sql, *known));
      return absl::OkStatus();
    }
    const std::string name = model.name();
    const long long version = NextPosition(sql, "model_versions/" + name);
    result.set_version(static_cast<uint64_t>(version));
    const std::string record = Pack(result);
    sql << "INSERT INTO model_versions (model, version, record) VALUES (:n, :v, :r)",
        soci::use(name), soci::use(version), soci::use(record);
    Note(Change::Kind::kModel, name);
    RecordRequest(sql, request, MadeBy(result));
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::optional<v1::Model>> SqlModelStore::FindMade(const Request& request) const {
  std::optional<v1::Model> made;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto resource, FindRequest(sql, request));
    if (!resource) return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(made, SelectMade(sql, *resource));
    return absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<v1::Model> SqlModelStore::GetVersion(std::string_view name, uint64_t version) const {
  v1::Model model;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(model, SelectVersion(sql, std::string(name), version));
    return absl::OkStatus();
  }));
  return model;
}

absl::StatusOr<std::vector<v1::Model>> SqlModelStore::ListVersions(std::string_view name) const {
  std::vector<v1::Model> models;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(
        models, SelectVersions(sql, std::string(name), std::numeric_limits<int32_t>::max()));
    return absl::OkStatus();
  }));
  return models;
}

absl::StatusOr<v1::Model> SqlModelStore::Get(std::string_view name) const {
  v1::Model model;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(model, SelectModel(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return model;
}

absl::StatusOr<std::vector<v1::Model>> SqlModelStore::List() const {
  std::vector<v1::Model> models;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    models = SelectAll<v1::Model>(
        context_, "model",
        "SELECT v.model, v.record FROM model_versions v WHERE v.version ="
        " (SELECT MAX(w.version) FROM model_versions w WHERE w.model = v.model)");
    for (v1::Model& model : models)
      if (model.version() == 0) model.set_version(1);  // a record of before versions
    SortBy(models, &v1::Model::name);
    return absl::OkStatus();
  }));
  return models;
}

absl::StatusOr<PushRecord> SqlModelStore::CreatePush(const PushRecord& push,
                                                     const Request& request) {
  PushRecord result = push;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(result, SelectPush(sql, *known));
      return absl::OkStatus();
    }
    const long long created = push.created_ms, position = NextPosition(sql, "pushes");
    const int committed = push.committed;
    sql << "INSERT INTO pushes (id, model, created_ms, committed, position) VALUES (:i, :m, :t, "
           ":c, :p)",
        soci::use(push.id), soci::use(push.model), soci::use(created), soci::use(committed),
        soci::use(position);
    for (const PushedFile& file : push.files) {
      const long long size = static_cast<long long>(file.size);
      const std::string sha256 = file.sha256.hex();
      sql << "INSERT INTO push_files (push, path, size, sha256) VALUES (:i, :p, :s, :d)",
          soci::use(push.id), soci::use(file.path), soci::use(size), soci::use(sha256);
    }
    RecordRequest(sql, request, push.id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<PushRecord> SqlModelStore::GetPush(std::string_view id) const {
  PushRecord push;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(push, SelectPush(sql, std::string(id)));
    return absl::OkStatus();
  }));
  return push;
}

absl::StatusOr<std::vector<PushRecord>> SqlModelStore::ListPushes() const {
  std::vector<PushRecord> pushes;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    for (const std::string& id : SelectTexts(sql, "SELECT id FROM pushes ORDER BY position")) {
      QF_ASSIGN_OR_RETURN(PushRecord push, SelectPush(sql, id));
      pushes.push_back(std::move(push));
    }
    return absl::OkStatus();
  }));
  return pushes;
}

absl::Status SqlModelStore::FinishPush(std::string_view id, uint64_t version) {
  return Write([&](soci::session& sql) -> absl::Status {
    QF_RETURN_IF_ERROR(SelectPush(sql, std::string(id)).status());
    const std::string key(id);
    const auto number = static_cast<long long>(version);
    sql << "UPDATE pushes SET committed = 1, version = :v WHERE id = :i", soci::use(number),
        soci::use(key);
    return absl::OkStatus();
  });
}

absl::Status SqlModelStore::DeletePush(std::string_view id) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string key(id);
    sql << "DELETE FROM pushes WHERE id = :i", soci::use(key);
    return absl::OkStatus();
  });
}

std::unique_ptr<ModelStore> MakeModelStore(SqlContext& context) {
  return std::make_unique<SqlModelStore>(context);
}

}  // namespace quantfleet::daemon
