// Which engine answers for which name. Thread-safe; an engine lives on while somebody holds what Find gave.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/runtime/engine.h"

namespace quantfleet::agent {

class ModelTable {
 public:
  struct Found {
    std::string name;
    std::shared_ptr<Engine> engine;
  };
  // An empty name means the only model there is. UNAVAILABLE: none yet; NOT_FOUND: not this one.
  absl::StatusOr<Found> Find(const std::string& name) const;
  std::vector<std::string> Names() const;
  void Set(const std::string& name, std::shared_ptr<Engine> engine);
  void Remove(const std::string& name);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Engine>> models_;
};

}  // namespace quantfleet::agent
