#include "agent/serve/model_table.h"

namespace quantfleet::agent {

absl::StatusOr<ModelTable::Found> ModelTable::Find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  if (models_.empty()) return Unavailable("no model runs here yet");
  const auto at = name.empty() && models_.size() == 1 ? models_.begin() : models_.find(name);
  if (at != models_.end()) return Found{at->first, at->second};
  if (name.empty()) return InvalidArgument("model is missing, and more than one runs here");
  return NotFound("model \"{}\" does not run here", name);
}

std::vector<std::string> ModelTable::Names() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, engine] : models_) names.push_back(name);
  return names;
}

void ModelTable::Set(const std::string& name, std::shared_ptr<Engine> engine) {
  // The old engine is let go outside the lock: unmapping a large model takes a while.
  std::lock_guard lock(mutex_);
  std::swap(models_[name], engine);
}

void ModelTable::Remove(const std::string& name) {
  std::shared_ptr<Engine> removed;
  std::lock_guard lock(mutex_);
  if (const auto at = models_.find(name); at != models_.end()) {
    removed = std::move(at->second);
    models_.erase(at);
  }
}

}  // namespace quantfleet::agent
