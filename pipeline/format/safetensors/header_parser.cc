#include "pipeline/format/safetensors/header_parser.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <limits>
#include <unordered_set>

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr size_t kMaxTensors = size_t{1} << 17;
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxDims = 8;

// Receives the parser's events. Each state accepts what may come next; all else ends the parse with
// status().
class Handler {
 public:
  // Limits of the parser itself; ours, below, are tighter.
  static constexpr size_t max_object_size = kMaxTensors + 1;
  static constexpr size_t max_array_size = kMaxTensors;
  static constexpr size_t max_key_size = size_t{1} << 20;
  static constexpr size_t max_string_size = size_t{1} << 26;
  using Error = json::error_code;

  absl::Status status;
  std::vector<RawTensor> tensors;

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }

  bool on_object_begin(Error& e) {
    switch (state_) {
      case State::kStart:
        return Go(State::kNames);
      case State::kTensor:
        seen_ = 0;
        return Go(State::kMembers);
      case State::kMetadata:
        return Go(State::kMetadataKeys);
      default:
        return Fail(e, "an object");
    }
  }
  bool on_object_end(size_t, Error& e) {
    switch (state_) {
      case State::kNames:
        return Go(State::kEnd);
      case State::kMetadataKeys:
        return Go(State::kNames);
      case State::kMembers:
        if (seen_ != 7)
          return Reject(e, "tensor '{}' is missing its dtype, shape or data_offsets",
                        tensors.back().name);
        return Go(State::kNames);
      default:
        return Fail(e, "the end of an object");
    }
  }
  bool on_array_begin(Error& e) {
    numbers_.clear();
    if (state_ == State::kShape) return Go(State::kShapeNumbers);
    if (state_ == State::kOffsets) return Go(State::kOffsetNumbers);
    return Fail(e, "an array");
  }
  bool on_array_end(size_t, Error& e) {
    if (tensors.empty()) return Fail(e, "the end of an array");
    RawTensor* const tensor = &tensors.back();  // numbers are of a tensor
    if (state_ == State::kShapeNumbers) {
      for (const uint64_t n : numbers_) {
        if (n > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
          return Reject(e, "tensor '{}' has a dimension of {} elements", tensor->name, n);
        tensor->shape.push_back(static_cast<int64_t>(n));
      }
      return Go(State::kMembers);
    }
    if (state_ == State::kOffsetNumbers) {
      if (numbers_.size() != 2)
        return Reject(e, "the data_offsets of tensor '{}' are not two numbers", tensor->name);
      tensor->begin = numbers_[0];
      tensor->end = numbers_[1];
      return Go(State::kMembers);
    }
    return Fail(e, "the end of an array");
  }

  bool on_key_part(json::string_view part, size_t, Error& e) { return Append(part, e); }
  bool on_key(json::string_view part, size_t, Error& e) {
    if (!Append(part, e)) return false;
    const std::string key = std::exchange(text_, {});
    if (state_ == State::kMetadataKeys) return true;  // its value follows
    if (state_ == State::kNames) return Name(key, e);
    if (state_ != State::kMembers) return Fail(e, "a key");
    if (key == "dtype") return Member(1, State::kDtype, key, e);
    if (key == "shape") return Member(2, State::kShape, key, e);
    if (key == "data_offsets") return Member(4, State::kOffsets, key, e);
    return Reject(e, "tensor '{}' has the unknown member '{}'", tensors.back().name, key);
  }
  bool on_string_part(json::string_view part, size_t, Error& e) {
    return state_ == State::kMetadataKeys || Append(part, e);
  }
  bool on_string(json::string_view part, size_t, Error& e) {
    if (state_ == State::kMetadataKeys) return true;  // free text that we do not use
    if (state_ != State::kDtype) return Fail(e, "a string");
    if (!Append(part, e)) return false;
    tensors.back().dtype = std::exchange(text_, {});
    return Go(State::kMembers);
  }

  bool on_number_part(json::string_view, Error&) { return true; }
  bool on_int64(int64_t n, json::string_view, Error& e) {
    if (n < 0) return Fail(e, "a negative number");
    return Number(static_cast<uint64_t>(n), e);
  }
  bool on_uint64(uint64_t n, json::string_view, Error& e) { return Number(n, e); }
  bool on_double(double, json::string_view, Error& e) {
    return Fail(e, "a number that is not an integer");
  }
  bool on_bool(bool, Error& e) { return Fail(e, "a bool"); }
  bool on_null(Error& e) { return Fail(e, "null"); }
  bool on_comment_part(json::string_view, Error&) { return true; }
  bool on_comment(json::string_view, Error&) { return true; }

 private:
  enum class State {
    kStart,
    kNames,
    kMetadata,
    kMetadataKeys,
    kTensor,
    kMembers,
    kDtype,
    kShape,
    kShapeNumbers,
    kOffsets,
    kOffsetNumbers,
    kEnd,
  };

  bool Go(State next) {
    state_ = next;
    return true;
  }

  template <typename... Args>
  bool Reject(Error& e, fmt::format_string<Args...> format, Args&&... args) {
    status = InvalidArgument("the header is invalid: {}",
                             fmt::format(format, std::forward<Args>(args)...));
    e = json::make_error_code(json::error::syntax);
    return false;
  }
  bool Fail(Error& e, std::string_view what) {
    return Reject(e, "{} is not allowed here{}", what,
                  tensors.empty() ? "" : fmt::format(" (after tensor '{}')", tensors.back().name));
  }

  bool Append(json::string_view part, Error& e) {
    if (text_.size() + part.size() > kMaxNameBytes && state_ != State::kMetadataKeys)
      return Reject(e, "a name is longer than {} bytes", kMaxNameBytes);
    text_.append(part.data(), part.size());
    return true;
  }

  bool Name(const std::string& name, Error& e) {
    if (!names_.insert(name).second) return Reject(e, "tensor '{}' occurs more than once", name);
    if (name == "__metadata__") return Go(State::kMetadata);
    if (name.empty()) return Reject(e, "a tensor has no name");
    // Names end up in messages.
    if (std::ranges::any_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f; }))
      return Reject(e, "a tensor's name contains control characters");
    if (tensors.size() == kMaxTensors)
      return Reject(e, "there are more than {} tensors", kMaxTensors);
    tensors.push_back({.name = name, .dtype = {}, .shape = {}});
    return Go(State::kTensor);
  }

  bool Member(unsigned bit, State next, const std::string& key, Error& e) {
    if ((seen_ & bit) != 0)
      return Reject(e, "tensor '{}' has '{}' more than once", tensors.back().name, key);
    seen_ |= bit;
    return Go(next);
  }

  bool Number(uint64_t n, Error& e) {
    if (state_ != State::kShapeNumbers && state_ != State::kOffsetNumbers)
      return Fail(e, "a number");
    if (numbers_.size() == kMaxDims)
      return Reject(e, "tensor '{}' has more than {} dimensions", tensors.back().name, kMaxDims);
    numbers_.push_back(n);
    return true;
  }

  State state_ = State::kStart;
  unsigned seen_ = 0;  // members of the tensor that is being read, as bits
  std::string text_;
  std::vector<uint64_t> numbers_;
  std::unordered_set<std::string> names_;
};

}  // namespace

absl::StatusOr<std::vector<RawTensor>> ParseSafetensorsHeader(std::string_view text) {
  json::parse_options options;
  options.max_depth = 4;
  json::basic_parser<Handler> parser(options);
  json::error_code error;
  const size_t parsed = parser.write_some(false, text.data(), text.size(), error);
  if (!parser.handler().status.ok()) return parser.handler().status;
  if (error)
    return InvalidArgument("the header is not valid JSON: {} near byte {}", error.message(),
                           parsed);
  if (text.substr(parsed).find_first_not_of(" \t\r\n") != std::string_view::npos)
    return InvalidArgument("the header has data after its JSON, at byte {}", parsed);
  return std::move(parser.handler().tensors);
}

}  // namespace quantfleet::pipeline
