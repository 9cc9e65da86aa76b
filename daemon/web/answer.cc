#include "daemon/web/answer.h"

namespace quantfleet::daemon {
namespace {

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    default:
      return 503;
  }
}

absl::StatusOr<Answer> Unreadable(const absl::Status& why) {
  if (absl::IsNotFound(why)) return TextAnswer(404, "no such blob");
  return why;
}

}  // namespace

Answer TextAnswer(int status, std::string body) {
  Answer answer;
  answer.status = status;
  answer.body = std::move(body);
  answer.body += '\n';
  return answer;
}

Answer ErrorAnswer(const absl::Status& status) {
  return TextAnswer(HttpStatusOf(status), Message(status));
}

absl::StatusOr<Answer> BlobAnswer(const pipeline::BlobStore& blobs, const BlobName& name,
                                  const BlobConditions& conditions) {
  const auto size = blobs.Stat(name.digest, name.encoding);
  if (!size.ok()) return Unreadable(size.status());

  Answer answer;
  answer.type = "application/octet-stream";
  answer.size = *size;
  answer.etag = fmt::format("\"{}.{}\"", name.digest.hex(), pipeline::Name(name.encoding));
  if (MatchesEtag(conditions.if_none_match, answer.etag)) {
    answer.status = 304;
    return answer;
  }
  const bool range_holds = conditions.if_range.empty() || conditions.if_range == answer.etag;
  const ByteRange range = ParseRange(range_holds ? conditions.range : std::string_view(), *size);
  if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    answer.status = 416;
    return answer;
  }
  const bool part = range.kind == ByteRange::Kind::kPart;
  answer.status = part ? 206 : 200;
  answer.first = range.first;
  answer.length = part ? range.length : *size;
  auto blob = blobs.OpenRange(name.digest, name.encoding, answer.first, answer.length);
  if (!blob.ok()) return Unreadable(blob.status());
  answer.blob = *std::move(blob);
  return answer;
}

}  // namespace quantfleet::daemon
