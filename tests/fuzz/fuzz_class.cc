// Device classes: refused with a reason, or one that is read again from what it says.
#include <cstdlib>

#include "daemon/fleet/device_class.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = daemon::ParseDeviceClass(text);
  if (!parsed.ok()) return 0;
  v1::Device device;
  device.mutable_facts()->set_arch("x86_64");
  device.mutable_facts()->set_memory_total_bytes(uint64_t{4} << 30);
  daemon::Classify(device, {*parsed});
  if (device.class_reason().empty() && device.device_class() != parsed->name) std::abort();
  return 0;
}
