// Stored records of each kind, whatever the disk made of them: refused, or read, and then the same
// when they are written and read again.
#include <cstdlib>

#include "common/message/clean.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace {

using namespace quantfleet;

template <typename Message>
void Check(std::string_view bytes) {
  const auto read = ParseClean<Message>(bytes);
  if (!read.ok()) return;
  const std::string written = SerializeClean(*read);
  const auto again = ParseClean<Message>(written);
  if (!again.ok() || SerializeClean(*again).size() != written.size()) std::abort();
  // What protobuf itself reads without a loss loses nothing here either.
  Message plain;
  if (!plain.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  plain.DiscardUnknownFields();
  if (plain.ByteSizeLong() != read->ByteSizeLong()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Check<v1::Job>(bytes);
  Check<v1::Device>(bytes);
  Check<v1::ModelStatus>(bytes);
  Check<v1::Artifact>(bytes);
  Check<v1::Rollout>(bytes);
  Check<v1::RolloutDevice>(bytes);
  Check<v1::PendingDevice>(bytes);
  Check<v1::EnrollmentToken>(bytes);
  Check<v1::Signed>(bytes);
  return 0;
}
