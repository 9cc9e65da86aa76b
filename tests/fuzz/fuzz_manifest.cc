// Manifests from strangers: what parses has exactly one form and one name, and its chunks add up.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "pipeline/artifact/encoding.h"
#include "pipeline/artifact/manifest.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // it would print every string that is not UTF-8
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  using namespace quantfleet::pipeline;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto manifest = ParseManifest(bytes);
  if (!manifest.ok()) return 0;
  if (ManifestDigest(*manifest) != HashText(bytes)) std::abort();
  for (const v1::ArtifactFile& file : manifest->files()) {
    uint64_t sum = 0;
    for (const v1::Chunk& chunk : file.chunks()) {
      if (chunk.size() == 0 || chunk.size() > kMaxChunkBytes) std::abort();
      sum += chunk.size();
    }
    if (sum != file.size() || file.path().starts_with("../") || file.path().front() == '/')
      std::abort();
  }
  return 0;
}
