// XML from strangers: what is read of it lies in the .bin and takes the bytes that its shape asks
// for.
#include <cstdlib>

#include "pipeline/format/openvino/ir_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet::pipeline;
  constexpr uint64_t kBin = 1 << 16;
  const auto constants =
      ReadIrConstants({reinterpret_cast<const char*>(data), size}, "fuzz.xml", kBin);
  if (!constants.ok()) return 0;
  for (const IrConstant& constant : *constants) {
    if (constant.offset > kBin || constant.size > kBin - constant.offset) std::abort();
    if (constant.type.empty() || constant.shape.size() > 8) std::abort();
    uint64_t elements = 1;
    for (const int64_t dim : constant.shape) {
      if (dim < 0) std::abort();
      elements *= static_cast<uint64_t>(dim);
    }
    if (elements / 2 > constant.size) std::abort();  // no type takes less than half a byte
  }
  return 0;
}
