#include <algorithm>

#include "common/base/fail_point.h"
#include "common/trust/token.h"
#include "daemon/fleet/fleet.h"
#include "daemon/fleet/token_use.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kDefaultTtlSeconds = 24 * 3600;
constexpr int64_t kMaxTtlSeconds = int64_t{10} * 366 * 24 * 3600;
constexpr size_t kMaxTokenText = 256, kMaxRecent = 256;
constexpr Duration kRecent = std::chrono::minutes(10);

absl::Status CheckRequest(const Fleet::TokenRequest& request) {
  if (request.ttl_seconds < 0 || request.ttl_seconds > kMaxTtlSeconds)
    return InvalidArgument("ttl_seconds must be from 0 (24 hours) to {}", kMaxTtlSeconds);
  if (request.description.size() > kMaxTokenText)
    return InvalidArgument("description: at most {} bytes", kMaxTokenText);
  if (request.request_id.size() > kMaxTokenText)
    return InvalidArgument("request_id: at most {} bytes", kMaxTokenText);
  if (request.device_class.size() > kMaxTokenText)
    return InvalidArgument("device_class: at most {} bytes", kMaxTokenText);
  return CheckLabels(request.labels);
}

}  // namespace

absl::StatusOr<Fleet::NewToken> Fleet::CreateToken(const TokenRequest& request) {
  QF_RETURN_IF_ERROR(CheckRequest(request));
  const Request key{"CreateToken", request.request_id};
  std::lock_guard lock(recent_mutex_);
  std::erase_if(recent_,
                [&](const RecentToken& r) { return with_.clock.Monotonic() - r.made > kRecent; });
  if (!request.request_id.empty()) {
    const auto recent = std::ranges::find(recent_, request.request_id, &RecentToken::request_id);
    if (recent != recent_.end()) return recent->answer;
    QF_ASSIGN_OR_RETURN(
        const std::optional<std::string> made,
        with_.store.Read([&](const Transaction& tx) { return tx.requests().Find(key); }));
    if (made)
      return AlreadyExists(
          "an earlier request with this id created token {}, whose secret was shown then: revoke "
          "that token and use another request_id",
          *made);
  }

  if (!request.device_class.empty()) {
    QF_ASSIGN_OR_RETURN(const auto classes, with_.store.Read([&](const Transaction& tx) {
      return with_.classes.Specs(tx);
    }));
    if (std::ranges::find(*classes, request.device_class, &DeviceClassSpec::name) == classes->end())
      return NotFound(
          "device class \"{}\" does not exist: see `quantfleet class list`, or apply it first",
          request.device_class);
  }
  const trust::ClaimToken claim =
      trust::ClaimToken::Make(with_.random, with_.authority.ca_fingerprint());
  const int64_t now = ToUnixMillis(with_.clock.Now());
  v1::EnrollmentToken token;
  token.set_id(claim.id);
  token.set_description(request.description);
  token.set_max_uses(request.max_uses);
  token.set_created_ms(now);
  token.set_expires_ms(now +
                       1000 * (request.ttl_seconds ? request.ttl_seconds : kDefaultTtlSeconds));
  token.set_device_class(request.device_class);
  token.set_rate_per_hour(request.rate_per_hour);
  token.set_approval(request.approval);
  token.mutable_labels()->insert(request.labels.begin(), request.labels.end());
  NewToken answer{.token = {}, .secret = claim.ToString()};
  FailPoint("token-before-create");
  QF_ASSIGN_OR_RETURN(answer.token, with_.store.Write([&](Transaction& tx) {
    return tx.tokens().Create(token, claim.SecretHash(), key);
  }));
  FailPoint("token-after-create");
  if (!request.request_id.empty()) {
    if (recent_.size() >= kMaxRecent) recent_.erase(recent_.begin());
    recent_.push_back({request.request_id, answer, with_.clock.Monotonic()});
  }
  return answer;
}

absl::StatusOr<v1::EnrollmentToken> Fleet::RevokeToken(std::string_view id) {
  return with_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::EnrollmentToken> {
    QF_ASSIGN_OR_RETURN(v1::EnrollmentToken token, tx.tokens().Get(id));
    token.set_revoked(true);
    QF_RETURN_IF_ERROR(tx.tokens().Put(token));
    QF_RETURN_IF_ERROR(tx.admission().ForgetPending(AdmissionOfToken(token.id())));
    return token;
  });
}

}  // namespace quantfleet::daemon
