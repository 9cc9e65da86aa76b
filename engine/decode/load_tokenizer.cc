#include "engine/decode/load_tokenizer.h"

#include "pipeline/format/gguf/read/gguf_tokenizer.h"

namespace quantfleet::engine {

absl::StatusOr<std::unique_ptr<text::Tokenizer>> LoadTokenizer(FileSystem& files,
                                                               const fs::path& gguf) {
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(gguf, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const auto header, pipeline::GgufFile::Read(*file, gguf.string()));
  QF_ASSIGN_OR_RETURN(const text::TokenizerData data, pipeline::ReadTokenizer(header));
  QF_ASSIGN_OR_RETURN(const auto name, header.Text("general.name"));
  return text::MakeTokenizer(data, name.value_or(""));
}

}  // namespace quantfleet::engine
