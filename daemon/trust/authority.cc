#include "daemon/trust/authority.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "common/base/fail_point.h"
#include "common/trust/statement.h"

namespace quantfleet::daemon {
namespace {

constexpr Duration kDay = std::chrono::hours(24);
constexpr Duration kServerLifetime = 90 * kDay;
constexpr Duration kAdminLifetime = 365 * kDay;
constexpr std::string_view kVersionLine = "# trust root ";
constexpr std::string_view kKeyBegins = "-----BEGIN PRIVATE KEY-----";

std::string MachineName() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

bool LooksLikeAddress(std::string_view name) {
  return name.find(':') != std::string_view::npos ||
         name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// One file holds certificate and key, so that the two are never of different births.
absl::StatusOr<Authority::Identity> Split(std::string_view pem, const fs::path& file) {
  const size_t key = pem.find(kKeyBegins);
  if (key == std::string_view::npos || key == 0)
    return FailedPrecondition("{} is not a certificate followed by its key: restore it from a backup",
                              file.string());
  return Authority::Identity{std::string(pem.substr(0, key)), std::string(pem.substr(key))};
}

absl::StatusOr<trust::CertificateAuthority> LoadOrCreateCa(FileSystem& files, const Clock& clock,
                                                           const fs::path& keys) {
  const fs::path file = keys / "ca.pem";
  if (!files.Exists(file)) {
    if (files.Exists(keys / "signing.pem"))
      return FailedPrecondition("{} is lost: restore it from a backup, or every device must enrol again",
                                file.string());
    const auto ca = trust::CertificateAuthority::Create("quantfleet CA on " + MachineName(), clock);
    FailPoint("authority-before-ca");
    QF_RETURN_IF_ERROR(
        files.WriteAtomically(file, AsBytes(ca.certificate_pem() + ca.private_pem()), OpenMode::kPrivate));
    FailPoint("authority-after-ca");
  }
  QF_ASSIGN_OR_RETURN(const std::string pem, files.ReadAll(file, 1 << 20));
  QF_ASSIGN_OR_RETURN(const Authority::Identity identity, Split(pem, file));
  auto ca = trust::CertificateAuthority::Load(identity.certificate_pem, identity.private_pem);
  if (!ca.ok()) return Annotate(ca.status(), file.string());
  return ca;
}

// An address in the one form that compares: "::1" and "0:0:0:0:0:0:0:1" are the same.
std::string Canonical(const std::string& address) {
  in6_addr bytes;
  if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return address;
  return ToHex(std::as_bytes(std::span(&bytes, 1)));
}

// `a`: of a certificate; does it serve for all that `b` asks for?
bool Serves(const trust::Subject& a, const trust::Subject& b) {
  auto covers = [](const std::vector<std::string>& have, const std::vector<std::string>& want) {
    return std::ranges::all_of(want, [&](const std::string& name) {
      return std::ranges::find(have, Canonical(name), Canonical) != have.end();
    });
  };
  return a.kind == b.kind && a.id == b.id && a.role == b.role && covers(a.dns_names, b.dns_names) &&
         covers(a.ip_addresses, b.ip_addresses);
}

void AppendJson(std::string& out, std::string_view name, std::string_view value) {
  out += out.empty() ? "{\n" : ",\n";
  out += fmt::format("  \"{}\": \"", name);
  for (const char c : value) {
    if (c == '\n')
      out += "\\n";
    else if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  out += '"';
}

}  // namespace

Authority::Authority(FileSystem& files, const Clock& clock, fs::path data, std::vector<std::string> names,
                     trust::CertificateAuthority ca, SigningKeys signing)
    : files_(files),
      clock_(clock),
      data_(std::move(data)),
      names_(std::move(names)),
      ca_(std::move(ca)),
      signing_(std::move(signing)) {}

// "# trust root VERSION", then one PEM after the other. One file, so that keys and version are never of different births; one
// without the first line is of the first version.
absl::StatusOr<Authority::SigningKeys> Authority::LoadSigningKeys(FileSystem& files, const fs::path& file) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(file, 1 << 20));
  const auto damaged = [&] {
    return FailedPrecondition("{} is damaged: restore it from a backup", file.string());
  };
  SigningKeys keys;
  if (text.starts_with(kVersionLine)) {
    const char* const begin = text.data() + kVersionLine.size();
    if (std::from_chars(begin, text.data() + text.size(), keys.version).ec != std::errc() || keys.version == 0)
      return damaged();
  }
  for (size_t at = text.find(kKeyBegins); at != std::string::npos;) {
    const size_t next = text.find(kKeyBegins, at + 1);
    auto key = trust::SigningKey::FromPem(std::string_view(text).substr(at, next - at));
    if (!key.ok()) return Annotate(key.status(), file.string());
    keys.keys.push_back(*std::move(key));
    at = next;
  }
  if (keys.keys.empty()) return damaged();
  return keys;
}

absl::Status Authority::SaveSigningKeys(FileSystem& files, const fs::path& file, const SigningKeys& keys) {
  std::string text = fmt::format("{}{}\n", kVersionLine, keys.version);
  for (const trust::SigningKey& key : keys.keys) text += key.ToPem();
  return files.WriteAtomically(file, AsBytes(text), OpenMode::kPrivate);
}

absl::StatusOr<Authority::SigningKeys> Authority::LoadOrCreateSigningKeys(FileSystem& files, const fs::path& keys) {
  const fs::path file = keys / "signing.pem";
  if (!files.Exists(file)) {
    if (files.Exists(keys / "server.pem"))
      return FailedPrecondition("{} is lost: restore it from a backup, or every device must enrol again",
                                file.string());
    SigningKeys made;
    made.keys.push_back(trust::SigningKey::Generate());
    QF_RETURN_IF_ERROR(SaveSigningKeys(files, file, made));
    FailPoint("authority-after-signing-key");
  }
  return LoadSigningKeys(files, file);
}

absl::Status Authority::RotateSigningKey(FileSystem& files, const fs::path& data) {
  const fs::path file = data / "keys" / "signing.pem";
  QF_ASSIGN_OR_RETURN(SigningKeys keys, LoadSigningKeys(files, file));
  if (keys.keys.size() > 1)
    return FailedPrecondition("{} holds {} keys already: retire the old ones first (`quantfleetd keys retire`)",
                              file.string(), keys.keys.size());
  keys.keys.push_back(trust::SigningKey::Generate());
  ++keys.version;
  return SaveSigningKeys(files, file, keys);
}

absl::Status Authority::RetireSigningKeys(FileSystem& files, const fs::path& data) {
  const fs::path file = data / "keys" / "signing.pem";
  QF_ASSIGN_OR_RETURN(SigningKeys keys, LoadSigningKeys(files, file));
  if (keys.keys.size() == 1)
    return FailedPrecondition("{} holds one key: there is none to retire", file.string());
  keys.keys.erase(keys.keys.begin(), keys.keys.end() - 1);
  ++keys.version;
  return SaveSigningKeys(files, file, keys);
}

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(FileSystem& files, const Clock& clock,
                                                           const fs::path& data,
                                                           const std::vector<std::string>& listen_addresses) {
  const fs::path keys = data / "keys";
  QF_RETURN_IF_ERROR(files.CreateDirectories(keys));
  std::error_code error;
  fs::permissions(keys, fs::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), "protecting " + keys.string());

