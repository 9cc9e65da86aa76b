// The texts of a Hugging Face folder: the first byte says which file the rest is. Whatever
// tokenizer comes out is valid.
#include <cstdlib>

#include "pipeline/family/validate.h"
#include "pipeline/format/safetensors/hf_tokenizer.h"
#include "pipeline/model/hf_generation.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer/spm_model.h"

namespace pipeline = quantfleet::pipeline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  pipeline::HfConfig config;
  config.family = pipeline::FindFamily("phi3");
  config.hyper.vocab = 300;
  pipeline::HfTokenizerFiles files;
  static const std::string spm =
      quantfleet::testing::SpmModelBytes(quantfleet::testing::TinySpmPieces(config.hyper.vocab));
  switch (data[0]) {
    case 'm':
      files.model = std::move(text);
      break;
    case 'j':
      files.tokenizer_json = std::move(text);
      break;
    case 'c':
      files.model = spm;
      files.tokenizer_config = std::move(text);
      break;
    case 'a':
      files.model = spm;
      files.added_tokens = std::move(text);
      break;
    case 'h': {
      const auto parsed = pipeline::ParseHfConfig(text);
      if (parsed.ok() && !pipeline::ValidateHyperparameters(*parsed->family, parsed->hyper).ok())
        std::abort();
      return 0;
    }
    case 'g': {
      const auto parsed = pipeline::ParseHfGeneration(text, config.hyper.vocab);
      if (!parsed.ok()) return 0;
      files.model = spm;
      config.ends = parsed->ends;
      break;
    }
    default:
      return 0;
  }
  const auto tokenizer = pipeline::BuildTokenizer(files, config);
  if (tokenizer.ok() && !pipeline::ValidateTokenizer(*tokenizer, config.hyper.vocab).ok())
    std::abort();
  return 0;
}
