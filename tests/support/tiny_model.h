// Tiny random models as HF folders, so that tests of every room have real input: config.json,
// safetensors (one file or shards with an index), a SentencePiece BPE tokenizer.model of its own,
// tokenizer_config.json and LICENSE. The same options give the same bytes. Failing to write throws
// std::runtime_error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/tensor/dtype.h"

namespace quantfleet::testing {

struct TinyModelOptions {
  int64_t hidden = 64, intermediate = 96, layers = 2, heads = 4, kv_heads = 2;
  int64_t head_dim = 0;                                       // 0: hidden / heads
  int64_t experts = 6, experts_used = 2, expert_width = 128;  // of families that have experts
  int64_t vocab = 320;                                        // at least 300
  int64_t context = 256;
  pipeline::DType dtype = pipeline::DType::kBF16;  // F32, F16, BF16
  int shards = 1;
  bool tied = false;
  uint64_t seed = 1;
  std::string rope_scaling = "null";   // JSON
  std::string generation_config = {};  // generation_config.json; empty: none
  std::vector<std::string> added =
      {};                         // control tokens at the end of the vocabulary, in place of pieces
  std::string extra_config = {};  // JSON members that go into config.json, as ", \"name\": value"
};

// `family`: Family::name.
void WriteTinyModel(const std::filesystem::path& dir, std::string_view family,
                    const TinyModelOptions& options = {});

// A LoRA adapter as peft saves it, of rank 2 and scale 2, trained on "some/base": of the module
// ("model.layers.0.mlp.down_proj"), whose weight is rows x cols. All values of A and B are `value`.
void WriteTinyAdapter(const std::filesystem::path& dir, std::string_view module, int64_t rows,
                      int64_t cols, float value = 0.5F);

// Makes an embedding model of the model there: "pooling_mode_mean_tokens".
void WritePooling(const std::filesystem::path& dir, std::string_view flag);

// The pieces of WriteTinyModel, for tests that bend one of them.
std::string TinyConfig(std::string_view family, const TinyModelOptions& options);

struct SpmPiece {
  std::string text;
  float score = 0;
  int type = 1;  // as sentencepiece_model.proto numbers them
};
struct SpmOptions {
  int model_type = 2;  // 1 unigram, 2 BPE
  bool add_dummy_prefix = true;
  int bos = 1, eos = 2, unknown = 0, padding = -1;
};
// <unk> <s> </s>, 256 bytes, then letters and merges up to `vocab`.
std::vector<SpmPiece> TinySpmPieces(int64_t vocab);
// A serialized sentencepiece ModelProto.
std::string SpmModelBytes(const std::vector<SpmPiece>& pieces, const SpmOptions& options = {});

// u64 length, header, data.
std::string SafetensorsBytes(std::string_view header_json, std::string_view data);

void WriteFile(const std::filesystem::path& path, std::string_view bytes);

}  // namespace quantfleet::testing
