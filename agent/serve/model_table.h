// Which engine, or which other server, answers for which name. Thread-safe; entries live as long as
// somebody holds what Find returned.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/serve/openai.h"
#include "agent/serve/upstream.h"
#include "engine/decode/engine.h"
#include "text/template/chat_template.h"

namespace quantfleet::agent {

// `plain`: a model without a template gets the contents of the messages as they are.
text::ChatTemplate ChatTemplateOf(const engine::Engine& engine, bool plain);

class ModelTable {
 public:
  struct Found {
    std::string name;
    int64_t created = 0;  // see ServedModel
    // One of the two.
    std::shared_ptr<engine::Engine> engine;
    std::shared_ptr<Upstream> upstream;
    std::shared_ptr<const text::ChatTemplate> chat;  // the engine's
  };
  static ServedModel Served(const Found& model);
  // An empty name means the only model there is. UNAVAILABLE: there is none yet; NOT_FOUND: there
  // is none of that name.
  absl::StatusOr<Found> Find(const std::string& name) const;
  std::vector<std::string> Names() const;
  std::vector<ServedModel> List() const;
  bool HasUpstream() const;
  // Replaces the model of that name.
  void Set(Found model);
  void Remove(const std::string& name);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Found> models_;
};

}  // namespace quantfleet::agent
