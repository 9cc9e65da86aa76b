#include "agent/serve/model_table.h"

#include <algorithm>

namespace quantfleet::agent {

text::ChatTemplate ChatTemplateOf(const engine::Engine& engine, bool plain) {
  if (plain && engine.chat_template().empty()) return text::ChatTemplate::Plain();
  return text::ChatTemplate::Read(engine.chat_template(), engine.control_tokens(),
                                  engine.tool_template());
}

absl::StatusOr<ModelTable::Found> ModelTable::Find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  if (models_.empty()) return Unavailable("no model is running yet");
  const auto at = name.empty() && models_.size() == 1 ? models_.begin() : models_.find(name);
  if (at != models_.end()) return at->second;
  if (name.empty()) return InvalidArgument("model is missing, and more than one model is running");
  return NotFound("model \"{}\" is not running here", name);
}

ServedModel ModelTable::Served(const Found& model) {
  ServedModel served{model.name, model.created};
  if (model.engine == nullptr) return served;
  const bool embeds = model.engine->embedding() != nullptr;
  served.capability = embeds ? "embedding" : "completion";
  if (embeds) served.dimensions = model.engine->dimensions();
  return served;
}

std::vector<std::string> ModelTable::Names() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) names.push_back(name);
  return names;
}

std::vector<ServedModel> ModelTable::List() const {
  std::lock_guard lock(mutex_);
  std::vector<ServedModel> list;
  for (const auto& [name, model] : models_) list.push_back(Served(model));
  return list;
}

bool ModelTable::HasUpstream() const {
  std::lock_guard lock(mutex_);
  return std::ranges::any_of(models_,
                             [](const auto& model) { return model.second.upstream != nullptr; });
}

void ModelTable::Set(Found model) {
  // The old engine is released outside the lock: unmapping a large model takes a while.
  std::lock_guard lock(mutex_);
  std::swap(models_[model.name], model);
}

void ModelTable::Remove(const std::string& name) {
  Found removed;
  std::lock_guard lock(mutex_);
  if (const auto at = models_.find(name); at != models_.end()) {
    removed = std::move(at->second);
    models_.erase(at);
  }
}

}  // namespace quantfleet::agent
