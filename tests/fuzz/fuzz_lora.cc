// An adapter's two files: one line of adapter_config.json, then adapter_model.safetensors. Whatever
// is accepted is read to its end, within the file. The line is a list of adapters too, which names
// nothing outside its folder.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "pipeline/format/safetensors/adapter_list.h"
#include "pipeline/format/safetensors/lora_adapter.h"
#include "tests/support/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  using namespace quantfleet::pipeline;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  testing::MemoryFileSystem files;
  files.Put("a/adapter_config.json", std::string(input.substr(0, line)));
  files.Put("a/adapter_model.safetensors", std::string(input.substr(std::min(line + 1, size))));
  files.Put(fs::path("a") / kAdapterList, std::string(input.substr(0, line)));
  if (const auto list = ReadAdapterList(files, "a"); list.ok())
    for (const LoraChoice& choice : *list)
      if (choice.folder.lexically_normal().parent_path() != "a/adapters") std::abort();
  const auto adapter = LoraAdapter::Open(files, "a", 0.5);
  if (!adapter.ok()) return 0;
  for (const LoraDelta& delta : adapter->deltas()) {
    std::vector<float> left, right;
    if (delta.rows < 1 || delta.cols < 1 || delta.rank < 1) std::abort();
    if (!delta.ReadLeft(delta.rows - 1, 1, left).ok() || !delta.ReadRight(right).ok()) std::abort();
    if (left.size() != static_cast<size_t>(delta.rank)) std::abort();
    if (right.size() != static_cast<size_t>(delta.rank * delta.cols)) std::abort();
  }
  return 0;
}
