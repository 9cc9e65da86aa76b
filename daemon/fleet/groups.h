// Groups: names for sets of devices, by labels or by id. The store keeps them; this decides what
// may be kept and which devices belong, anew each time.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "daemon/fleet/device_class.h"
#include "daemon/store/store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

using Groups = std::map<std::string, v1::DeviceGroup>;  // by name

inline constexpr size_t kMaxListedDevices = 1000;  // of one group: each check-in may read it

bool HasLabels(const Labels& labels, const google::protobuf::Map<std::string, std::string>& wanted);
// The device carries all labels of the selector, if there is one, or is listed.
bool Belongs(const v1::DeviceGroup& group, std::string_view device_id, const Labels& labels);

// Adds the group, or replaces the one of that name. INVALID_ARGUMENT names the field, NOT_FOUND a
// listed device.
absl::StatusOr<v1::DeviceGroup> ApplyGroup(Store& store, v1::DeviceGroup group, Time now);
// Ids of up to `limit` active devices above `after` that belong to it now, in order.
absl::StatusOr<std::vector<std::string>> GroupMembers(const Transaction& tx,
                                                      const v1::DeviceGroup& group,
                                                      std::string_view after, size_t limit);

}  // namespace quantfleet::daemon
