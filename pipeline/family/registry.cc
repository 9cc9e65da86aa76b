// The families, in the order in which messages name them. Each is described in its own file.
#include <vector>

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Phi3();
const Family& Llama();
const Family& Qwen2();
const Family& Qwen3();
const Family& Qwen3Moe();
const Family& Phimoe();
const Family& GptOss();
const Family& Phi2();
const Family& Granite();
const Family& Smollm3();
const Family& Gemma();
const Family& Gemma2();
const Family& Gemma3();
const Family& Bert();

std::span<const Family* const> Families() {
  static const Family* const families[] = {
      &Phi3(), &Llama(),   &Qwen2(),   &Qwen3(), &Qwen3Moe(), &Phimoe(), &GptOss(),
      &Phi2(), &Granite(), &Smollm3(), &Gemma(), &Gemma2(),   &Gemma3(), &Bert(),
  };
  return families;
}

std::span<const Family* const> Decoders() {
  static const std::vector<const Family*> decoders = [] {
    std::vector<const Family*> out;
    for (const Family* family : Families())
      if (!family->encoder) out.push_back(family);
    return out;
  }();
  return decoders;
}

}  // namespace quantfleet::pipeline
