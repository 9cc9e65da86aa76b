#include "daemon/operators/operators.h"

#include <algorithm>

#include "common/trust/name.h"
#include "common/trust/role.h"
#include "common/trust/validity.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kHour = 3600, kWeek = 7 * 24 * kHour, kTenYears = int64_t{10} * 366 * 24 * kHour;
constexpr size_t kMaxCsrBytes = 16 << 10, kMaxOperators = 10'000;
constexpr std::string_view kMigrated = "the daemon, from a certificate of before";

struct CsrKey {
  std::string pem;
  Digest digest;
};
absl::StatusOr<CsrKey> ReadCsr(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxCsrBytes)
    return InvalidArgument("csr_pem: at most {} bytes", kMaxCsrBytes);
  auto pem = trust::CsrPublicKey(csr_pem);
  if (!pem.ok()) return InvalidArgument("csr_pem: {}", Message(pem.status()));
  QF_ASSIGN_OR_RETURN(const Digest digest, trust::PublicKeyDigest(*pem));
  return CsrKey{*std::move(pem), digest};
}

absl::Status CheckNames(std::string_view name, std::string_view role) {
  if (!trust::IsPlainName(name))
    return InvalidArgument(
        "'{}' cannot be the name of an operator: use at most {} letters, digits "
        "and . _ @ -",
        name, trust::kMaxNameSize);
  if (!trust::RoleNamed(role))
    return InvalidArgument("'{}' is not a role: use viewer, publisher or admin", role);
  return absl::OkStatus();
}

// Neither revoked nor at its end.
bool IsActive(const v1::Operator& record, int64_t now_ms) {
  return record.revoked_ms() == 0 && (record.expires_ms() == 0 || now_ms < record.expires_ms());
}

bool MayCreateOthers(const v1::Operator& record, int64_t now_ms) {
  return record.role() == Name(trust::Role::kAdmin) && IsActive(record, now_ms) &&
         !record.public_key().empty();
}

absl::Status OfDaemon() {
  return FailedPrecondition(
      "this operator's credential is DATA/admin.json: to replace its key, stop the daemon, delete "
      "DATA/keys/admin.pem and start it again");
}

Time MadeAt(const trust::CertificateInfo& certificate) {
  return certificate.not_before + trust::kBackdate;
}

}  // namespace

std::string Operators::LoginMessage(std::string_view nonce, std::string_view csr_pem) {
  return trust::ProofMessage("Login", nonce, csr_pem);
}

absl::Status Operators::Open() {
  QF_ASSIGN_OR_RETURN(const int64_t since, with_.store.Write([&](Transaction& tx) {
    return tx.operators().RecordedSince(Now());
  }));
  recorded_since_ms_ = since;
  return absl::OkStatus();
}

absl::StatusOr<bool> Operators::KeepOwn(std::string_view certificate_pem) {
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo info, trust::ReadCertificate(certificate_pem));
  return with_.store.Write([&](Transaction& tx) -> absl::StatusOr<bool> {
    QF_ASSIGN_OR_RETURN(auto kept, tx.operators().Find(info.subject.id));
    const bool is_new = !kept;
    if (is_new) {
      kept.emplace();
      kept->record.set_name(info.subject.id);
      kept->record.set_created_ms(Now());
    }
    v1::Operator& record = kept->record;
    if (record.revoked_ms() != 0) return false;
    record.set_role(info.subject.role);
    record.set_of_daemon(true);
    record.set_public_key(info.public_key.raw());
    record.set_certificate_expires_ms(ToUnixMillis(info.not_after));
    if (is_new)
      QF_RETURN_IF_ERROR(tx.operators().Create(*kept, {}).status());
    else
      QF_RETURN_IF_ERROR(tx.operators().Put(*kept));
    return true;
  });
}

absl::Status Operators::Restore(Store& store, const Clock& clock) {
  return store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Operator> all, tx.operators().List());
    const auto own = std::ranges::find_if(all, &v1::Operator::of_daemon);
    if (own == all.end() || own->revoked_ms() == 0)
      return FailedPrecondition("admin.json was not revoked: a start of the daemon writes it");
    OperatorStore::Kept kept{*own, {}};
    kept.record.clear_revoked_ms();
    kept.record.clear_revoked_by();
    QF_RETURN_IF_ERROR(tx.operators().Put(kept));
    v1::AuditRecord record;
    record.set_time_ms(ToUnixMillis(clock.Now()));
    record.set_method("RestoreAdmin");
    record.set_object("operators/" + own->name());
    record.set_code("OK");
    return tx.audit().Append(std::move(record)).status();
  });
}

absl::Status Operators::CheckAccess(const v1::Operator& record) const {
  if (record.revoked_ms() != 0)
    return PermissionDenied("operator {} was revoked on {}", record.name(),
                            trust::UtcText(FromUnixMillis(record.revoked_ms())));
  if (!IsActive(record, Now()))
    return PermissionDenied("the access of operator {} ended on {}: an admin can create it again",
                            record.name(), trust::UtcText(FromUnixMillis(record.expires_ms())));
  return absl::OkStatus();
}

