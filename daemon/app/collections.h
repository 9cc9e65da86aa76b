// The collections of resources, as the names of the API have them: which service deals with one,
// how its names begin, and which changes of the state are of it. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "daemon/store/change.h"

namespace quantfleet::daemon::app {

struct Collection {
  std::string_view service, name;
  Change::Kind kind;
};

inline constexpr std::array<Collection, 9> kCollections{{
    {"ModelService", "models", Change::Kind::kModel},
    {"JobService", "jobs", Change::Kind::kJob},
    {"ArtifactService", "artifacts", Change::Kind::kArtifact},
    {"DeviceClassService", "classes", Change::Kind::kClass},
    {"TokenService", "tokens", Change::Kind::kToken},
    {"FleetService", "devices", Change::Kind::kDevice},
    {"GroupService", "groups", Change::Kind::kGroup},
    {"RolloutService", "rollouts", Change::Kind::kRollout},
    {"OperatorService", "operators", Change::Kind::kOperator},
}};

// Null: the service deals with none.
inline const Collection* CollectionOf(std::string_view service) {
  const auto* const found = std::ranges::find(kCollections, service, &Collection::service);
  return found == kCollections.end() ? nullptr : found;
}

// "devices/d-1" for "d-1"; what has a collection, or nothing, stays.
inline std::string InCollection(const Collection* collection, std::string name) {
  if (name.empty() || collection == nullptr || name.find('/') != std::string::npos) return name;
  return std::string(collection->name) + "/" + name;
}

}  // namespace quantfleet::daemon::app
