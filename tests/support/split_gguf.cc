#include "tests/support/split_gguf.h"

#include <span>
#include <stdexcept>

#include "common/base/bytes.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "tests/support/memory_file.h"

namespace quantfleet::testing {
namespace {

constexpr uint32_t kU16 = 2, kI32 = 5;

template <typename T>
void Put(std::string& out, T value) {
  out.append(AsText(std::as_bytes(std::span(&value, 1))));
}

void PutText(std::string& out, std::string_view text) {
  Put(out, uint64_t{text.size()});
  out += text;
}

template <typename T>
void PutKey(std::string& out, std::string_view key, uint32_t type, T value) {
  PutText(out, key);
  Put(out, type);
  Put(out, value);
}

void Pad(std::string& out, uint64_t alignment) { out.resize(RoundUp(out.size(), alignment), '\0'); }

}  // namespace

std::vector<std::string> SplitGguf(const std::string& gguf, uint32_t count) {
  const auto file = pipeline::GgufFile::Read(MemoryFile(gguf), "whole");
  if (!file.ok()) throw std::runtime_error(std::string(file.status().message()));
  const std::vector<pipeline::GgufTensor>& tensors = file->tensors();
  std::vector<std::string> shards;
  for (uint32_t s = 0; s < count; ++s) {
    const size_t first = tensors.size() * s / count, last = tensors.size() * (s + 1) / count;
    std::string keys, infos, data;
    uint64_t key_count = 3;
    if (s == 0) {
      for (const pipeline::GgufKv& kv : file->kvs()) {
        keys += gguf.substr(kv.begin, kv.end - kv.begin);
        ++key_count;
      }
    }
    PutKey(keys, "split.no", kU16, static_cast<uint16_t>(s));
    PutKey(keys, "split.count", kU16, static_cast<uint16_t>(count));
    PutKey(keys, "split.tensors.count", kI32, static_cast<int32_t>(tensors.size()));
    for (size_t t = first; t < last; ++t) {
      PutText(infos, tensors[t].name);
      Put(infos, static_cast<uint32_t>(tensors[t].n_dims));
      for (int d = 0; d < tensors[t].n_dims; ++d)
        Put(infos, tensors[t].dims[static_cast<size_t>(d)]);
      Put(infos, Info(tensors[t].dtype).ggml->type);
      Put(infos, uint64_t{data.size()});
      data += gguf.substr(tensors[t].offset, tensors[t].size);
      Pad(data, file->alignment());
    }
    std::string& out = shards.emplace_back("GGUF");
    Put(out, uint32_t{3});
    Put(out, uint64_t{last - first});
    Put(out, key_count);
    out += keys + infos;
    Pad(out, file->alignment());
    out += data;
  }
  return shards;
}

}  // namespace quantfleet::testing