absl::StatusOr<v1::Operator> Operators::Authenticate(const trust::CertificateInfo& certificate) {
  const std::string& name = certificate.subject.id;
  // A connection may outlive the certificate that it was made with.
  if (with_.clock.Now() >= certificate.not_after)
    return Unauthenticated("the certificate of operator {} ended on {}", name,
                           trust::UtcText(certificate.not_after));
  QF_ASSIGN_OR_RETURN(const auto kept, with_.store.Read([&](const Transaction& tx) {
    return tx.operators().Find(name);
  }));
  const bool of_before = ToUnixMillis(MadeAt(certificate)) < recorded_since_ms_;
  if (kept) {
    QF_RETURN_IF_ERROR(CheckAccess(kept->record));
    if (kept->record.public_key() != certificate.public_key.raw() &&
        !(kept->record.of_daemon() && of_before))
      return PermissionDenied("operator {} has another key by now: log in again", name);
    return kept->record;
  }
  if (!of_before) return PermissionDenied("this daemon knows no operator {}", name);
  OperatorStore::Kept made;
  made.record.set_name(name);
  made.record.set_role(certificate.subject.role);
  made.record.set_created_ms(Now());
  made.record.set_created_by(std::string(kMigrated));
  made.record.set_public_key(certificate.public_key.raw());
  made.record.set_certificate_expires_ms(ToUnixMillis(certificate.not_after));
  return with_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Operator> {
    QF_ASSIGN_OR_RETURN(const auto meanwhile, tx.operators().Find(name));
    if (meanwhile) return meanwhile->record;
    return tx.operators().Create(made, {});
  });
}

absl::StatusOr<std::string> Operators::Admit(const Transaction& tx, std::string_view csr_pem,
                                             int64_t code_ttl_seconds, OperatorStore::Kept& kept) {
  v1::Operator& record = kept.record;
  record.clear_certificate_expires_ms();
  record.clear_code_expires_ms();
  kept.code.reset();
  if (!csr_pem.empty()) {
    QF_ASSIGN_OR_RETURN(const CsrKey key, ReadCsr(csr_pem));
    QF_ASSIGN_OR_RETURN(const auto other, tx.operators().FindByKey(key.digest));
    if (other && other->record.name() != record.name())
      return AlreadyExists("operator {} has this key already: make another request",
                           other->record.name());
    record.set_public_key(key.digest.raw());
    return "";
  }
  record.clear_public_key();
  const auto code = trust::ClaimToken::Make(with_.random, with_.authority.ca_fingerprint(),
                                            trust::ClaimToken::For::kLogin);
  kept.code = {code.id, code.SecretHash()};
  record.set_code_expires_ms(Now() + 1000 * (code_ttl_seconds == 0 ? kHour : code_ttl_seconds));
  return code.ToString();
}

absl::StatusOr<Operators::Made> Operators::Create(const CreateRequest& request) {
  QF_RETURN_IF_ERROR(CheckNames(request.name, request.role));
  if (request.ttl_seconds < 0 || request.ttl_seconds > kTenYears)
    return InvalidArgument("ttl_seconds must be from 0 (no end) to {}", kTenYears);
  if (request.code_ttl_seconds < 0 || request.code_ttl_seconds > kWeek)
    return InvalidArgument("code_ttl_seconds must be from 0 (one hour) to {}", kWeek);
  Made made;
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    const Request key{"CreateOperator", request.request_id};
    QF_ASSIGN_OR_RETURN(const auto earlier, tx.requests().Find(key));
    if (earlier)
      return AlreadyExists(
          "an earlier request with this id created operator {0}, whose code was shown then: run "
          "`quantfleet operator rotate {0}` for another",
          *earlier);
    QF_ASSIGN_OR_RETURN(const auto known, tx.operators().Find(request.name));
    if (known && known->record.revoked_ms() == 0)
      return AlreadyExists(
          "operator {0} exists already: run `quantfleet operator rotate {0}` for another code, or "
          "revoke it first",
          request.name);
    if (known && known->record.of_daemon()) return OfDaemon();
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Operator> all, tx.operators().List());
    if (all.size() >= kMaxOperators)
      return ResourceExhausted("there are already {} operators, which is the maximum", all.size());
    OperatorStore::Kept kept;
    kept.record.set_name(request.name);
    kept.record.set_role(request.role);
    kept.record.set_created_ms(Now());
    kept.record.set_created_by(request.by);
    if (request.ttl_seconds > 0) kept.record.set_expires_ms(Now() + 1000 * request.ttl_seconds);
    QF_ASSIGN_OR_RETURN(made.code, Admit(tx, request.csr_pem, request.code_ttl_seconds, kept));
    QF_ASSIGN_OR_RETURN(made.record, tx.operators().Create(kept, key));
    return absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<v1::Operator> Operators::Get(const Transaction& tx, std::string_view name) {
  QF_ASSIGN_OR_RETURN(const auto kept, tx.operators().Find(name));
  if (!kept)
    return NotFound("operator \"{}\" does not exist: see `quantfleet operator list`", name);
  return kept->record;
}

