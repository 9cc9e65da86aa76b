// The names that llama.cpp gives the files of one GGUF model in several: NAME-00002-of-00003.gguf.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantfleet::pipeline {

struct ShardName {
  std::string model;    // NAME
  uint32_t number = 1;  // from 1
  uint32_t count = 1;   // at most 99,999

  // The name of another one of them.
  std::string File(uint32_t other) const;
};

// nullopt: not such a name, or a number beyond the count.
std::optional<ShardName> ParseShardName(std::string_view file);

}  // namespace quantfleet::pipeline
