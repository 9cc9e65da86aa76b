// What a model is, whatever file it came in: family, hyper-parameters, tokenizer, and every tensor
// cut into logical pieces with a role. Behind this header no code knows a source format's tensor
// names. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/embedding_use.h"
#include "pipeline/model/role.h"
#include "pipeline/model/sampling.h"
#include "pipeline/tensor/dtype.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::pipeline {

struct Family;  // pipeline/family/family.h

// How the rows of q and k (weights and biases) stand: as HF has them (rotate halves), or
// interleaved per head as GGUF wants them for llama (HF row h*d/2+i -> row 2i+h of each head of d
// rows, h in {0,1}).
enum class RowOrder { kHf, kInterleaved };

struct SourceTensor {
  std::string name;  // as the source spells it, for messages
  DType dtype;
  int64_t rows, cols;    // a 1-D tensor has rows 1, a 3-D tensor those of all its matrices
  int dims;              // 1 to 3
  int64_t matrices = 1;  // of a 3-D tensor, one upon the other
  // How its file has it quantized ("gptq") where the source makes `dtype` of that; else empty.
  std::string packed = {};
};

struct Piece {
  Role role;
  int layer = -1;      // -1: not of a layer
  int64_t rows, cols;  // 1-D: rows 1
  int dims;
  size_t tensor;      // index into ModelDescription::tensors
  int64_t first_row;  // where in that tensor the piece begins; a 1-D piece of a fused 1-D tensor
                      // counts columns
  RowOrder order = RowOrder::kHf;
  float lacks = 0;   // what the tensor's values have to be increased by, to be those computed with
  int expert = -1;   // -1: not of an expert
  int64_t step = 1;  // rows of the tensor from one of the piece to the next, which others have
};

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLongRope, kLlama3, kYarn } kind = Kind::kNone;
  float factor = 1;                                 // linear, llama3, yarn
  float beta_fast = 32, beta_slow = 1;              // yarn: turns within the original context
  float low_freq_factor = 1, high_freq_factor = 4;  // llama3
  std::vector<float> long_factors = {}, short_factors = {};  // longrope, rope_dims/2 each
  std::vector<float> freq_factors = {};        // llama3 as a GGUF source stores them (rope_freqs)
  std::optional<float> attention_factor = {};  // longrope
};

struct Hyperparameters {
  int64_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t vocab = 0, context = 0, original_context = 0;  // original_context = context when unscaled
  int64_t rope_dims = 0;                                 // < head_dim: partial rotary
  int64_t sliding_window = 0;                            // 0: none
  // Of a model whose context ends with its window, because most runtimes know no windows: how far
  // it goes where attention has one of `context`. 0: no further.
  int64_t windowed_context = 0;
  int64_t token_types = 0;  // of an encoder, which has one at least
  // Of a model whose attention has windows: every n-th layer sees all positions, the others as many
  // as sliding_window says. 0: no layer of it slides, whatever sliding_window says.
  int64_t full_every = 0;
  // By which sliding layers turn, without the scaling of the others; 0: they turn as the others do.
  float sliding_rope_theta = 0;
  // Of families whose feed-forward parts are experts; otherwise 0. Each token goes through
  // experts_used of a layer's experts, which widen it to expert_width.
  int64_t experts = 0, experts_used = 0, expert_width = 0;
  float norm_epsilon = 1e-5f, rope_theta = 10000.f;
  RopeScaling rope_scaling = {};
  bool tied_embeddings = false;
  // Scalars that some families' models name (Family::scalars); the defaults change nothing.
  float embedding_scale = 1;  // of what the embedding looks up
  float attention_scale = 0;  // of queries times keys; 0: 1 / sqrt(head_dim)
  float residual_scale = 1;   // of what attention and the feed-forward part add
  float logit_divisor = 1;
  // cap * tanh(x / cap) of each score and each logit; 0: they stay as they are.
  float score_cap = 0, logit_cap = 0;
};

// Positions that the layer's attention sees, a token's own among them; 0: all in front of it.
int64_t WindowOf(const Hyperparameters& hyper, int64_t layer);
// How many layers see a window alone.
int64_t SlidingLayers(const Hyperparameters& hyper);

// What queries times keys are multiplied by.
float AttentionScale(const Hyperparameters& hyper);

struct ModelDescription {
  const Family* family = nullptr;  // one of Families(); never null once a source has filled it
  std::string name;                // for people: general.name or the folder's name
  // The name that the model itself carries (GGUF's general.name, config.json's _name_or_path),
  // which artifacts carry on; empty where it has none, because an artifact must not depend on where
  // its source lay.
  std::string published_name;
  Hyperparameters hyper;
  text::TokenizerData tokenizer;
  SamplingDefaults sampling;
  std::optional<EmbeddingUse> embedding;  // nullopt: the model generates text
  std::vector<SourceTensor> tensors;
  std::vector<Piece> pieces;  // in canonical order: embedding, layers ascending with roles in the
                              // family's order and of an expert's role all experts, norm, head

  // Of an expert's role the first expert's.
  const Piece* Find(Role role, int layer = -1) const;
  int64_t Parameters() const;

  // What a source's files say that nobody would expect, for people.
  std::vector<std::string> notes = {};
};

// Whether it is what logits are made with: the output head, or the embedding where they are tied. A
// model that makes embeddings has none.
bool IsHead(const ModelDescription& model, const Piece& piece);

// Whether its file has it as codes.
bool IsQuantized(const SourceTensor& tensor);

// A sentence for people about what quantizing further costs; empty where all weights are floats.
std::string QuantizedNote(const ModelDescription& model);

// The notes, and what the model lacks: sentences for people.
std::vector<std::string> WarningsOf(const ModelDescription& model);

// The name if artifacts may carry it (1 to 128 bytes of UTF-8 without control characters), else "".
std::string PublishableName(std::string_view name);

}  // namespace quantfleet::pipeline
