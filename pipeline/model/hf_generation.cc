#include "pipeline/model/hf_generation.h"

#include <boost/json.hpp>

namespace quantfleet::pipeline {

namespace json = boost::json;

std::vector<int64_t> ReadTokenIds(JsonMembers& from, std::string_view key, int64_t vocab) {
  std::vector<int64_t> ids;
  const json::value* value = from.Any(key);
  if (value == nullptr) return ids;
  const auto take = [&](const json::value& id) {
    if (!id.is_int64()) {
      from.Fail(
          InvalidArgument("{}: '{}' must be a token id or a list of token ids", from.where(), key));
    } else if (id.get_int64() < -1 || id.get_int64() >= vocab) {
      from.Fail(InvalidArgument("{}: '{}' names token {}, which is outside the vocabulary of {}",
                                from.where(), key, id.get_int64(), vocab));
    } else if (id.get_int64() >= 0) {
      ids.push_back(id.get_int64());
    }
  };
  if (const json::array* list = value->if_array()) {
    for (const json::value& id : *list) take(id);
  } else {
    take(*value);
  }
  return ids;
}

absl::StatusOr<HfGeneration> ParseHfGeneration(std::string_view text, int64_t vocab,
                                               std::string_view file) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, file));
  JsonMembers from(object, std::string(file));
  HfGeneration out;
  out.ends = ReadTokenIds(from, "eos_token_id", vocab);
  out.sampling.samples = from.Bool("do_sample");
  for (const SamplingNumber& number : kSamplingNumbers) {
    const auto value = from.Number(number.hf);
    if (!value) continue;
    QF_ASSIGN_OR_RETURN(out.sampling.*number.value,
                        CheckSamplingNumber(number, *value, file, number.hf));
  }
  if (const auto top_k = from.Integer(kTopKHf)) {
    QF_ASSIGN_OR_RETURN(out.sampling.top_k, CheckTopK(*top_k, file, kTopKHf));
  }
  QF_RETURN_IF_ERROR(from.status());
  Normalize(out.sampling);
  return out;
}

}  // namespace quantfleet::pipeline
