#include "pipeline/stage/slab_record.h"

#include <algorithm>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

void AppendU32(std::string& out, size_t value) {
  const auto number = static_cast<uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

// Reads what AppendU32 and Digest::raw wrote; false once the bytes are spent.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool U32(uint32_t& value) {
    if (bytes_.size() < sizeof value) return false;
    value = Load<uint32_t>(AsBytes(bytes_).data());
    bytes_.remove_prefix(sizeof value);
    return true;
  }
  bool Hash(Digest& digest) {
    if (bytes_.size() < Digest::kSize) return false;
    std::copy_n(AsBytes(bytes_).begin(), Digest::kSize, digest.bytes.begin());
    bytes_.remove_prefix(Digest::kSize);
    return true;
  }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

}  // namespace

std::string SerializeSlabRecord(const SlabRecord& record) {
  std::string out;
  AppendU32(out, record.source_blocks.size());
  for (const Digest& digest : record.source_blocks) out += digest.raw();
  AppendU32(out, record.chunks.size());
  for (const SlabRecord::Chunk& chunk : record.chunks) {
    AppendU32(out, chunk.target);
    AppendU32(out, chunk.index);
    out += chunk.digest.raw();
  }
  return out;
}

absl::StatusOr<SlabRecord> ParseSlabRecord(std::string_view bytes) {
  constexpr std::string_view kDamaged = "a slab's record is damaged";
  Reader reader(bytes);
  SlabRecord record;
  uint32_t count = 0;
  if (!reader.U32(count) || count > reader.left() / Digest::kSize) return DataLoss("{}", kDamaged);
  record.source_blocks.resize(count);
  for (Digest& digest : record.source_blocks) reader.Hash(digest);
  constexpr size_t kChunkSize = 2 * sizeof(uint32_t) + Digest::kSize;
  if (!reader.U32(count) || count != reader.left() / kChunkSize || reader.left() % kChunkSize != 0)
    return DataLoss("{}", kDamaged);
  record.chunks.resize(count);
  for (SlabRecord::Chunk& chunk : record.chunks) {
    reader.U32(chunk.target);
    reader.U32(chunk.index);
    reader.Hash(chunk.digest);
  }
  return record;
}

}  // namespace quantfleet::pipeline
