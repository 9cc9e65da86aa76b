#include "daemon/trust/authority.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "common/base/access.h"
#include "common/base/fail_point.h"
#include "common/trust/name.h"
#include "common/trust/role.h"
#include "common/trust/statement.h"
#include "common/trust/trust_root.h"

namespace quantfleet::daemon {
namespace {

constexpr Duration kDay = std::chrono::hours(24);
constexpr Duration kServerLifetime = 90 * kDay;
constexpr uint64_t kMaxRootsBytes = 16 << 20;
constexpr Duration kAdminLifetime = 365 * kDay;
constexpr const char* kClockFile = "clock";
constexpr std::string_view kVersionLine = "# trust root ";
constexpr std::string_view kCertificateBegins = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kKeyBegins = "-----BEGIN PRIVATE KEY-----";

// "localhost" where it has none that can stand in a certificate.
std::string MachineName() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || !trust::IsPlainName(name)) return "localhost";
  return name;
}

bool LooksLikeAddress(std::string_view name) {
  return name.find(':') != std::string_view::npos ||
         name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// One file holds certificate and key, so that the two always belong together.
absl::StatusOr<Authority::ServerCredential> Split(std::string_view pem, const fs::path& file) {
  const size_t key = pem.find(kKeyBegins);
  if (key == std::string_view::npos || key == 0)
    return FailedPrecondition(
        "{} is not a certificate followed by its key: restore it from a backup", file.string());
  return Authority::ServerCredential{std::string(pem.substr(0, key)), std::string(pem.substr(key))};
}

absl::Status Lost(const fs::path& file) {
  return FailedPrecondition(
      "{} is missing: restore it from a backup, or every device must enroll again", file.string());
}
absl::Status Damaged(const fs::path& file) {
  return FailedPrecondition("{} is damaged: restore it from a backup", file.string());
}

// What the file's first line says; a file without such a line is of the first version.
absl::StatusOr<uint32_t> ReadVersion(std::string_view text, const fs::path& file) {
  uint32_t version = 1;
  if (!text.starts_with(kVersionLine)) return version;
  const char* const begin = text.data() + kVersionLine.size();
  if (std::from_chars(begin, text.data() + text.size(), version).ec != std::errc() || version == 0)
    return Damaged(file);
  return version;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; !text.empty(); text.remove_prefix(std::min(end + 1, text.size()))) {
    end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.push_back(text.substr(0, end));
  }
  return lines;
}

// When the newest of the certificates that are kept beside the CA was made: what a daemon of
// before knows about the time. Unreadable ones say nothing here, and are reported where they are
// used.
std::optional<Time> NewestMade(FileSystem& files, const fs::path& keys) {
  std::optional<Time> newest;
  for (const char* name : {"server.pem", "admin.pem"}) {
    if (!files.Exists(keys / name)) continue;
    const auto pem = files.ReadAll(keys / name, 1 << 20);
    const auto read = pem.ok() ? trust::ReadCertificate(*pem) : pem.status();
    if (read.ok()) newest = std::max(newest.value_or(Time{}), read->not_before + trust::kBackdate);
  }
  return newest;
}

// The parts of `text` that begin with `mark`.
std::vector<std::string_view> PartsAt(std::string_view text, std::string_view mark) {
  std::vector<std::string_view> parts;
  for (size_t at = text.find(mark); at != std::string_view::npos;) {
    const size_t next = text.find(mark, at + 1);
    parts.push_back(text.substr(at, next - at));
    at = next;
  }
  return parts;
}

// An address in the one form that compares: "::1" and "0:0:0:0:0:0:0:1" are the same.
std::string Canonical(const std::string& address) {
  in6_addr bytes;
  if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return address;
  return ToHex(std::as_bytes(std::span(&bytes, 1)));
}

std::set<std::string> Canonical(const std::vector<std::string>& names) {
  std::set<std::string> set;
  for (const std::string& name : names) set.insert(Canonical(name));
  return set;
}

