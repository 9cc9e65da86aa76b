#include "agent/identity/identity_store.h"

#include "agent/platform/record.h"
#include "common/base/access.h"
#include "common/trust/certificate.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<v1::TrustRoot> DecodeTrustRoot(const std::string& text, const fs::path& path) {
  v1::TrustRoot root;
  const auto bytes = FromBase64Url(text);
  if (!bytes || text.empty() || !root.ParseFromString(std::string(AsText(*bytes))))
    return DataLoss("{}: the trust root is damaged; enroll this device again with a new --state",
                    path.string());
  return root;
}

}  // namespace

std::string EndpointAddress(const std::string& server, const std::string& endpoint) {
  if (!endpoint.starts_with(":")) return endpoint;
  return server.substr(0, server.rfind(':')) + endpoint;
}

absl::StatusOr<std::string> IdentityStore::DeviceKey() const {
  const fs::path path = state_ / "device.key";
  QF_RETURN_IF_ERROR(CheckUnshared(state_));
  if (files_.Exists(path)) return ReadPrivate(files_, path, 1 << 20);
  const trust::KeyPair key = trust::GenerateTlsKey();
  QF_RETURN_IF_ERROR(files_.WriteAtomically(path, AsBytes(key.private_pem), OpenMode::kPrivate));
  return key.private_pem;
}

absl::StatusOr<std::string> IdentityStore::RequestId(const std::string& server,
                                                     Random& random) const {
  const fs::path path = state_ / "enrollment.json";
  auto record = ReadRecord(files_, path);
  // The spelling of 0.1: what it began continues under its request id. To be removed with 0.3.
  if (record.status().code() == absl::StatusCode::kNotFound)
    record = ReadRecord(files_, state_ / "enrolment.json");
  if (record.ok() && Field(*record, "server") == server && !Field(*record, "request_id").empty())
    return Field(*record, "request_id");
  if (!record.ok() && record.status().code() != absl::StatusCode::kNotFound) return record.status();
  const std::string id = random.Id("enroll-", 16);
  QF_RETURN_IF_ERROR(WriteRecord(files_, path, {{"server", server}, {"request_id", id}}));
  return id;
}

absl::StatusOr<DeviceIdentity> IdentityStore::Load() const {
  const fs::path path = state_ / "identity.json";
  // Whoever can write here decides what this device trusts.
  QF_RETURN_IF_ERROR(CheckUnshared(state_));
  QF_RETURN_IF_ERROR(CheckUnshared(path));
  auto record = ReadRecord(files_, path);
  if (record.status().code() == absl::StatusCode::kNotFound)
    return NotFound("this device is not enrolled ({} does not exist): run quantfleet-agent enroll",
                    path.string());
  if (!record.ok()) return record.status();
  DeviceIdentity identity{.device_id = Field(*record, "device_id"),
                          .device_class = Field(*record, "device_class"),
                          .certificate_pem = Field(*record, "certificate_pem"),
                          .private_pem = {},
                          .trust_root = {},
                          .server = Field(*record, "server"),
                          .blob_endpoint = Field(*record, "blob_endpoint"),
                          .fleet_endpoint = Field(*record, "fleet_endpoint")};
  QF_ASSIGN_OR_RETURN(identity.trust_root, DecodeTrustRoot(Field(*record, "trust_root"), path));
  QF_ASSIGN_OR_RETURN(identity.private_pem, ReadPrivate(files_, state_ / "device.key", 1 << 20));
  if (identity.device_id.empty() || identity.certificate_pem.empty() || identity.server.empty())
    return DataLoss("{} is incomplete; enroll this device again with a new --state", path.string());
  return identity;
}

absl::Status IdentityStore::Save(const DeviceIdentity& identity) const {
  return Write("identity.json",
               {{"device_id", identity.device_id},
                {"device_class", identity.device_class},
                {"certificate_pem", identity.certificate_pem},
                {"trust_root", ToBase64Url(AsBytes(identity.trust_root.SerializeAsString()))},
                {"server", identity.server},
                {"blob_endpoint", identity.blob_endpoint},
                {"fleet_endpoint", identity.fleet_endpoint}});
}

std::optional<Time> IdentityStore::LastKnownTime() const {
  const auto record = ReadRecord(files_, state_ / "clock.json");
  const auto ms = record.ok() ? NumberField(*record, "server_time_ms") : std::nullopt;
  if (!ms || *ms > uint64_t{1} << 50) return std::nullopt;
  return FromUnixMillis(static_cast<int64_t>(*ms));
}

absl::Status IdentityStore::SaveTime(Time time) const {
  return Write("clock.json", {{"server_time_ms", std::to_string(ToUnixMillis(time))}});
}

absl::Status IdentityStore::Write(std::string_view name, const Record& record) const {
  absl::Status written = WriteRecord(files_, state_ / name, record);
  return unwritten_ ? unwritten_->Note(name, std::move(written)) : written;
}

}  // namespace quantfleet::agent