  QF_ASSIGN_OR_RETURN(auto ca, LoadOrCreateCa(files, clock, keys));
  QF_ASSIGN_OR_RETURN(auto signing, LoadOrCreateSigningKeys(files, keys));
  std::vector<std::string> names = {"localhost", MachineName(), "127.0.0.1", "::1"};
  for (std::string address : listen_addresses) {
    if (address.size() > 2 && address.front() == '[') address = address.substr(1, address.size() - 2);
    // Listening everywhere names no place.
    if (address.empty() || address == "0.0.0.0" || address == "::") continue;
    if (std::find(names.begin(), names.end(), address) == names.end()) names.push_back(address);
  }
  return std::unique_ptr<Authority>(
      new Authority(files, clock, data, std::move(names), std::move(ca), std::move(signing)));
}

v1::TrustRoot Authority::trust_root() const {
  v1::TrustRoot root;
  root.set_version(signing_.version);
  root.set_ca_pem(ca_pem());
  for (const trust::SigningKey& signing : signing_.keys) {
    v1::VerifyKey& key = *root.add_keys();
    key.set_key_id(signing.key_id());
    key.set_public_key(signing.public_key());
    for (const std::string_view type : {trust::kAssignmentType, trust::kArtifactStatementType,
                                        trust::kEvaluationStatementType, trust::kTrustRootType})
      key.add_payload_types(std::string(type));
  }
  return root;
}