bool AreSame(const trust::Subject& a, const trust::Subject& b) {
  return a.kind == b.kind && a.id == b.id && a.role == b.role &&
         Canonical(a.dns_names) == Canonical(b.dns_names) &&
         Canonical(a.ip_addresses) == Canonical(b.ip_addresses);
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

Authority::Authority(FileSystem& files, const Clock& clock, fs::path data,
                     std::vector<std::string> names, std::unique_ptr<ClockGuard> guard, Keys keys,
                     std::vector<v1::Signed> roots)
    : files_(files),
      clock_(clock),
      data_(std::move(data)),
      names_(std::move(names)),
      guard_(std::move(guard)),
      keys_(std::move(keys)),
      roots_(std::move(roots)) {}

absl::StatusOr<Authority::Keys> Authority::LoadKeys(FileSystem& files, const fs::path& folder) {
  Keys keys;
  const fs::path ca_file = folder / "ca.pem", signing_file = folder / "signing.pem";
  QF_ASSIGN_OR_RETURN(const std::string cas, ReadPrivate(files, ca_file, 1 << 20));
  QF_ASSIGN_OR_RETURN(keys.ca_version, ReadVersion(cas, ca_file));
  for (const std::string_view part : PartsAt(cas, kCertificateBegins)) {
    QF_ASSIGN_OR_RETURN(const ServerCredential identity, Split(part, ca_file));
    auto ca = trust::CertificateAuthority::Load(identity.certificate_pem, identity.private_pem);
    if (!ca.ok()) return Annotate(ca.status(), ca_file.string());
    keys.authorities.push_back(*std::move(ca));
  }
  if (keys.authorities.empty()) return Damaged(ca_file);

  QF_ASSIGN_OR_RETURN(const std::string signing, ReadPrivate(files, signing_file, 1 << 20));
  QF_ASSIGN_OR_RETURN(keys.signing_version, ReadVersion(signing, signing_file));
  for (const std::string_view part : PartsAt(signing, kKeyBegins)) {
    auto key = trust::SigningKey::FromPem(part);
    if (!key.ok()) return Annotate(key.status(), signing_file.string());
    keys.signing.push_back(*std::move(key));
  }
  if (keys.signing.empty()) return Damaged(signing_file);
  return keys;
}

absl::Status Authority::SaveAuthorities(FileSystem& files, const fs::path& folder,
                                        const Keys& keys) {
  std::string text = fmt::format("{}{}\n", kVersionLine, keys.ca_version);
  for (const trust::CertificateAuthority& ca : keys.authorities)
    text += ca.certificate_pem() + ca.private_pem();
  return files.WriteAtomically(folder / "ca.pem", AsBytes(text), OpenMode::kPrivate);
}

absl::Status Authority::SaveSigningKeys(FileSystem& files, const fs::path& folder,
                                        const Keys& keys) {
  std::string text = fmt::format("{}{}\n", kVersionLine, keys.signing_version);
  for (const trust::SigningKey& key : keys.signing) text += key.ToPem();
  return files.WriteAtomically(folder / "signing.pem", AsBytes(text), OpenMode::kPrivate);
}

// In this order: a later file proves that the earlier ones exist.
absl::Status Authority::CreateMissingKeys(FileSystem& files, const Clock& clock,
                                          const fs::path& folder) {
  Keys made;
  if (!files.Exists(folder / "ca.pem")) {
    if (files.Exists(folder / "signing.pem")) return Lost(folder / "ca.pem");
    made.authorities.push_back(
        trust::CertificateAuthority::Create("quantfleet CA on " + MachineName(), clock));
    FailPoint("authority-before-ca");
    QF_RETURN_IF_ERROR(SaveAuthorities(files, folder, made));
    FailPoint("authority-after-ca");
  }
  if (!files.Exists(folder / "signing.pem")) {
    if (files.Exists(folder / "server.pem")) return Lost(folder / "signing.pem");
    made.signing.push_back(trust::SigningKey::Generate());
    QF_RETURN_IF_ERROR(SaveSigningKeys(files, folder, made));
    FailPoint("authority-after-signing-key");
  }
  return absl::OkStatus();
}

absl::StatusOr<Authority::Keys> Authority::LoadUnchanging(FileSystem& files, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(Keys keys, LoadKeys(files, data / "keys"));
  for (const auto& [count, what] :
       {std::pair(keys.signing.size(), "signing keys"), std::pair(keys.authorities.size(), "CAs")})
    if (count > 1)
      return FailedPrecondition(
          "there are already {} {}: retire the old one first (`quantfleetd keys retire`)", count,
          what);
  QF_RETURN_IF_ERROR(KeepRoots(files, data / "keys", keys).status());
  return keys;
}

absl::Status Authority::RotateSigningKey(FileSystem& files, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(Keys keys, LoadUnchanging(files, data));
  keys.signing.push_back(trust::SigningKey::Generate());
  keys.signing_version = keys.version() + 1;
  return SaveSigningKeys(files, data / "keys", keys);
}

absl::Status Authority::RotateCa(FileSystem& files, const Clock& clock, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(Keys keys, LoadUnchanging(files, data));
  keys.ca_version = keys.version() + 1;
  const std::string name = fmt::format("quantfleet CA {} on {}", keys.ca_version, MachineName());
  keys.authorities.push_back(trust::CertificateAuthority::Create(name, clock));
  return SaveAuthorities(files, data / "keys", keys);
}

absl::Status Authority::RetireOldKeys(FileSystem& files, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(Keys keys, LoadKeys(files, data / "keys"));
  QF_RETURN_IF_ERROR(KeepRoots(files, data / "keys", keys).status());
  const uint32_t next = keys.version() + 1;
  if (keys.signing.size() > 1) {
    keys.signing.erase(keys.signing.begin(), keys.signing.end() - 1);
    keys.signing_version = next;
    return SaveSigningKeys(files, data / "keys", keys);
  }
  if (keys.authorities.size() > 1) {
    keys.authorities.erase(keys.authorities.begin(), keys.authorities.end() - 1);
    keys.ca_version = next;
    return SaveAuthorities(files, data / "keys", keys);
  }
  return FailedPrecondition(
      "{} contains only one signing key and one CA: there is nothing to retire",
      (data / "keys").string());
}

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(
    FileSystem& files, const Clock& clock, const fs::path& data,
    const std::vector<std::string>& reached_by) {
  const fs::path keys = data / "keys";
  QF_RETURN_IF_ERROR(files.MakeFolder(keys));
  for (const fs::path& folder : {data, keys}) QF_RETURN_IF_ERROR(CheckUnshared(folder));
  std::error_code error;
  fs::permissions(keys, fs::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), "protecting " + keys.string());

  QF_ASSIGN_OR_RETURN(auto guard,
                      ClockGuard::Open(files, clock, keys / kClockFile, NewestMade(files, keys)));
  QF_RETURN_IF_ERROR(guard->Check());
  QF_RETURN_IF_ERROR(CreateMissingKeys(files, clock, keys));
  QF_ASSIGN_OR_RETURN(Keys loaded, LoadKeys(files, keys));
  QF_ASSIGN_OR_RETURN(std::vector<v1::Signed> roots, KeepRoots(files, keys, loaded));
  std::vector<std::string> names = {"localhost", MachineName(), "127.0.0.1", "::1"};
  for (std::string address : reached_by) {
    if (address.size() > 2 && address.front() == '[')
      address = address.substr(1, address.size() - 2);
    // Listening everywhere names no place.
    if (address.empty() || address == "0.0.0.0" || address == "::") continue;
    if (std::find(names.begin(), names.end(), address) == names.end()) names.push_back(address);
  }
  return std::unique_ptr<Authority>(new Authority(
      files, clock, data, std::move(names), std::move(guard), std::move(loaded), std::move(roots)));
}

