// JSON files of untrusted models: bounded parsing, and reading members as a list with one error at
// the end. Boost.JSON itself stays in .cc files. Not thread-safe per object.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet {

// Parses an object, nested at most 32 levels deep. `name` is the file's, for messages.
// INVALID_ARGUMENT says where the text is malformed; RESOURCE_EXHAUSTED means that so few bytes
// hold so many values that only an attack explains it.
absl::StatusOr<boost::json::object> ParseJsonObject(std::string_view text, std::string_view name);

// Members of one object. A member that is absent or null is nullopt; one of another type sets
// status().
class JsonMembers {
 public:
  // `where` names the object in messages ("config.json", "config.json: rope_scaling").
  JsonMembers(const boost::json::object& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  std::optional<int64_t> Integer(std::string_view key);
  std::optional<double> Number(std::string_view key);
  std::optional<bool> Bool(std::string_view key);
  std::optional<std::string> Text(std::string_view key);
  const boost::json::object* Object(std::string_view key);  // null when absent
  const boost::json::array* Array(std::string_view key);    // null when absent
  const boost::json::value* Any(std::string_view key);      // null when absent or null

  int64_t NeedInteger(std::string_view key);  // absent: sets status()
  double NeedNumber(std::string_view key);

  const absl::Status& status() const { return status_; }
  const std::string& where() const { return where_; }
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

 private:
  void WrongType(std::string_view key, std::string_view wanted);

  const boost::json::object& object_;
  const std::string where_;
  absl::Status status_;
};

}  // namespace quantfleet
