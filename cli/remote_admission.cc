// quantfleet device allow|allowed|disallow|pending
#include <algorithm>

#include "cli/allow_list.h"
#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"

namespace quantfleet::cli {
namespace {

constexpr uint64_t kMaxListBytes = 64 << 20;
constexpr size_t kAllowedAtOnce = 1000;  // as the daemon takes them

struct AllowOptions {
  std::vector<std::string> devices, key_files;
  std::string list;
  LabelOption labels;
  bool json = false;
};

std::vector<v1::AllowedDevice> DevicesToAllow(const AllowOptions& options) {
  std::vector<v1::AllowedDevice> devices;
  for (const std::string& text : options.devices)
    devices.push_back(ValueOfOption(ParseAllowed(text), "ID"));
  for (const std::string& file : options.key_files)
    devices.push_back(ValueOrExit(ReadAllowedKey(RealFileSystem(), file)));
  if (!options.list.empty()) {
    const std::string text = ValueOrExit(RealFileSystem().ReadAll(options.list, kMaxListBytes));
    auto listed = ParseAllowList(text);
    ExitOnError(Annotate(listed.status(), options.list));
    std::ranges::move(*listed, std::back_inserter(devices));
  }
  if (devices.empty()) throw CLI::ValidationError("ID", "give a device id, --key-file or --file");
  for (v1::AllowedDevice& device : devices) {
    v1::AllowedDevice common;
    FillLabels(options.labels, *common.mutable_labels());
    for (const auto& [key, value] : common.labels()) device.mutable_labels()->insert({key, value});
  }
  return devices;
}

void AddAllow(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<AllowOptions>();
  CLI::App* command =
      AddCommand(group, "allow", "Allow devices to enroll without a token, each once");
  command->add_option(
      "ID", options->devices,
      "Device ids or SHA-256 digests of public keys, as printed by `quantfleet-agent identity`");
  command
      ->add_option("--key-file", options->key_files,
                   "A public key or certificate in PEM; may be repeated")
      ->allow_extra_args(false)
      ->type_name("PEM");
  command
      ->add_option("--file", options->list, "A list: one device per line, with its labels after it")
      ->type_name("LIST");
  AddLabelOption(command, options->labels, "Label for each of them, key=value; may be repeated");
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    const std::vector<v1::AllowedDevice> devices = DevicesToAllow(*options);
    const auto client = remote->Connect();
    v1::AllowDevicesResponse all;
    for (size_t i = 0; i < devices.size(); i += kAllowedAtOnce) {
      v1::AllowDevicesRequest request;
      for (size_t k = i; k < std::min(devices.size(), i + kAllowedAtOnce); ++k)
        *request.add_devices() = devices[k];
      v1::AllowDevicesResponse response = RpcValueOrExit(client->AllowDevices(request));
      for (v1::AllowedDevice& device : *response.mutable_devices())
        *all.add_devices() = std::move(device);
    }
    if (options->json) return PrintJson(all);
    for (const v1::AllowedDevice& device : all.devices())
      PrintOut(fmt::format("{} may enroll\n", Printable(device.device_id())));
  });
}

void AddAllowed(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* list = AddCommand(
      group, "allowed", "List devices that may enroll without a token and have not done so yet");
  AddJsonOption(list, *json);
  list->callback([remote, json] {
    const v1::ListAllowedDevicesResponse response =
        RpcValueOrExit(remote->Connect()->ListAllowedDevices());
    if (*json) return PrintJson(response);
    Table table({"ID", "PUBLIC KEY", "SINCE", "LABELS"});
    for (const v1::AllowedDevice& device : response.devices())
      table.Add({device.device_id(), HexDigest(device.public_key()),
                 Relative(device.created_ms(), remote->clock.Now()), LabelsText(device.labels())});
    PrintOut(table.ToString("none; add one with `quantfleet device allow`"));
  });

  auto id = std::make_shared<std::string>();
  auto remove_json = std::make_shared<bool>(false);
  CLI::App* remove = AddCommand(
      group, "disallow", "Remove a device from the allowlist; an enrolled device stays enrolled");
  remove->add_option("ID", *id, "The device")->required();
  AddJsonOption(remove, *remove_json);
  remove->callback([remote, id, remove_json] {
    const v1::AllowedDevice device = RpcValueOrExit(remote->Connect()->DisallowDevice(*id));
    if (*remove_json) return PrintJson(device);
    PrintOut(
        fmt::format("{} may no longer enroll without a token\n", Printable(device.device_id())));
  });
}

void AddPending(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* list =
      AddCommand(group, "pending", "List devices that asked to enroll and wait for an operator");
  AddJsonOption(list, *json);
  list->callback([remote, json] {
    const v1::ListPendingDevicesResponse response =
        RpcValueOrExit(remote->Connect()->ListPendingDevices());
    if (*json) return PrintJson(response);
    const Time now = remote->clock.Now();
    Table table(
        {"ID", "ASKED", "EXPIRES", "ADMITTED BY", "REPLACES", "MACHINE", "PUBLIC KEY", "REASON"});
    for (const v1::PendingDevice& device : response.devices())
      table.Add({device.device_id(), Relative(device.asked_ms(), now),
                 Relative(device.expires_ms(), now), device.admitted_by(), device.replaces(),
                 fmt::format("{} {} {}", device.facts().form(), device.facts().arch(),
                             HumanBytes(device.facts().memory_total_bytes())),
                 ShortDigest(device.public_key()), device.reason()});
    PrintOut(table.ToString("no devices are waiting"));
  });
}

}  // namespace

void AddAdmissionCommands(CLI::App& device_group, const Remote& remote) {
  AddAllow(device_group, remote);
  AddAllowed(device_group, remote);
  AddPending(device_group, remote);
}

}  // namespace quantfleet::cli
