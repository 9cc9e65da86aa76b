#include "common/message/clean.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "common/base/outside_text.h"

namespace quantfleet {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;
using Wire = google::protobuf::internal::WireFormatLite;

// How a field stands in the bytes. Numbers that are repeated may also come packed.
bool Fits(const FieldDescriptor& field, Wire::WireType type) {
  const auto own = Wire::WireTypeForFieldType(static_cast<Wire::FieldType>(field.type()));
  return type == own || (type == Wire::WIRETYPE_LENGTH_DELIMITED && field.is_packable());
}

bool CopyClean(const Descriptor& message, std::string_view bytes, int depth,
               CodedOutputStream& out);

bool CopyDelimited(const FieldDescriptor& field, uint32_t tag, std::string_view content, int depth,
                   CodedOutputStream& out) {
  std::string made;
  if (field.type() == FieldDescriptor::TYPE_STRING) {
    made = ValidText(content);
    content = made;
  } else if (field.type() == FieldDescriptor::TYPE_MESSAGE) {
    {
      StringOutputStream stream(&made);
      CodedOutputStream inner(&stream);
      if (!CopyClean(*field.message_type(), content, depth - 1, inner)) return false;
    }
    content = made;
  }
  out.WriteTag(tag);
  out.WriteVarint32(static_cast<uint32_t>(content.size()));
  out.WriteRaw(content.data(), static_cast<int>(content.size()));
  return true;
}

bool CopyClean(const Descriptor& message, std::string_view bytes, int depth,
               CodedOutputStream& out) {
  if (depth == 0) return false;
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  in.SetRecursionLimit(kMaxMessageDepth);  // of unknown groups
  while (static_cast<size_t>(in.CurrentPosition()) < bytes.size()) {
    const auto begin = static_cast<size_t>(in.CurrentPosition());
    const uint32_t tag = in.ReadTag();
    if (tag == 0) return false;
    const Wire::WireType type = Wire::GetTagWireType(tag);
    const FieldDescriptor* field = message.FindFieldByNumber(Wire::GetTagFieldNumber(tag));
    const bool known = field != nullptr && Fits(*field, type);
    if (known && type == Wire::WIRETYPE_LENGTH_DELIMITED) {
      uint32_t size = 0;
      if (!in.ReadVarint32(&size)) return false;
      const auto from = static_cast<size_t>(in.CurrentPosition());
      if (size > bytes.size() - from || !in.Skip(static_cast<int>(size))) return false;
      if (!CopyDelimited(*field, tag, bytes.substr(from, size), depth, out)) return false;
      continue;
    }
    if (!Wire::SkipField(&in, tag)) return false;
    if (!known) continue;
    const std::string_view whole =
        bytes.substr(begin, static_cast<size_t>(in.CurrentPosition()) - begin);
    out.WriteRaw(whole.data(), static_cast<int>(whole.size()));
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> CleanBytes(const Descriptor& type, std::string_view bytes) {
  std::string clean;
  bool good = bytes.size() <= static_cast<size_t>(INT32_MAX);
  if (good) {
    clean.reserve(bytes.size());
    StringOutputStream stream(&clean);
    CodedOutputStream out(&stream);
    good = CopyClean(type, bytes, kMaxMessageDepth, out);
  }
  if (!good) return InvalidArgument("the bytes are not a {}", type.name());
  return clean;
}

std::string SerializeClean(const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  // What was written here is read here.
  auto clean = CleanBytes(*message.GetDescriptor(), bytes);
  return clean.ok() ? *std::move(clean) : bytes;
}

}  // namespace quantfleet