absl::StatusOr<std::string> Authority::AcceptClock(FileSystem& files, const Clock& clock,
                                                   const fs::path& data) {
  return ClockGuard::Accept(files, clock, data / "keys" / kClockFile);
}

std::string Authority::Keys::authorities_pem() const {
  std::string pem;
  for (const trust::CertificateAuthority& ca : authorities) pem += ca.certificate_pem();
  return pem;
}

v1::TrustRoot Authority::Keys::trust_root() const {
  v1::TrustRoot root;
  root.set_version(version());
  root.set_ca_pem(authorities_pem());
  for (const trust::SigningKey& signing : this->signing) {
    v1::VerifyKey& key = *root.add_keys();
    key.set_key_id(signing.key_id());
    key.set_public_key(signing.public_key());
    for (const std::string_view type : {trust::kAssignmentType, trust::kArtifactStatementType,
                                        trust::kEvaluationStatementType, trust::kTrustRootType})
      key.add_payload_types(std::string(type));
  }
  return root;
}

absl::StatusOr<Authority::ServerCredential> Authority::Keep(const fs::path& file,
                                                            const trust::CertificateAuthority& ca,
                                                            const trust::Subject& subject,
                                                            Duration lifetime) {
  std::lock_guard lock(mutex_);
  if (files_.Exists(file)) {
    QF_ASSIGN_OR_RETURN(const std::string pem, ReadPrivate(files_, file, 1 << 20));
    if (auto kept = Split(pem, file); kept.ok()) {
      const auto info = trust::ReadCertificate(kept->certificate_pem);
      const Time now = clock_.Now();
      if (info.ok() && AreSame(info->subject, subject) && info->holds_at(now) &&
          info->holds_at(now + lifetime / 3) &&
          trust::VerifyChain(kept->certificate_pem, ca.certificate_pem(),
                             subject.kind == trust::Subject::Kind::kServer, std::nullopt)
              .ok())
        return kept;
    }
  }
  QF_RETURN_IF_ERROR(guard_->Check());
  const trust::KeyPair key = trust::GenerateTlsKey();
  QF_ASSIGN_OR_RETURN(std::string certificate, ca.Issue(key.public_pem, subject, lifetime, clock_));
  QF_RETURN_IF_ERROR(
      files_.WriteAtomically(file, AsBytes(certificate + key.private_pem), OpenMode::kPrivate));
  return ServerCredential{std::move(certificate), key.private_pem};
}

