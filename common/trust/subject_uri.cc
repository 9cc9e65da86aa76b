#include "common/trust/subject_uri.h"

#include "common/trust/name.h"
#include "common/trust/role.h"

namespace quantfleet::trust {
namespace {

constexpr std::string_view kRoleQuery = "?role=";

std::string_view KindText(Subject::Kind kind) {
  switch (kind) {
    case Subject::Kind::kServer:
      return "server";
    case Subject::Kind::kDevice:
      return "device";
    case Subject::Kind::kOperator:
      return "operator";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> SubjectUri(const Subject& subject) {
  if (!IsPlainName(subject.id))
    return InvalidArgument(
        "'{}' cannot be the name of a {}: use at most {} letters, digits and . _ @ -", subject.id,
        KindText(subject.kind), kMaxNameSize);
  std::string uri = fmt::format("{}{}/{}", kSubjectScheme, KindText(subject.kind), subject.id);
  if (subject.kind != Subject::Kind::kOperator) {
    if (!subject.role.empty()) return InvalidArgument("only operators have a role");
    return uri;
  }
  if (!RoleNamed(subject.role))
    return InvalidArgument("'{}' is not a role: use admin, publisher or viewer", subject.role);
  return uri.append(kRoleQuery).append(subject.role);
}

absl::StatusOr<Subject> ParseSubjectUri(std::string_view uri) {
  const auto refuse = [uri] {
    return InvalidArgument("'{}' does not name a device, operator or server", uri);
  };
  if (!uri.starts_with(kSubjectScheme)) return refuse();
  const std::string_view rest = uri.substr(kSubjectScheme.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return refuse();
  const std::string_view kind = rest.substr(0, slash);
  std::string_view id = rest.substr(slash + 1);
  Subject subject{};
  if (kind == "operator") {
    const size_t query = id.find(kRoleQuery);
    if (query == std::string_view::npos) return refuse();
    subject.kind = Subject::Kind::kOperator;
    subject.role = id.substr(query + kRoleQuery.size());
    id = id.substr(0, query);
  } else if (kind == "device") {
    subject.kind = Subject::Kind::kDevice;
  } else if (kind == "server") {
    subject.kind = Subject::Kind::kServer;
  } else {
    return refuse();
  }
  subject.id = id;
  // Writing it again must give the same text: this holds ids and roles to the same rules in both
  // directions.
  const auto again = SubjectUri(subject);
  if (!again.ok() || *again != uri) return refuse();
  return subject;
}

}  // namespace quantfleet::trust
