// How far the check of all blobs has come: one row.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

class SqlScrubStore final : public ScrubStore, private SqlSubject {
 public:
  explicit SqlScrubStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::optional<v1::Scrub>> Get() const override {
    std::optional<v1::Scrub> scrub;
    QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
      std::string record;
      sql << "SELECT record FROM scrubs WHERE name = 'blobs'", soci::into(record);
      if (!sql.got_data()) return absl::OkStatus();
      if (auto found = Unpack<v1::Scrub>(record); found.ok()) scrub = *std::move(found);
      return absl::OkStatus();
    }));
    return scrub;
  }
  absl::Status Put(const v1::Scrub& scrub) override {
    return Write([&](soci::session& sql) -> absl::Status {
      const std::string record = Pack(scrub);
      sql << "INSERT INTO scrubs (name, record) VALUES ('blobs', :r)"
             " ON CONFLICT (name) DO UPDATE SET record = excluded.record",
          soci::use(record);
      return absl::OkStatus();
    });
  }
};

}  // namespace

std::unique_ptr<ScrubStore> MakeScrubStore(SqlContext& context) {
  return std::make_unique<SqlScrubStore>(context);
}

}  // namespace quantfleet::daemon
