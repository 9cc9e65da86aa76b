// The special tokens around a text: tokenizer.json's "post_processor". Plain values.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

struct PostProcessor {
  std::vector<int32_t> before, after;

  // As Normalizer::Create. Ids are not checked against a vocabulary. `find` gives the id of a token
  // that the stage names without saying its id; negative: there is none.
  static absl::StatusOr<PostProcessor> Create(const boost::json::value* stage,
                                              const std::function<int32_t(std::string_view)>& find);
};

}  // namespace quantfleet::text
