// The header of a GGUF file (versions 2 and 3) as typed values. The file is untrusted: every count,
// length and offset is checked against what the file really holds before anything is allocated, so
// that memory stays within a small multiple of the header's own bytes. Layout:
// docs/formats/gguf.md. Immutable after Read, so thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/file.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
std::string_view Name(GgufType type);  // "u32"

struct GgufArray {
  GgufType element = GgufType::kU8;  // never kArray
  uint64_t count = 0;
  std::string raw;                   // numbers and bools, as the file holds them
  std::vector<std::string> strings;  // kString only
};

// Unsigned and signed integers and floats of every width, widened.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

struct GgufKv {
  std::string key;
  GgufType type;
  GgufValue value;
  uint64_t begin = 0, end = 0;  // where the file has it, key and value
};

struct GgufTensor {
  std::string name;
  DType dtype = DType::kF32;
  int n_dims = 1;
  std::array<int64_t, 4> dims{1, 1, 1, 1};  // fastest first: dims[0] is the length of a row
  uint64_t offset = 0;                      // absolute, in the file
  uint64_t size = 0;                        // without padding
  uint32_t shard = 0;                       // the file that has it, of a model in several
};

class GgufFile {
 public:
  // `name` is what messages call the file. Errors: INVALID_ARGUMENT (not GGUF, or a header that
  // contradicts itself), DATA_LOSS (the file ends too early), UNIMPLEMENTED (a version or tensor
  // type that we do not read).
  static absl::StatusOr<GgufFile> Read(const File& file, std::string_view name);
  // Takes over the tensors of another file of the same model, which is its file `index`.
  // INVALID_ARGUMENT where one of them is in both.
  absl::Status TakeShard(const GgufFile& shard, uint32_t index);
  // True when the file begins as GGUF files do.
  static bool HasMagic(const File& file);

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }
  uint64_t data_offset() const { return data_offset_; }    // where tensor data begin, aligned
  uint64_t header_size() const { return header_size_; }    // before the padding
  const std::vector<GgufKv>& kvs() const { return kvs_; }  // in the file's order
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in the file's order

  const GgufKv* Find(std::string_view key) const;
  const GgufTensor* FindTensor(std::string_view tensor) const;

  // The value of a key, nullopt (nullptr) when absent, INVALID_ARGUMENT naming file and key when of
  // another type.
  absl::StatusOr<std::optional<int64_t>> Integer(
      std::string_view key) const;  // any width that fits
  absl::StatusOr<std::optional<double>> Float(std::string_view key) const;
  absl::StatusOr<std::optional<bool>> Bool(std::string_view key) const;
  absl::StatusOr<std::optional<std::string>> Text(std::string_view key) const;
  absl::StatusOr<const std::vector<std::string>*> Strings(std::string_view key) const;
  absl::StatusOr<std::optional<std::vector<float>>> Floats(
      std::string_view key) const;  // array of f32
  absl::StatusOr<std::optional<std::vector<int32_t>>> Integers(
      std::string_view key) const;  // array of i32 or u32

 private:
  friend class GgufParser;
  absl::Status WrongType(const GgufKv& kv, std::string_view wanted) const;

  std::string name_;
  uint32_t version_ = 0;
  uint32_t alignment_ = 32;
  uint64_t data_offset_ = 0;
  uint64_t header_size_ = 0;
  std::vector<GgufKv> kvs_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> kv_index_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace quantfleet::pipeline
