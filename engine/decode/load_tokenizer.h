// The tokenizer of a GGUF file, which may hold a vocabulary only.
#pragma once

#include <memory>

#include "common/base/file.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::engine {

absl::StatusOr<std::unique_ptr<text::Tokenizer>> LoadTokenizer(FileSystem& files,
                                                               const fs::path& gguf);

}  // namespace quantfleet::engine
