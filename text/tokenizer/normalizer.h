// What a tokenizer does to a text before anything else looks at it: tokenizer.json's "normalizer".
// Immutable after Create, therefore thread-safe.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

// Of a text that the steps rewrite.
struct NormalizerState {
  bool keeps_front = true;
  size_t most = 0;  // bytes that it may come to have
};

class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  // `stage` is the member of tokenizer.json, null where it has none. UNIMPLEMENTED names a type
  // that is not known, INVALID_ARGUMENT a field that is wrong.
  static absl::StatusOr<Normalizer> Create(const boost::json::value* stage);

  bool empty() const { return steps_.empty(); }
  // INVALID_ARGUMENT where an expression takes too many steps, or the text becomes too long.
  // `keeps_front` becomes false where what the text begins with is taken away.
  absl::Status Apply(std::string& text, bool* keeps_front = nullptr) const;

 private:
  using Rewrite = std::function<absl::Status(std::string& text, NormalizerState& state)>;
  std::vector<Rewrite> steps_;
};

}  // namespace quantfleet::text