absl::StatusOr<Authority::Identity> Authority::Keep(const fs::path& file, const trust::Subject& subject,
                                                    Duration lifetime) {
  std::lock_guard lock(mutex_);
  if (files_.Exists(file)) {
    QF_ASSIGN_OR_RETURN(const std::string pem, files_.ReadAll(file, 1 << 20));
    if (auto kept = Split(pem, file); kept.ok()) {
      const auto info = trust::ReadCertificate(kept->certificate_pem);
      // A clock that stands before the certificate was made is no reason to renew: it would be renewed for
      // ever.
      if (info.ok() && Serves(info->subject, subject) && clock_.Now() + lifetime / 3 < info->not_after &&
          trust::VerifyChain(kept->certificate_pem, ca_pem(), subject.kind == trust::Subject::Kind::kServer,
                             std::nullopt)
              .ok())
        return kept;
    }
  }
  const trust::KeyPair key = trust::GenerateTlsKey();
  QF_ASSIGN_OR_RETURN(std::string certificate, ca_.Issue(key.public_pem, subject, lifetime, clock_));
  QF_RETURN_IF_ERROR(
      files_.WriteAtomically(file, AsBytes(certificate + key.private_pem), OpenMode::kPrivate));
  return Identity{std::move(certificate), key.private_pem};
}

absl::StatusOr<Authority::Identity> Authority::ServerIdentity() {
  trust::Subject subject{.kind = trust::Subject::Kind::kServer,
                         .id = MachineName(),
                         .role = {},
                         .dns_names = {},
                         .ip_addresses = {}};
  for (const std::string& name : names_)
    (LooksLikeAddress(name) ? subject.ip_addresses : subject.dns_names).push_back(name);
  return Keep(data_ / "keys" / "server.pem", subject, kServerLifetime);
}

absl::StatusOr<fs::path> Authority::WriteAdminCredential(std::string_view server) {
  const trust::Subject subject{.kind = trust::Subject::Kind::kOperator,
                               .id = "admin",
                               .role = "admin",
                               .dns_names = {},
                               .ip_addresses = {}};
  QF_ASSIGN_OR_RETURN(const Identity admin, Keep(data_ / "keys" / "admin.pem", subject, kAdminLifetime));
  std::string json;
  AppendJson(json, "server", server);
  AppendJson(json, "ca_pem", ca_pem());
  AppendJson(json, "certificate_pem", admin.certificate_pem);
  AppendJson(json, "private_pem", admin.private_pem);
  json += "\n}\n";
  const fs::path path = data_ / "admin.json";
  QF_RETURN_IF_ERROR(files_.WriteAtomically(path, AsBytes(json), OpenMode::kPrivate));
  return path;
}

absl::StatusOr<std::string> Authority::IssueDevice(std::string_view public_pem, std::string_view id,
                                                   Duration lifetime) const {
  return ca_.Issue(public_pem,
                   {.kind = trust::Subject::Kind::kDevice,
                    .id = std::string(id),
                    .role = {},
                    .dns_names = {},
                    .ip_addresses = {}},
                   lifetime, clock_);
}

absl::StatusOr<std::string> Authority::IssueOperator(std::string_view public_pem, std::string_view name,
                                                     std::string_view role, Duration lifetime) const {
  if (role != "admin" && role != "publisher" && role != "viewer")
    return InvalidArgument("there is no role \"{}\": admin, publisher or viewer", role);
  return ca_.Issue(public_pem,
                   {.kind = trust::Subject::Kind::kOperator,
                    .id = std::string(name),
                    .role = std::string(role),
                    .dns_names = {},
                    .ip_addresses = {}},
                   lifetime, clock_);
}

v1::Signed Authority::SignStatement(std::string_view payload_type, std::string_view payload) const {
  v1::Signed statement = trust::Sign(signing_.keys.back(), payload_type, payload);
  SignAnew(statement);
  return statement;
}

bool Authority::SignAnew(v1::Signed& statement) const {
  bool added = false;
  for (const trust::SigningKey& key : signing_.keys) added |= trust::AddSignature(key, statement);
  return added;
}

}  // namespace quantfleet::daemon
