// Whether bytes from anybody may become a message: a message takes many times what its bytes do, so
// what it would consist of is counted before it is made. Pure.
#pragma once

#include <string_view>

#include "common/base/status.h"

namespace google::protobuf {
class Descriptor;
}

namespace quantfleet::daemon {

struct MessageBounds {
  size_t bytes;
  size_t fields = 1024;  // in all, each element and each sub-message for itself
  int depth = 8;         // of sub-messages
};

// RESOURCE_EXHAUSTED: more than that; INVALID_ARGUMENT: no message at all.
absl::Status CheckMessage(std::string_view bytes, const google::protobuf::Descriptor& type,
                          const MessageBounds& bounds);

}  // namespace quantfleet::daemon
