#include "cli/allow_list.h"

#include <sstream>

#include "cli/remote_format.h"
#include "common/trust/certificate.h"

namespace quantfleet::cli {

absl::StatusOr<v1::AllowedDevice> ParseAllowed(std::string_view text) {
  v1::AllowedDevice device;
  if (text.starts_with("d-")) {
    device.set_device_id(std::string(text));
    return device;
  }
  const auto key = Digest::FromHexText(text);
  if (!key.ok())
    return InvalidArgument(
        "'{}' is neither a device id (d-...) nor a public key's SHA-256: `quantfleet-agent "
        "identity` prints both",
        Printable(text));
  device.set_public_key(key->raw());
  return device;
}

absl::StatusOr<std::vector<v1::AllowedDevice>> ParseAllowList(std::string_view text) {
  std::vector<v1::AllowedDevice> devices;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word;
    if (!(words >> word)) continue;
    auto device = ParseAllowed(word);
    if (!device.ok()) return Annotate(device.status(), fmt::format("line {}", number));
    while (words >> word) {
      const auto label = ParseLabel(word);
      if (!label.ok()) return Annotate(label.status(), fmt::format("line {}", number));
      (*device->mutable_labels())[label->first] = label->second;
    }
    devices.push_back(*std::move(device));
  }
  return devices;
}

absl::StatusOr<v1::AllowedDevice> ReadAllowedKey(FileSystem& files, const fs::path& pem) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(pem, 64 << 10));
  const auto key = trust::PublicKeyDigest(text);
  if (!key.ok()) return Annotate(key.status(), pem.string());
  v1::AllowedDevice device;
  device.set_public_key(key->raw());
  return device;
}

}  // namespace quantfleet::cli
