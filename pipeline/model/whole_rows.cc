#include "pipeline/model/whole_rows.h"

#include <algorithm>
#include <cstring>

namespace quantfleet::pipeline {

absl::Status CopyFromWholeRows(
    uint64_t row_bytes, int64_t at_once, uint64_t offset, MutableBytes out,
    const std::function<absl::StatusOr<ByteSpan>(int64_t first, int64_t count)>& make) {
  while (!out.empty()) {
    const uint64_t first = offset / row_bytes, skip = offset % row_bytes;
    const uint64_t count = std::min((skip + out.size() - 1) / row_bytes + 1,
                                    static_cast<uint64_t>(std::max<int64_t>(at_once, 1)));
    QF_ASSIGN_OR_RETURN(const ByteSpan rows,
                        make(static_cast<int64_t>(first), static_cast<int64_t>(count)));
    const uint64_t take = std::min(count * row_bytes - skip, uint64_t{out.size()});
    std::memcpy(out.data(), rows.data() + skip, take);
    out = out.subspan(take);
    offset += take;
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
