#include "text/jinja/json_values.h"

#include <boost/json.hpp>

namespace quantfleet::jinja {
namespace {

namespace json = boost::json;

Value DataText(json::string_view text) {
  return Value(MarkedText::Data({text.data(), text.size()}));
}

}  // namespace

absl::StatusOr<Value> FromJson(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return Value(None{});
    case json::kind::bool_:
      return Value(value.get_bool());
    case json::kind::int64:
      return Value(value.get_int64());
    case json::kind::uint64:
      // Larger than any number that a template computes with.
      return Value(static_cast<double>(value.get_uint64()));
    case json::kind::double_:
      return Value(value.get_double());
    case json::kind::string:
      return DataText(value.get_string());
    case json::kind::array: {
      std::vector<Value> items;
      items.reserve(value.get_array().size());
      for (const json::value& element : value.get_array()) {
        QF_ASSIGN_OR_RETURN(Value item, FromJson(element));
        items.push_back(std::move(item));
      }
      return Value::Of(Sequence::Kind::kList, std::move(items));
    }
    case json::kind::object:
      break;
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(value.get_object().size());
  for (const auto& [key, element] : value.get_object()) {
    QF_ASSIGN_OR_RETURN(Value item, FromJson(element));
    entries.emplace_back(DataText(key), std::move(item));
  }
  return Value::Of(std::move(entries));
}

}  // namespace quantfleet::jinja
