// Bytes of a tensor whose rows have to be made whole: those that hold the bytes are made a few at a
// time, and what was asked for is copied out of them.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

// Fills `out` with the bytes from `offset` on of rows of `row_bytes` each. `make` returns `count`
// rows from row `first` on, at most `at_once` of them, valid until it is called again.
absl::Status CopyFromWholeRows(
    uint64_t row_bytes, int64_t at_once, uint64_t offset, MutableBytes out,
    const std::function<absl::StatusOr<ByteSpan>(int64_t first, int64_t count)>& make);

}  // namespace quantfleet::pipeline
