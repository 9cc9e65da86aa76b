// GGUF: the header alone, the tokenizer of a vocabulary file, and the whole way to a description.
// Whatever is accepted has to keep its promises: tensors lie inside the file, and their bytes can
// be read.
#include <cstdlib>

#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/gguf/write/as_is.h"
#include "pipeline/format/gguf/write/gguf_target.h"
#include "tests/support/memory_file.h"
#include "text/tokenizer/end_tokens.h"

using quantfleet::Bytes;
using quantfleet::testing::MemoryFile;
using quantfleet::testing::MemoryFileSystem;
namespace pipeline = quantfleet::pipeline;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckHeader(const std::string& bytes) {
  const auto file = pipeline::GgufFile::Read(MemoryFile(bytes), "input");
  if (!file.ok()) return;
  for (const pipeline::GgufTensor& tensor : file->tensors()) {
    Require(tensor.offset % file->alignment() == 0);
    Require(tensor.offset >= file->data_offset() && tensor.offset + tensor.size <= bytes.size());
  }
  const auto tokenizer = pipeline::ReadTokenizer(*file);
  if (tokenizer.ok())
    for (const int32_t id : quantfleet::text::EndIds(*tokenizer))
      Require(static_cast<size_t>(id) < tokenizer->tokens.size());
  if (tokenizer.ok() && tokenizer->bos)
    Require(static_cast<size_t>(*tokenizer->bos) < tokenizer->tokens.size());
}

// Taken as it is, the model is whole: every byte of the file is a weight's or is known.
void CheckAsIs(const pipeline::GgufSource& source, const std::string* file) {
  const auto layout = pipeline::PlanAsIs(source, *pipeline::FindRecipe("as-is"), false);
  if (!layout.ok()) return;
  const pipeline::ModelDescription& model = source.description();
  std::string made(layout->files[0].size, '?');
  uint64_t known = 0;
  const auto put = [&](uint64_t offset, std::string_view bytes) {
    Require(offset <= made.size() && bytes.size() <= made.size() - offset);
    made.replace(offset, bytes.size(), bytes);
    known += bytes.size();
  };
  for (const pipeline::FixedBytes& fixed : layout->files[0].fixed) put(fixed.offset, fixed.bytes);
  for (const pipeline::PlacedPiece& placed : layout->pieces) {
    const pipeline::Piece& piece = model.pieces[placed.piece];
    const int64_t row = pipeline::RowBytes(placed.dtype, piece.dims == 1 ? 1 : piece.cols);
    Bytes bytes(static_cast<size_t>(piece.rows * pipeline::RowBytes(placed.dtype, piece.cols)));
    Require(source.Read(piece.tensor, static_cast<uint64_t>(piece.first_row * row), bytes).ok());
    put(placed.offset, quantfleet::AsText(bytes));
    put(placed.offset + bytes.size(), std::string(placed.padding, '\0'));
  }
  Require(known == made.size());
  Require(file == nullptr || made == *file);
}

void CheckSource(const std::string& bytes) {
  MemoryFileSystem files;
  files.Put("input.gguf", bytes);
  const auto source = pipeline::GgufSource::Open(files, "input.gguf");
  if (!source.ok()) return;
  CheckAsIs(**source, &bytes);
  const pipeline::ModelDescription& model = (*source)->description();
  for (const pipeline::Piece& piece : model.pieces) {
    const pipeline::SourceTensor& tensor = model.tensors[piece.tensor];
    Bytes row(static_cast<size_t>(pipeline::RowBytes(tensor.dtype, tensor.cols)));
    const int64_t last = piece.dims == 1 ? 0 : piece.first_row + piece.rows - 1;
    Require((*source)->Read(piece.tensor, static_cast<uint64_t>(last) * row.size(), row).ok());
  }
  for (const pipeline::Recipe& recipe : pipeline::Recipes())
    (void)pipeline::PlanGguf(model, (*source)->attachments(), recipe).ok();
}

// An input with a second file in it is a model in two.
void CheckSplit(const std::string& bytes) {
  const size_t second = bytes.find("GGUF", 4);
  if (second == std::string::npos) return;
  MemoryFileSystem files;
  files.Put("m-00001-of-00002.gguf", bytes.substr(0, second));
  files.Put("m-00002-of-00002.gguf", bytes.substr(second));
  const auto source = pipeline::GgufSource::Open(files, "m-00001-of-00002.gguf");
  if (source.ok()) CheckAsIs(**source, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  CheckHeader(bytes);
  CheckSource(bytes);
  CheckSplit(bytes);
  return 0;
}