absl::StatusOr<Authority::ServerCredential> Authority::ServerIdentity() {
  trust::Subject subject{.kind = trust::Subject::Kind::kServer,
                         .id = MachineName(),
                         .role = {},
                         .dns_names = {},
                         .ip_addresses = {}};
  for (const std::string& name : names_)
    (LooksLikeAddress(name) ? subject.ip_addresses : subject.dns_names).push_back(name);
  return Keep(data_ / "keys" / "server.pem", keys_.authorities.front(), subject, kServerLifetime);
}

absl::StatusOr<Authority::ServerCredential> Authority::AdminIdentity() {
  const trust::Subject subject{.kind = trust::Subject::Kind::kOperator,
                               .id = "admin",
                               .role = std::string(Name(trust::Role::kAdmin)),
                               .dns_names = {},
                               .ip_addresses = {}};
  // Of the newest CA, trusting all: a copy of the file outlives the old one.
  return Keep(data_ / "keys" / "admin.pem", keys_.authorities.back(), subject, kAdminLifetime);
}

absl::StatusOr<fs::path> Authority::WriteAdminCredential(std::string_view server) {
  QF_ASSIGN_OR_RETURN(const ServerCredential admin, AdminIdentity());
  std::string json;
  AppendJson(json, "server", server);
  AppendJson(json, "ca_pem", authorities_pem());
  AppendJson(json, "certificate_pem", admin.certificate_pem);
  AppendJson(json, "private_pem", admin.private_pem);
  json += "\n}\n";
  const fs::path path = data_ / "admin.json";
  QF_RETURN_IF_ERROR(files_.WriteAtomically(path, AsBytes(json), OpenMode::kPrivate));
  return path;
}

