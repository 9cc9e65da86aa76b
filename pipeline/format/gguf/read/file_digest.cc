#include "pipeline/format/gguf/read/file_digest.h"

#include <algorithm>

namespace quantfleet::pipeline {

absl::StatusOr<Digest> DigestOf(const File& file) {
  QF_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  return DigestOf(file, size);
}

absl::StatusOr<Digest> DigestOf(const File& file, uint64_t size) {
  Sha256 sha;
  Bytes buffer(std::min<uint64_t>(size, size_t{1} << 20));
  for (uint64_t at = 0; at < size; at += buffer.size()) {
    const MutableBytes part =
        MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
    QF_RETURN_IF_ERROR(file.ReadAt(at, part));
    sha.Update(part);
  }
  return sha.Finish();
}

}  // namespace quantfleet::pipeline
