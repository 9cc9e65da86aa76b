// The texts of a Hugging Face folder: the first byte says which file the rest is. Whatever
// tokenizer comes out is valid, can be put together, and takes any text: its ids lie in the
// vocabulary, and have a text.
#include <cstdlib>

#include "common/base/utf8.h"
#include "pipeline/family/validate.h"
#include "pipeline/format/safetensors/hf_tokenizer.h"
#include "pipeline/model/hf_generation.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer/spm_model.h"
#include "text/tokenizer/tokenizer.h"

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
  if (!tokenizer.ok()) return 0;
  if (!pipeline::ValidateTokenizer(*tokenizer, config.hyper.vocab).ok()) std::abort();
  const auto made = quantfleet::text::MakeTokenizer(*tokenizer, "fuzz");
  if (!made.ok()) return 0;  // merges that spell no bytes, beside a name of llama.cpp's
  for (const char* sample :
       {"", "a", "the end <s> ab12\n  \xc3\xa4\xff </s>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b"}) {
    const auto ids = (*made)->EncodeWhole(sample);
    if (!ids.ok()) continue;
    for (const int32_t id : *ids) {
      if (id < 0 || id >= config.hyper.vocab) std::abort();
      (void)(*made)->Piece(id);
    }
    const std::string text = (*made)->Decode(*ids);
    if (data[0] == 'j' && !quantfleet::IsUtf8(text)) std::abort();
  }
  return 0;
}