absl::StatusOr<std::string> Authority::IssueDevice(std::string_view public_pem, std::string_view id,
                                                   Duration lifetime, uint32_t knows) const {
  QF_RETURN_IF_ERROR(guard_->Check());
  const auto& ca = knows >= keys_.ca_version ? keys_.authorities.back() : keys_.authorities.front();
  return ca.Issue(public_pem,
                  {.kind = trust::Subject::Kind::kDevice,
                   .id = std::string(id),
                   .role = {},
                   .dns_names = {},
                   .ip_addresses = {}},
                  lifetime, clock_);
}

absl::StatusOr<std::string> Authority::IssueOperator(std::string_view public_pem,
                                                     std::string_view name, std::string_view role,
                                                     Duration lifetime) const {
  QF_RETURN_IF_ERROR(guard_->Check());
  return keys_.authorities.back().Issue(public_pem,
                                        {.kind = trust::Subject::Kind::kOperator,
                                         .id = std::string(name),
                                         .role = std::string(role),
                                         .dns_names = {},
                                         .ip_addresses = {}},
                                        lifetime, clock_);
}

absl::StatusOr<v1::Signed> Authority::SignStatement(std::string_view payload_type,
                                                    std::string_view payload) const {
  QF_RETURN_IF_ERROR(guard_->Check());
  return keys_.Sign(payload_type, payload);
}

v1::Signed Authority::Keys::Sign(std::string_view payload_type, std::string_view payload) const {
  v1::Signed statement = trust::Sign(signing.back(), payload_type, payload);
  SignAnew(statement);
  return statement;
}

bool Authority::Keys::SignAnew(v1::Signed& statement) const {
  bool added = false;
  for (const trust::SigningKey& key : signing) added |= trust::AddSignature(key, statement);
  return added;
}

absl::StatusOr<std::vector<v1::Signed>> Authority::KeepRoots(FileSystem& files,
                                                             const fs::path& folder,
                                                             const Keys& keys) {
  const fs::path file = folder / "roots.b64";
  std::string text;
  if (files.Exists(file)) {
    QF_ASSIGN_OR_RETURN(text, ReadPrivate(files, file, kMaxRootsBytes));
  }
  std::vector<v1::Signed> roots;
  for (const std::string_view line : Lines(text)) {
    const auto bytes = FromBase64Url(line);
    v1::Signed statement;
    v1::TrustRoot root;
    if (!bytes || !statement.ParseFromString(std::string(AsText(*bytes))) ||
        !root.ParseFromString(statement.payload()))
      return Damaged(file);
    // Of keys that are gone, as after restoring a backup: no device can follow them.
    if (root.version() < keys.version()) roots.push_back(std::move(statement));
  }
  roots.push_back(keys.Sign(trust::kTrustRootType, keys.trust_root().SerializeAsString()));
  std::string now;
  for (const v1::Signed& root : roots) now += ToBase64Url(AsBytes(root.SerializeAsString())) + "\n";
  if (now != text)
    QF_RETURN_IF_ERROR(files.WriteAtomically(file, AsBytes(now), OpenMode::kPrivate));
  return roots;
}

std::vector<v1::Signed> Authority::TrustRootsAfter(uint32_t version) const {
  std::vector<v1::Signed> later;
  if (version >= keys_.version()) return later;  // nearly every check-in
  for (const v1::Signed& statement : roots_) {
    v1::TrustRoot root;
    if (later.size() >= trust::kMaxTrustRoots || !root.ParseFromString(statement.payload())) break;
    if (root.version() > version) later.push_back(statement);
  }
  return later;
}

}  // namespace quantfleet::daemon
