#include "cli/remote_credential.h"

#include <boost/json.hpp>

#include "common/base/access.h"
#include "common/base/json.h"
#include "common/trust/certificate.h"
#include "common/trust/validity.h"

namespace quantfleet::cli {
namespace {

absl::Status ReadField(const boost::json::object& object, const fs::path& path,
                       std::string_view name, std::string& value) {
  const boost::json::value* field =
      object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (!field || !field->is_string() || field->get_string().empty())
    return InvalidArgument("{}: the credential has no string '{}'", path.string(), name);
  value.assign(field->get_string().data(), field->get_string().size());
  return absl::OkStatus();
}

// Checked here, where the error can name the file and the reason: the TLS library would just close
// the connection.
absl::Status CheckKeys(const Credential& credential, const fs::path& path, Time now) {
  const auto ca = trust::CertificateFingerprint(credential.ca_pem);
  const auto of_certificate = trust::PublicKeyDigest(credential.certificate_pem);
  const auto of_key = trust::PublicKeyDigest(credential.private_pem);
  for (const absl::Status& status : {ca.status(), of_certificate.status(), of_key.status()})
    if (!status.ok()) return InvalidArgument("{}: {}", path.string(), Message(status));
  if (*of_certificate != *of_key)
    return InvalidArgument("{}: certificate_pem and private_pem do not belong together",
                           path.string());
  const absl::Status fit =
      trust::VerifyChain(credential.certificate_pem, credential.ca_pem, /*server=*/false, now);
  if (!fit.ok())
    return Unauthenticated("{}: {}. {}", path.string(), Message(fit),
                           credential.renews
                               ? "`quantfleet login --renew` asks for another one"
                               : "the daemon renews its DATA/admin.json when it starts");
  return absl::OkStatus();
}

// A file for the owner alone, in a folder that may have to be made.
absl::Status WriteObject(FileSystem& files, const fs::path& path,
                         const boost::json::object& object) {
  if (path.has_parent_path()) QF_RETURN_IF_ERROR(files.MakeFolder(path.parent_path()));
  const std::string text = boost::json::serialize(object) + "\n";
  return files.WriteAtomically(path, AsBytes(text), OpenMode::kPrivate);
}

absl::StatusOr<boost::json::object> ReadObject(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const std::string text, ReadPrivate(files, path, 1 << 20));
  auto json = ParseJsonObject(text, path.string());
  if (!json.ok())
    return InvalidArgument(
        "{}: not a credential: expected a JSON object like the DATA/admin.json that `quantfleetd "
        "--dev` writes",
        path.string());
  return json;
}

}  // namespace

absl::Status CheckServerAddress(const std::string& server) {
  const size_t colon = server.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == server.size())
    return InvalidArgument("'{}' is not the address of a daemon: write HOST:PORT", server);
  return absl::OkStatus();
}

fs::path CredentialPath(const std::string& option,
                        const std::function<const char*(const char*)>& environment) {
  const auto get = [&](const char* name) -> std::string {
    const char* value = environment(name);
    return value ? value : "";
  };
  if (!option.empty()) return option;
  if (std::string path = get("QUANTFLEET_CREDENTIAL"); !path.empty()) return path;
  std::string config = get("XDG_CONFIG_HOME");
  if (config.empty()) config = get("HOME") + "/.config";
  return fs::path(config) / "quantfleet" / "credential.json";
}

absl::StatusOr<Credential> ReadCredential(FileSystem& files, const fs::path& path,
                                          bool needs_server) {
  if (!files.Exists(path))
    return NotFound(
        "{}: no credential found. An admin makes one with `quantfleet operator create`, and "
        "`quantfleet login` brings it here. The first is the DATA/admin.json that `quantfleetd` "
        "writes: pass it with --credential FILE or $QUANTFLEET_CREDENTIAL, or copy it to this path",
        path.string());
  QF_ASSIGN_OR_RETURN(const boost::json::object json, ReadObject(files, path));
  Credential credential;
  if (needs_server || json.if_contains("server") != nullptr)
    QF_RETURN_IF_ERROR(ReadField(json, path, "server", credential.server));
  QF_RETURN_IF_ERROR(ReadField(json, path, "ca_pem", credential.ca_pem));
  QF_RETURN_IF_ERROR(ReadField(json, path, "certificate_pem", credential.certificate_pem));
  QF_RETURN_IF_ERROR(ReadField(json, path, "private_pem", credential.private_pem));
  const boost::json::value* const renews = json.if_contains("renews");
  credential.renews = renews != nullptr && renews->is_bool() && renews->get_bool();
  return credential;
}

absl::Status CheckCredential(const Credential& credential, const fs::path& path, Time now) {
  QF_RETURN_IF_ERROR(CheckServerAddress(credential.server));
  return CheckKeys(credential, path, now);
}

absl::StatusOr<Credential> LoadCredential(FileSystem& files, const Clock& clock,
                                          const fs::path& path,
                                          const std::string& server_override) {
  QF_ASSIGN_OR_RETURN(Credential credential, ReadCredential(files, path, server_override.empty()));
  if (!server_override.empty()) credential.server = server_override;
  QF_RETURN_IF_ERROR(CheckCredential(credential, path, clock.Now()));
  return credential;
}

absl::Status WriteCredential(FileSystem& files, const fs::path& path,
                             const Credential& credential) {
  boost::json::object object;
  object["server"] = credential.server;
  object["ca_pem"] = credential.ca_pem;
  object["certificate_pem"] = credential.certificate_pem;
  object["private_pem"] = credential.private_pem;
  if (credential.renews) object["renews"] = true;
  return WriteObject(files, path, object);
}

bool IsDueForRenewal(const Credential& credential, Time now) {
  const auto info = trust::ReadCertificate(credential.certificate_pem);
  if (!info.ok()) return true;
  const Duration lifetime = info->not_after - info->not_before - trust::kBackdate;
  return !info->holds_at(now) || info->not_after - now < lifetime / 3;
}

fs::path PendingPath(const fs::path& credential) { return credential.string() + ".pending"; }

absl::StatusOr<PendingLogin> ReadPendingLogin(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const boost::json::object json, ReadObject(files, path));
  PendingLogin pending;
  QF_RETURN_IF_ERROR(ReadField(json, path, "server", pending.server));
  QF_RETURN_IF_ERROR(ReadField(json, path, "private_pem", pending.private_pem));
  return pending;
}

absl::Status WritePendingLogin(FileSystem& files, const fs::path& path,
                               const PendingLogin& pending) {
  boost::json::object object;
  object["server"] = pending.server;
  object["private_pem"] = pending.private_pem;
  return WriteObject(files, path, object);
}

}  // namespace quantfleet::cli