absl::StatusOr<v1::Operator> Operators::Revoke(const std::string& name, const std::string& by) {
  auto revoked = with_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Operator> {
    QF_ASSIGN_OR_RETURN(v1::Operator record, Get(tx, name));
    if (record.revoked_ms() != 0) return record;
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Operator> all, tx.operators().List());
    const int64_t now = Now();
    const bool others = std::ranges::any_of(all, [&](const v1::Operator& other) {
      return other.name() != name && MayCreateOthers(other, now);
    });
    if (MayCreateOthers(record, now) && !others)
      return FailedPrecondition(
          "{} is the last admin: create another, who logs in before this one is revoked", name);
    record.set_revoked_ms(now);
    record.set_revoked_by(by);
    record.clear_code_expires_ms();
    QF_RETURN_IF_ERROR(tx.operators().Put({record, {}}));
    return record;
  });
  return revoked;
}

absl::StatusOr<Operators::Made> Operators::Rotate(const RotateRequest& request) {
  if (request.code_ttl_seconds < 0 || request.code_ttl_seconds > kWeek)
    return InvalidArgument("code_ttl_seconds must be from 0 (one hour) to {}", kWeek);
  Made made;
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(v1::Operator record, Get(tx, request.name));
    QF_RETURN_IF_ERROR(CheckAccess(record));
    if (record.of_daemon()) return OfDaemon();
    OperatorStore::Kept kept{std::move(record), {}};
    QF_ASSIGN_OR_RETURN(made.code, Admit(tx, request.csr_pem, request.code_ttl_seconds, kept));
    QF_RETURN_IF_ERROR(tx.operators().Put(kept));
    made.record = kept.record;
    return absl::OkStatus();
  }));
  return made;
}

absl::StatusOr<OperatorStore::Kept> Operators::UseCode(Transaction& tx,
                                                       const trust::ClaimToken& code,
                                                       const Digest& key) {
  QF_ASSIGN_OR_RETURN(auto kept, tx.operators().FindByCode(code.id));
  if (!kept || !kept->code || kept->code->secret_hash != code.SecretHash())
    return Unauthenticated(
        "login code {} is not valid: it was used, replaced by another, or never made", code.id);
  if (Now() >= kept->record.code_expires_ms())
    return Unauthenticated(
        "login code {} expired on {}: ask an admin for another (`quantfleet "
        "operator rotate {}`)",
        code.id, trust::UtcText(FromUnixMillis(kept->record.code_expires_ms())),
        kept->record.name());
  QF_RETURN_IF_ERROR(CheckAccess(kept->record));
  QF_ASSIGN_OR_RETURN(const auto other, tx.operators().FindByKey(key));
  if (other && other->record.name() != kept->record.name())
    return FailedPrecondition("this key is that of operator {}: log in with a new one",
                              other->record.name());
  kept->record.set_public_key(key.raw());
  kept->record.clear_code_expires_ms();
  kept->code.reset();
  return *std::move(kept);
}

absl::StatusOr<Operators::LoggedIn> Operators::Login(const LoginRequest& request) {
  QF_ASSIGN_OR_RETURN(const CsrKey key, ReadCsr(request.csr_pem));
  const std::string id = trust::DeviceIdOf(key.digest);
  QF_RETURN_IF_ERROR(with_.challenges.Check(id, request.nonce));
  if (!trust::VerifyWithPublicKey(key.pem, AsBytes(LoginMessage(request.nonce, request.csr_pem)),
                                  request.proof))
    return Unauthenticated("the proof was not made by the request's key over this challenge");
  std::optional<trust::ClaimToken> code;
  if (!request.code.empty()) {
    QF_ASSIGN_OR_RETURN(code,
                        trust::ClaimToken::Parse(request.code, trust::ClaimToken::For::kLogin));
  }
  LoggedIn in;
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    OperatorStore::Kept kept;
    if (code) {
      QF_ASSIGN_OR_RETURN(kept, UseCode(tx, *code, key.digest));
    } else {
      QF_ASSIGN_OR_RETURN(const auto found, tx.operators().FindByKey(key.digest));
      if (!found)
        return Unauthenticated(
            "this key is no operator's (any more): ask an admin for a login code");
      if (found->record.of_daemon()) return OfDaemon();
      QF_RETURN_IF_ERROR(CheckAccess(found->record));
      kept = *found;
    }
    const v1::Operator& record = kept.record;
    Duration lifetime = certificate_lifetime_;
    if (record.expires_ms() > 0)
      lifetime =
          std::min(lifetime, Duration(std::chrono::milliseconds(record.expires_ms() - Now())));
    QF_ASSIGN_OR_RETURN(in.certificate_pem, with_.authority.IssueOperator(key.pem, record.name(),
                                                                          record.role(), lifetime));
    kept.record.set_certificate_expires_ms(ToUnixMillis(with_.clock.Now() + lifetime));
    QF_RETURN_IF_ERROR(tx.operators().Put(kept));
    in.record = kept.record;
    return absl::OkStatus();
  }));
  // Once the rest is done: the body may have run twice.
  QF_RETURN_IF_ERROR(with_.challenges.Use(id, request.nonce));
  return in;
}

}  // namespace quantfleet::daemon
