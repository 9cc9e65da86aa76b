#include "daemon/fleet/groups.h"

#include <algorithm>
#include <functional>
#include <set>

#include "common/base/outside_text.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxGroupName = 63, kMaxDescription = 256, kScanned = 1000;

absl::Status CheckGroupName(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool fit = !name.empty() && name.size() <= kMaxGroupName && plain(name.front()) &&
                   std::ranges::all_of(
                       name, [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
  if (fit) return absl::OkStatus();
  return InvalidArgument(
      "\"{}\" is not a valid group name: use 1 to {} letters, digits, \".\", \"_\" and \"-\", "
      "beginning with a letter or digit",
      Shown(name, kMaxGroupName), kMaxGroupName);
}

absl::Status CheckGroup(const v1::DeviceGroup& group) {
  QF_RETURN_IF_ERROR(CheckGroupName(group.name()));
  if (group.description().size() > kMaxDescription)
    return InvalidArgument("description: at most {} bytes", kMaxDescription);
  if (group.selector().empty() && group.device_ids().empty())
    return InvalidArgument("group {} has no devices: give it a selector, device ids, or both",
                           group.name());
  if (const absl::Status labels =
          CheckLabels(Labels(group.selector().begin(), group.selector().end()));
      !labels.ok())
    return Annotate(labels, "selector");
  if (static_cast<size_t>(group.device_ids_size()) > kMaxListedDevices)
    return InvalidArgument(
        "group {} lists {} devices; the maximum is {}: give the devices a label and the group a "
        "selector",
        group.name(), group.device_ids_size(), kMaxListedDevices);
  return absl::OkStatus();
}

}  // namespace

bool HasLabels(const Labels& labels,
               const google::protobuf::Map<std::string, std::string>& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

bool Belongs(const v1::DeviceGroup& group, std::string_view device_id, const Labels& labels) {
  if (!group.selector().empty() && HasLabels(labels, group.selector())) return true;
  return std::ranges::binary_search(group.device_ids(), device_id, std::less<std::string_view>());
}

absl::StatusOr<v1::DeviceGroup> ApplyGroup(Store& store, v1::DeviceGroup group, Time now) {
  QF_RETURN_IF_ERROR(CheckGroup(group));
  const std::set<std::string> ids(group.device_ids().begin(), group.device_ids().end());
  group.clear_device_ids();
  for (const std::string& id : ids) group.add_device_ids(id);
  group.set_updated_ms(ToUnixMillis(now));
  return store.Write([&](Transaction& tx) -> absl::StatusOr<v1::DeviceGroup> {
    for (const std::string& id : ids) QF_RETURN_IF_ERROR(tx.devices().Get(id).status());
    group.set_created_ms(ToUnixMillis(now));
    const auto old = tx.groups().Get(group.name());
    if (old.ok())
      group.set_created_ms(old->created_ms());
    else if (old.status().code() != absl::StatusCode::kNotFound)
      return old.status();
    QF_RETURN_IF_ERROR(tx.groups().Put(group));
    return group;
  });
}

absl::StatusOr<std::vector<std::string>> GroupMembers(const Transaction& tx,
                                                      const v1::DeviceGroup& group,
                                                      std::string_view after, size_t limit) {
  std::vector<std::string> members;
  for (std::string from(after);;) {
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Device> page, tx.devices().List(from, kScanned));
    for (const v1::Device& device : page) {
      if (members.size() == limit) return members;
      const Labels labels(device.labels().begin(), device.labels().end());
      if (device.state() == v1::Device::ACTIVE && Belongs(group, device.id(), labels))
        members.push_back(device.id());
    }
    if (page.size() < kScanned) return members;
    from = page.back().id();
  }
}

}  // namespace quantfleet::daemon
