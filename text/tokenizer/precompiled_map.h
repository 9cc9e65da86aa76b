// SentencePiece's compiled table of what replaces what ("Precompiled" in tokenizer.json): a double
// array of prefixes, and the texts that it points into. Immutable, therefore thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

class PrecompiledMap {
 public:
  // From base64. INVALID_ARGUMENT for a table that does not fit its lengths.
  static absl::StatusOr<PrecompiledMap> Create(std::string_view base64);

  // False where the text would have more than `most` bytes.
  bool Apply(std::string& text, size_t most) const;

 private:
  // What replaces a text that begins with a prefix in the table: as `tokenizers` does, the
  // shortest.
  std::optional<std::string_view> Find(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ends with a zero
};

}  // namespace quantfleet::text
