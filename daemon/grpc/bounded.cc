#include "daemon/grpc/bounded.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

namespace quantfleet::daemon {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

class Walk {
 public:
  Walk(std::string_view bytes, const MessageBounds& bounds)
      : in_(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size())),
        fields_left_(bounds.fields) {
    in_.PushLimit(static_cast<int>(bytes.size()));  // so that the stream knows what is left
  }

  absl::Status Message(const Descriptor& type, int depth_left) {
    while (const uint32_t tag = in_.ReadTag()) {
      if (fields_left_-- == 0) return ResourceExhausted("the message has too many fields");
      QF_RETURN_IF_ERROR(Field(type, tag, depth_left));
    }
    return in_.ConsumedEntireMessage() ? absl::OkStatus() : Malformed();
  }

 private:
  static absl::Status Malformed() { return InvalidArgument("the message is malformed"); }

  absl::Status Field(const Descriptor& type, uint32_t tag, int depth_left) {
    const auto kind = WireFormatLite::GetTagWireType(tag);
    // Groups belong to another syntax; what is in them would have to be counted, too.
    if (kind == WireFormatLite::WIRETYPE_START_GROUP || kind == WireFormatLite::WIRETYPE_END_GROUP)
      return Malformed();
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const bool message = kind == WireFormatLite::WIRETYPE_LENGTH_DELIMITED && field != nullptr &&
                         field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!message) return WireFormatLite::SkipField(&in_, tag) ? absl::OkStatus() : Malformed();
    if (depth_left == 0) return ResourceExhausted("the message is nested too deeply");
    uint32_t size = 0;
    if (!in_.ReadVarint32(&size) || static_cast<int64_t>(size) > in_.BytesUntilLimit())
      return Malformed();
    const auto outer = in_.PushLimit(static_cast<int>(size));
    QF_RETURN_IF_ERROR(Message(*field->message_type(), depth_left - 1));
    in_.PopLimit(outer);
    return absl::OkStatus();
  }

  CodedInputStream in_;
  size_t fields_left_;
};

}  // namespace

absl::Status CheckMessage(std::string_view bytes, const Descriptor& type,
                          const MessageBounds& bounds) {
  if (bytes.size() > bounds.bytes)
    return ResourceExhausted("the message has {} bytes; this call takes at most {}", bytes.size(),
                             bounds.bytes);
  return Walk(bytes, bounds).Message(type, bounds.depth);
}

}  // namespace quantfleet::daemon
