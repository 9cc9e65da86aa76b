#include "common/base/json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <new>

namespace quantfleet {

namespace json = boost::json;

namespace {

// "[0,0,..." takes twelve times its bytes once parsed. A tokenizer.json as large as any that is
// published, 262 thousand tokens and half a million merges, takes less than half of this.
constexpr size_t kMaxParsedBytes = size_t{256} << 20;

// The heap, but only so much of it. No JSON value asks for more than the heap's own alignment, and
// the library does not give back every string with the alignment that it was taken with.
class BoundedMemory final : public json::memory_resource {
  void* do_allocate(size_t bytes, size_t) override {
    if (bytes > kMaxParsedBytes - used_) throw std::bad_alloc();
    void* memory = ::operator new(bytes);
    used_ += bytes;
    return memory;
  }
  void do_deallocate(void* memory, size_t bytes, size_t) override {
    ::operator delete(memory);
    used_ -= bytes;
  }
  bool do_is_equal(const json::memory_resource& other) const noexcept override {
    return this == &other;
  }

  size_t used_ = 0;
};

}  // namespace

absl::StatusOr<json::object> ParseJsonObject(std::string_view text, std::string_view name) try {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 32;
  // The values keep the memory alive that they lie in.
  json::value value = json::parse(json::string_view(text.data(), text.size()), error,
                                  json::make_shared_resource<BoundedMemory>(), options);
  if (error) return InvalidArgument("{} is not valid JSON: {}", name, error.message());
  if (!value.is_object()) return InvalidArgument("{} does not contain a JSON object", name);
  return std::move(value.get_object());
} catch (const std::bad_alloc&) {
  return ResourceExhausted(
      "{} ({} bytes) takes more than {} MiB once parsed: it is not a model's file", name,
      text.size(), kMaxParsedBytes >> 20);
}

const json::value* JsonMembers::Any(std::string_view key) {
  const json::value* value = object_.if_contains(json::string_view(key.data(), key.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonMembers::WrongType(std::string_view key, std::string_view wanted) {
  Fail(InvalidArgument("{}: '{}' must be {}", where_, key, wanted));
}

std::optional<int64_t> JsonMembers::Integer(std::string_view key) {
  const json::value* value = Any(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return value->get_int64();
  // Some writers spell whole numbers as 4096.0.
  if (const double* d = value->if_double(); d && std::floor(*d) == *d && std::abs(*d) < 9e15)
    return static_cast<int64_t>(*d);
  WrongType(key, "an integer");
  return std::nullopt;
}

std::optional<double> JsonMembers::Number(std::string_view key) {
  const json::value* value = Any(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_double()) return value->get_double();
  if (value->is_int64()) return static_cast<double>(value->get_int64());
  if (value->is_uint64()) return static_cast<double>(value->get_uint64());
  WrongType(key, "a number");
  return std::nullopt;
}

std::optional<bool> JsonMembers::Bool(std::string_view key) {
  const json::value* value = Any(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  WrongType(key, "true or false");
  return std::nullopt;
}

std::optional<std::string> JsonMembers::Text(std::string_view key) {
  const json::value* value = Any(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string())
    return std::string(value->get_string().data(), value->get_string().size());
  WrongType(key, "a string");
  return std::nullopt;
}

const json::object* JsonMembers::Object(std::string_view key) {
  const json::value* value = Any(key);
  if (value != nullptr && !value->is_object()) WrongType(key, "an object");
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* JsonMembers::Array(std::string_view key) {
  const json::value* value = Any(key);
  if (value != nullptr && !value->is_array()) WrongType(key, "an array");
  return value == nullptr ? nullptr : value->if_array();
}

int64_t JsonMembers::NeedInteger(std::string_view key) {
  const auto value = Integer(key);
  if (!value) Fail(InvalidArgument("{}: '{}' is missing", where_, key));
  return value.value_or(0);
}

double JsonMembers::NeedNumber(std::string_view key) {
  const auto value = Number(key);
  if (!value) Fail(InvalidArgument("{}: '{}' is missing", where_, key));
  return value.value_or(0);
}

}  // namespace quantfleet
