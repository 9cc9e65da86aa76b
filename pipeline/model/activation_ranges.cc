#include "pipeline/model/activation_ranges.h"

#include <boost/json.hpp>
#include <cmath>

#include "common/base/outside_text.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// Of the member, as an F32; nullopt: it is not there, or not one.
std::optional<float> Number(const json::object& of, std::string_view key) {
  const json::value* value = of.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const auto number = static_cast<float>(value->to_number<double>());
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

}  // namespace

absl::StatusOr<ActivationRanges> ParseActivationRanges(std::string_view text) {
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  if (error || !parsed.is_object()) return InvalidArgument("it is not a JSON object");
  const json::value* list = parsed.get_object().if_contains("activations");
  if (list == nullptr || !list->is_array()) return InvalidArgument("it has no list of activations");
  ActivationRanges ranges{.digest = HashBytes(AsBytes(text))};
  for (const json::value& entry : list->get_array()) {
    const json::object none, &activation = entry.is_object() ? entry.get_object() : none;
    const json::value* name = activation.if_contains("name");
    if (name == nullptr || !name->is_string())
      return InvalidArgument("activation {} has no name", ranges.of.size());
    const std::string called(std::string_view(name->get_string()));
    const std::optional<float> low = Number(activation, "min"), high = Number(activation, "max");
    if (!low || !high || *low > *high)
      return InvalidArgument("activation '{}' has no min and max that are finite and in order",
                             Shown(called, 128));
    if (!ranges.of.emplace(called, ValueRange{*low, *high}).second)
      return InvalidArgument("activation '{}' is there more than once", Shown(called, 128));
  }
  return ranges;
}

}  // namespace quantfleet::pipeline
