#include "cli/remote_credential.h"

#include <boost/json.hpp>

#include "common/base/access.h"
#include "common/base/json.h"
#include "common/trust/certificate.h"

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
    return Unauthenticated("{}: {}. `quantfleetd --dev` renews its DATA/admin.json when it starts",
                           path.string(), Message(fit));
  return absl::OkStatus();
}

}  // namespace

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

absl::StatusOr<Credential> LoadCredential(FileSystem& files, const Clock& clock,
                                          const fs::path& path,
                                          const std::string& server_override) {
  if (!files.Exists(path))
    return NotFound(
        "{}: no credential found. `quantfleetd` writes one to DATA/admin.json: pass it with "
        "--credential FILE or $QUANTFLEET_CREDENTIAL, or copy it to this path",
        path.string());
  QF_ASSIGN_OR_RETURN(const std::string text, ReadPrivate(files, path, 1 << 20));
  const auto json = ParseJsonObject(text, path.string());
  if (!json.ok())
    return InvalidArgument(
        "{}: not a credential: expected a JSON object like the DATA/admin.json that `quantfleetd "
        "--dev` writes",
        path.string());
  Credential credential;
  if (server_override.empty()) {
    QF_RETURN_IF_ERROR(ReadField(*json, path, "server", credential.server));
  } else {
    credential.server = server_override;
  }
  const size_t colon = credential.server.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == credential.server.size())
    return InvalidArgument("'{}' is not the address of a daemon: write HOST:PORT",
                           credential.server);
  QF_RETURN_IF_ERROR(ReadField(*json, path, "ca_pem", credential.ca_pem));
  QF_RETURN_IF_ERROR(ReadField(*json, path, "certificate_pem", credential.certificate_pem));
  QF_RETURN_IF_ERROR(ReadField(*json, path, "private_pem", credential.private_pem));
  QF_RETURN_IF_ERROR(CheckKeys(credential, path, clock.Now()));
  return credential;
}

}  // namespace quantfleet::cli
