// Requests that created something.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

class SqlRequestStore final : public RequestStore, private SqlSubject {
 public:
  explicit SqlRequestStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::optional<std::string>> Find(const Request& request) const override {
    std::optional<std::string> found;
    QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
      QF_ASSIGN_OR_RETURN(found, FindRequest(sql, request));
      return absl::OkStatus();
    }));
    return found;
  }
  absl::Status Record(const Request& request, std::string_view resource) override {
    return Write([&](soci::session& sql) -> absl::Status {
      RecordRequest(sql, request, resource);
      return absl::OkStatus();
    });
  }
};

}  // namespace

absl::StatusOr<std::optional<std::string>> FindRequest(soci::session& sql, const Request& request) {
  if (request.id.empty()) return std::nullopt;
  if (request.id.size() > kMaxRequestIdBytes)
    return InvalidArgument("request_id has {} bytes; the maximum is {}", request.id.size(),
                           kMaxRequestIdBytes);
  std::string resource;
  sql << "SELECT resource FROM requests WHERE method = :m AND request_id = :i",
      soci::use(request.method), soci::use(request.id), soci::into(resource);
  if (!sql.got_data()) return std::nullopt;
  return resource;
}

void RecordRequest(soci::session& sql, const Request& request, std::string_view resource) {
  if (request.id.empty()) return;
  const std::string name(resource);
  const long long position = NextPosition(sql, "requests"),
                  forgotten = position - static_cast<long long>(kKeptRequests);
  sql << "INSERT INTO requests (method, request_id, resource, position) VALUES (:m, :i, :r, :p)",
      soci::use(request.method), soci::use(request.id), soci::use(name), soci::use(position);
  sql << "DELETE FROM requests WHERE position <= :p", soci::use(forgotten);
}

std::unique_ptr<RequestStore> MakeRequestStore(SqlContext& context) {
  return std::make_unique<SqlRequestStore>(context);
}

}  // namespace quantfleet::daemon
