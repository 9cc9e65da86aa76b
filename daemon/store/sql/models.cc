// Models and pushes.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

absl::StatusOr<v1::Model> SelectModel(soci::session& sql, const std::string& name) {
  std::string record;
  sql << "SELECT record FROM models WHERE name = :n", soci::use(name), soci::into(record);
  if (!sql.got_data()) return NotFound("there is no model \"{}\"", name);
  return Unpack<v1::Model>(record);
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
  sql << "SELECT model, created_ms, committed FROM pushes WHERE id = :i", soci::use(id),
      soci::into(push.model), soci::into(created), soci::into(committed);
  if (!sql.got_data()) return NotFound("push \"{}\" does not exist: begin a new one", id);
  push.created_ms = created;
  push.committed = committed != 0;
  QF_ASSIGN_OR_RETURN(push.files, SelectPushFiles(sql, id));
  return push;
}

class SqlModelStore final : public ModelStore, private SqlSubject {
 public:
  explicit SqlModelStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<v1::Model> Get(std::string_view name) const override;
  absl::StatusOr<std::vector<v1::Model>> List() const override;
  absl::StatusOr<v1::Model> Put(const v1::Model& model, const Request& request) override;
  absl::StatusOr<PushRecord> GetPush(std::string_view id) const override;
  absl::StatusOr<std::vector<PushRecord>> ListPushes() const override;
  absl::StatusOr<PushRecord> CreatePush(const PushRecord& push, const Request& request) override;
  absl::Status FinishPush(std::string_view id, const v1::Model& model) override;
  absl::Status DeletePush(std::string_view id) override;

 private:
  void WriteModel(soci::session& sql, const v1::Model& model);
};

}  // namespace

void SqlModelStore::WriteModel(soci::session& sql, const v1::Model& model) {
  const std::string name = model.name(), record = Pack(model);
  sql << "INSERT INTO models (name, record) VALUES (:n, :r)"
         " ON CONFLICT (name) DO UPDATE SET record = excluded.record",
      soci::use(name), soci::use(record);
  Note(Change::Kind::kModel, name);
}

absl::StatusOr<v1::Model> SqlModelStore::Put(const v1::Model& model, const Request& request) {
  v1::Model result = model;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(result, SelectModel(sql, *known));
      return absl::OkStatus();
    }
    WriteModel(sql, model);
    RecordRequest(sql, request, model.name());
    return absl::OkStatus();
  }));
  return result;
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
    models = SelectAll<v1::Model>(context_, "model", "SELECT name, record FROM models");
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

absl::Status SqlModelStore::FinishPush(std::string_view id, const v1::Model& model) {
  return Write([&](soci::session& sql) -> absl::Status {
    QF_RETURN_IF_ERROR(SelectPush(sql, std::string(id)).status());
    const std::string key(id);
    sql << "UPDATE pushes SET committed = 1 WHERE id = :i", soci::use(key);
    WriteModel(sql, model);
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
