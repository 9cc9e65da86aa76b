// Device classes.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

class SqlClassStore final : public ClassStore, private SqlSubject {
 public:
  explicit SqlClassStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<v1::DeviceClass> Get(std::string_view name) const override;
  absl::StatusOr<std::vector<v1::DeviceClass>> List() const override;
  absl::Status Put(const v1::DeviceClass& device_class) override;
  absl::Status Delete(std::string_view name) override;
};

}  // namespace

absl::Status SqlClassStore::Put(const v1::DeviceClass& device_class) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name = device_class.name(), record = Pack(device_class);
    sql << "INSERT INTO classes (name, record) VALUES (:n, :r)"
           " ON CONFLICT (name) DO UPDATE SET record = excluded.record",
        soci::use(name), soci::use(record);
    Note(Change::Kind::kClass, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::DeviceClass> SqlClassStore::Get(std::string_view name) const {
  v1::DeviceClass result;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    std::string record;
    sql << "SELECT record FROM classes WHERE name = :n", soci::use(key), soci::into(record);
    if (!sql.got_data()) return NotFound("there is no device class \"{}\"", name);
    QF_ASSIGN_OR_RETURN(result, Unpack<v1::DeviceClass>(record));
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::vector<v1::DeviceClass>> SqlClassStore::List() const {
  std::vector<v1::DeviceClass> classes;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    classes =
        SelectAll<v1::DeviceClass>(context_, "device class", "SELECT name, record FROM classes");
    SortBy(classes, &v1::DeviceClass::name);
    return absl::OkStatus();
  }));
  return classes;
}

absl::Status SqlClassStore::Delete(std::string_view name) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    sql << "DELETE FROM classes WHERE name = :n", soci::use(key);
    Note(Change::Kind::kClass, name);
    return absl::OkStatus();
  });
}

std::unique_ptr<ClassStore> MakeClassStore(SqlContext& context) {
  return std::make_unique<SqlClassStore>(context);
}

}  // namespace quantfleet::daemon
