// A GGUF model in several files, as llama-gguf-split makes them of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::testing {

// The files' contents, in order: `count` of them with about as many tensors each, all keys in the
// first. `gguf` is a whole, valid file. Failing throws std::runtime_error.
std::vector<std::string> SplitGguf(const std::string& gguf, uint32_t count);

}  // namespace quantfleet::testing
