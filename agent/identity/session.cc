#include "agent/identity/session.h"

#include <algorithm>
#include <utility>

#include "agent/identity/enrollment.h"
#include "common/trust/certificate.h"
#include "common/trust/trust_root.h"
#include "common/trust/validity.h"

namespace quantfleet::agent {
namespace {

// The daemon's time is saved only this often: flash wears, and a floor need not be exact.
constexpr Duration kSaveTimeEvery = std::chrono::hours(1);
// So long a listener of the fleet's own that did not answer is left alone.
constexpr Duration kShun = std::chrono::minutes(10);

}  // namespace

Session::Session(const IdentityStore& store, Connector connect, TrustedClock& clock,
                 DeviceIdentity identity)
    : store_(store), connect_(std::move(connect)), clock_(clock), identity_(std::move(identity)) {
  if (const auto known = store_.LastKnownTime()) {
    clock_.RaiseFloor(*known);
    saved_time_ = *known;
  }
  // A certificate that cannot be read counts as expired: the key can still renew it.
  ReadLifetime().IgnoreError();
  clock_.RaiseFloor(not_before_);
}

absl::Status Session::ReadLifetime() {
  not_before_ = not_after_ = Time{};
  of_newest_ca_ = true;
  QF_ASSIGN_OR_RETURN(const auto certificate, trust::ReadCertificate(identity_.certificate_pem));
  not_before_ = certificate.not_before;
  not_after_ = certificate.not_after;
  // A root with more than one CA: the older one is retired once all devices have a certificate of
  // the newer.
  QF_ASSIGN_OR_RETURN(const auto authorities,
                      trust::SplitCertificates(identity_.trust_root.ca_pem()));
  of_newest_ca_ = trust::VerifyChain(identity_.certificate_pem, authorities.back(),
                                     /*server=*/false, std::nullopt)
                      .ok();
  return absl::OkStatus();
}

net::ServerTrust Session::Trust() const {
  return {.ca_pem = identity_.trust_root.ca_pem(),
          .ca_fingerprint = {},
          .time = [&clock = clock_, unproven = unproven_time_] {
            return unproven ? unproven : clock.ForValidity();
          }};
}

std::string Session::FleetAddress() const {
  if (identity_.fleet_endpoint.empty() || clock_.Now() < fleet_shunned_until_)
    return identity_.server;
  return EndpointAddress(identity_.server, identity_.fleet_endpoint);
}

std::shared_ptr<DeviceApi> Session::Connect(const std::string& address,
                                            const net::ServerTrust& trust,
                                            const net::ClientIdentity& client) {
  auto line = connect_(address, trust, client);
  std::lock_guard lock(stop_mutex_);
  std::erase_if(lines_, [](const auto& weak) { return weak.expired(); });
  lines_.push_back(line);
  if (stopped_) line->Cancel();
  return line;
}

void Session::Stop() {
  std::lock_guard lock(stop_mutex_);
  stopped_ = true;
  for (const auto& weak : lines_)
    if (const auto line = weak.lock()) line->Cancel();
}

bool Session::Holds() const {
  const Time now = clock_.Now();
  return !unproven_time_ && !not_begun_ && not_before_ <= now && now < not_after_;
}

// Renewal at a third of the life left: days of outage fit in between. For a new CA once per root: a
// daemon that gives another one all the same is not asked at each check-in.
bool Session::RenewalDue() const {
  if (!Holds() || clock_.Now() >= not_after_ - (not_after_ - not_before_) / 3) return true;
  return !of_newest_ca_ && renewed_under_ != identity_.trust_root.version();
}

absl::StatusOr<std::shared_ptr<DeviceApi>> Session::Ready() {
  std::lock_guard lock(mutex_);
  if (!clock_.ForValidity()) QF_RETURN_IF_ERROR(LearnTime());
  if (RenewalDue()) {
    bool holds = Holds();
    absl::Status renewed = Renew();
    // A handshake that failed, and not because the daemon is away: the time may be the reason.
    if (absl::IsUnavailable(renewed) && LearnTime().ok()) {
      holds = Holds();
      renewed = RenewalDue() ? Renew() : absl::OkStatus();
    }
    // Early renewal may wait; without a certificate that holds there is nothing to do but to renew.
    if (!renewed.ok() && (!holds || renewed.code() == absl::StatusCode::kPermissionDenied))
      return WithClocks(renewed);
  }
  if (std::string address = FleetAddress(); !api_ || address != api_address_) {
    api_ = Connect(address, Trust(), {identity_.certificate_pem, identity_.private_pem});
    api_address_ = std::move(address);
  }
  return api_;
}

// Asks without a certificate and without judging the server's validity times: the CA still has to
// be the pinned one. Whoever holds an old key of the daemon could lie here, so the answer moves the
// clock forward, to where that old certificate has expired anyway, and not beyond the end of this
// device's certificate: that takes a new one, which only the CA can make. It moves the clock back
// where this machine's own clock says the same, and where nobody knows the time (connections are
// not judged by any time then) and the certificate would begin only later.
absl::Status Session::LearnTime() {
  net::ServerTrust trust = Trust();
  trust.time = []() -> std::optional<Time> { return std::nullopt; };
  v1::GetChallengeRequest request;
  request.set_device_id(identity_.device_id);
  const auto challenge = Connect(identity_.server, trust, {})->GetChallenge(request);
  if (!challenge.ok()) return Annotate(challenge.status(), "asking the daemon for the time");
  const Time said = FromUnixMillis(challenge->server_time_ms());
  compared_ = {clock_.System(), said};
  if (said > not_after_ && said > clock_.Now())
    unproven_time_ = said;
  else if (said > clock_.Now() || !compared_->disagree())
    Hear(said);
  not_begun_ = said < not_before_ && !clock_.ForValidity();
  return absl::OkStatus();
}

absl::Status Session::Renew() {
  const auto line = Connect(identity_.server, Trust(), {});
  unproven_time_ = std::nullopt;  // the answer proves it, or nobody does
  const bool not_begun = std::exchange(not_begun_, false);
  v1::GetChallengeRequest ask;
  ask.set_device_id(identity_.device_id);
  const auto challenge = line->GetChallenge(ask);
  if (!challenge.ok()) return Annotate(challenge.status(), "renewing the certificate");
  v1::RenewRequest request;
  request.set_device_id(identity_.device_id);
  QF_ASSIGN_OR_RETURN(*request.mutable_csr_pem(),
                      trust::MakeCsr(identity_.private_pem, identity_.device_id));
  request.set_nonce(challenge->nonce());
  request.set_trust_root_version(identity_.trust_root.version());
  const std::string message = trust::ProofMessage("Renew", challenge->nonce(), request.csr_pem());
  QF_ASSIGN_OR_RETURN(*request.mutable_proof(),
                      trust::SignWithTlsKey(identity_.private_pem, AsBytes(message)));
  const auto granted = line->Renew(request);
  if (!granted.ok()) return Annotate(granted.status(), "renewing the certificate");
  QF_RETURN_IF_ERROR(AdoptGranted(*granted));
  const Time said = FromUnixMillis(granted->server_time_ms());
  // The CA made it at that time: what was known before came of a clock that was ahead.
  if (not_begun && !clock_.ForValidity() && not_before_ <= said && said < not_after_) {
    clock_.Reset(said);
    Believe(said);
  }
  return absl::OkStatus();
}

// The unsigned trust root in the answer is for older agents: whoever holds the server's key could
// write anything there.
absl::Status Session::AdoptGranted(const v1::Identity& granted) {
  renewed_under_ = identity_.trust_root.version();
  DeviceIdentity renewed = identity_;
  trust::Succeed(renewed.trust_root, granted.trust_roots());
  QF_RETURN_IF_ERROR(CheckCertificate(granted, identity_.private_pem, renewed.trust_root.ca_pem()));
  if (granted.device_id() != identity_.device_id)
    return DataLoss("the daemon renewed the certificate of device {} instead of {}",
                    granted.device_id(), identity_.device_id);
  renewed.certificate_pem = granted.certificate_pem();
  if (!granted.blob_endpoint().empty()) renewed.blob_endpoint = granted.blob_endpoint();
  renewed.fleet_endpoint = granted.fleet_endpoint();
  if (!granted.device_class().empty()) renewed.device_class = granted.device_class();
  // What cannot be kept is not taken while the old one holds. Once it does not, a full disk is no
  // reason to fall silent: after the next start the key renews it again.
  const absl::Status saved = store_.Save(renewed);
  if (Holds()) QF_RETURN_IF_ERROR(saved);
  saved_ = saved.ok();
  identity_ = std::move(renewed);
  QF_RETURN_IF_ERROR(ReadLifetime());
  api_ = nullptr;
  Hear(FromUnixMillis(granted.server_time_ms()));
  return absl::OkStatus();
}

// The daemon does not accept expired certificates: whoever talks to the holder of this one at a
// later time is not the daemon.
void Session::Hear(Time said) {
  compared_ = {clock_.System(), said};
  if (said <= not_after_ && clock_.HearServer(said)) Believe(said);
}

void Session::Believe(Time said) {
  if (saved_time_ - kSaveTimeEvery < said && said < saved_time_ + kSaveTimeEvery) return;
  // Not fatal: the floor stays where it was.
  if (store_.SaveTime(said).ok()) saved_time_ = said;
}

absl::Status Session::WithClocks(const absl::Status& failure) const {
  if (!compared_ || !compared_->disagree()) return failure;
  return MakeStatus(failure.code(),
                    fmt::format("{} ({})", Message(failure),
                                trust::DescribeClocks(*compared_, "device", Made())));
}

absl::Status Session::Mend(const absl::Status& failure) {
  // A handshake that fails, on either side and for whatever reason, is UNAVAILABLE.
  const bool refused = failure.code() == absl::StatusCode::kUnauthenticated;
  if (!refused && failure.code() != absl::StatusCode::kUnavailable) return failure;
  std::lock_guard lock(mutex_);
  // The one that did not answer is left for the other.
  if (!refused)
    fleet_shunned_until_ = api_address_ == identity_.server ? Time{} : clock_.Now() + kShun;
  if (!LearnTime().ok()) return failure;
  api_ = nullptr;
  if (!refused && !RenewalDue()) return absl::OkStatus();
  const absl::Status renewed = Renew();
  if (renewed.ok()) return renewed;
  return WithClocks(renewed.code() == absl::StatusCode::kPermissionDenied ? renewed : failure);
}

absl::StatusOr<v1::CheckInResponse> Session::CheckIn(v1::CheckInRequest request) {
  for (bool again = false;; again = true) {
    QF_ASSIGN_OR_RETURN(const auto api, Ready());
    request.set_trust_root_version(identity().trust_root.version());
    auto response = api->CheckIn(request);
    if (response.ok()) {
      std::lock_guard lock(mutex_);
      Hear(FromUnixMillis(response->server_time_ms()));
      DeviceIdentity now = identity_;
      if (!response->blob_endpoint().empty()) now.blob_endpoint = response->blob_endpoint();
      now.fleet_endpoint = response->fleet_endpoint();
      if (!response->device_class().empty()) now.device_class = response->device_class();
      // Anything but a successor of the present root changes nothing: the daemon repeats it at each
      // check-in.
      trust::Succeed(now.trust_root, response->trust_roots());
      if (response->has_trust_root()) trust::Succeed(now.trust_root, response->trust_root());
      if (now.blob_endpoint != identity_.blob_endpoint ||
          now.fleet_endpoint != identity_.fleet_endpoint ||
          now.device_class != identity_.device_class ||
          now.trust_root.version() != identity_.trust_root.version()) {
        saved_ = store_.Save(now).ok();
        // Earlier connections trust the earlier CAs.
        if (now.trust_root.ca_pem() != identity_.trust_root.ca_pem()) api_ = nullptr;
        identity_ = std::move(now);
        ReadLifetime().IgnoreError();
      } else if (!saved_) {
        saved_ = store_.Save(identity_).ok();
      }
      return response;
    }
    if (again) {
      std::lock_guard lock(mutex_);
      return WithClocks(response.status());
    }
    QF_RETURN_IF_ERROR(Mend(response.status()));
  }
}

absl::StatusOr<v1::DeviceArtifact> Session::GetArtifact(
    const v1::GetDeviceArtifactRequest& request) {
  QF_ASSIGN_OR_RETURN(const auto api, Ready());
  return api->GetArtifact(request);
}

Time Session::Made() const {
  return not_before_ == Time{} ? not_before_ : not_before_ + trust::kBackdate;
}

std::optional<trust::ClockPair> Session::ClocksApart() const {
  std::lock_guard lock(mutex_);
  return compared_ && compared_->disagree() ? compared_ : std::nullopt;
}

std::string Session::DescribeClocks(const trust::ClockPair& clocks) const {
  std::lock_guard lock(mutex_);
  return trust::DescribeClocks(clocks, "device", Made());
}

DeviceIdentity Session::identity() const {
  std::lock_guard lock(mutex_);
  return identity_;
}

Session::BlobAccess Session::blob_access() const {
  std::lock_guard lock(mutex_);
  return {EndpointAddress(identity_.server, identity_.blob_endpoint),
          Trust(),
          {identity_.certificate_pem, identity_.private_pem}};
}

}  // namespace quantfleet::agent
