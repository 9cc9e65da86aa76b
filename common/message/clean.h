// Protobuf messages from outside, or that may hold text from outside. A string field whose bytes
// are not UTF-8 is written without complaint and makes the whole message unreadable; and fields
// that a program does not know are kept and stored for whoever sent them. So both are mended in the
// bytes: text becomes valid (ValidText), unknown fields go. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet {

// Messages may lie in each other so deep; ours lie five deep.
inline constexpr int kMaxMessageDepth = 32;

// The bytes of a message of that type. INVALID_ARGUMENT: they are not one.
absl::StatusOr<std::string> CleanBytes(const google::protobuf::Descriptor& type,
                                       std::string_view bytes);

// From bytes that came from outside.
template <typename Message>
absl::StatusOr<Message> ParseClean(std::string_view bytes) {
  QF_ASSIGN_OR_RETURN(const std::string clean, CleanBytes(*Message::descriptor(), bytes));
  Message message;
  if (!message.ParseFromString(clean))
    return InvalidArgument("the bytes are not a {}", Message::descriptor()->name());
  return message;
}

// To bytes that ParseFromString reads, whatever the message's strings hold.
std::string SerializeClean(const google::protobuf::Message& message);

}  // namespace quantfleet
