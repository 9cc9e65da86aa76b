// What one slab came to, and its bytes in a journal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

// Blocks of the source digest begin and end with slabs' pieces' own source blocks, which are
// power-of-two rows of at most 4 MiB of source bytes, so they do not depend on the targets.
struct SlabRecord {
  std::vector<Digest> source_blocks;
  struct Chunk {
    uint32_t target;
    uint32_t index;  // into TargetPlan::chunks
    Digest digest;
  };
  std::vector<Chunk> chunks;
};

// u32 count of source blocks, their digests, u32 count of chunks, each u32 target, u32 index,
// digest; little-endian.
std::string SerializeSlabRecord(const SlabRecord& record);
// DATA_LOSS when these are not exactly the bytes of a record.
absl::StatusOr<SlabRecord> ParseSlabRecord(std::string_view bytes);

}  // namespace quantfleet::pipeline
