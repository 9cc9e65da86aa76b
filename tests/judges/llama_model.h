// A GGUF model that llama.cpp runs on the CPU, for judges of likelihood and of importance. Errors
// are std::runtime_error.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/judges/llama_library.h"

namespace quantfleet::judges {

using Token = int32_t;
struct GgmlTensor;

// llama.h of the pinned version. What is behind the members that are named here is passed on as the
// library's own defaults have it, so only a beginning has to be right, which Llama checks.
struct ModelParams {
  void *devices, *overrides;
  int32_t gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
  const float* tensor_split;
  unsigned char rest[256];
};
struct ContextParams {
  uint32_t context, batch, micro_batch, sequences, snapshots, outputs, outputs_each;
  int32_t threads, batch_threads, kind, rope_scaling, pooling, attention, flash_attention;
  float rope_base, rope_scale, yarn_extension, yarn_attention, yarn_fast, yarn_slow;
  uint32_t yarn_original;
  float defragmentation;
  bool (*on_tensor)(GgmlTensor* tensor, bool ask, void* user);  // after each operation
  void* user;
  int32_t key_type, value_type;  // of enum ggml_type
  unsigned char rest[256];
};
struct Batch {
  int32_t count;
  Token* token;
  float* embedding;
  int32_t* position;
  int32_t* sequences;
  int32_t** sequence;
  int8_t* wanted;
};

// The library's functions. Its log is silent.
struct Llama {
  ModelParams (*default_model)();
  ContextParams (*default_context)();
  void* (*load)(const char* path, ModelParams params);
  void* (*start)(void* model, ContextParams params);
  const void* (*vocabulary)(const void* model);
  int32_t (*words)(const void* vocabulary);
  bool (*adds_bos)(const void* vocabulary);
  Token (*bos)(const void* vocabulary);
  int32_t (*tokenize)(const void* vocabulary, const char* text, int32_t size, Token* tokens,
                      int32_t most, bool add_special, bool parse_special);
  int32_t (*decode)(void* context, Batch batch);
  float* (*logits)(void* context, int32_t index);
  void* (*memory)(void* context);
  void (*clear)(void* memory, bool data);
  const char* (*operation)(int32_t op);  // its name

  explicit Llama(const std::filesystem::path& folder) {
    void* base = Open(folder, "libggml-base");
    void* ggml = Open(folder, "libggml");
    void* llama = Open(folder, "libllama");
    void (*log_set)(void (*)(int, const char*, void*), void*);
    Require(llama, "llama_log_set", log_set);
    log_set([](int, const char*, void*) {}, nullptr);
    void (*load_backends)(const char* folder);
    Require(ggml, "ggml_backend_load_all_from_path", load_backends);
    load_backends(folder.c_str());
    Require(base, "ggml_op_name", operation);
    Require(llama, "llama_model_default_params", default_model);
    Require(llama, "llama_context_default_params", default_context);
    Require(llama, "llama_model_load_from_file", load);
    Require(llama, "llama_init_from_model", start);
    Require(llama, "llama_model_get_vocab", vocabulary);
    Require(llama, "llama_vocab_n_tokens", words);
    Require(llama, "llama_vocab_get_add_bos", adds_bos);
    Require(llama, "llama_vocab_bos", bos);
    Require(llama, "llama_tokenize", tokenize);
    Require(llama, "llama_decode", decode);
    Require(llama, "llama_get_logits_ith", logits);
    Require(llama, "llama_get_memory", memory);
    Require(llama, "llama_memory_clear", clear);
    const ContextParams made = default_context();
    if (made.context != 512 || made.batch != 2048 || made.micro_batch != 512 ||
        made.sequences != 1 || made.threads != 4 || made.batch_threads != 4 ||
        made.flash_attention != -1 || made.rope_base != 0 || made.yarn_slow != -1 ||
        made.on_tensor != nullptr || made.user != nullptr || made.key_type != 1 ||
        made.value_type != 1)
      throw std::runtime_error("llama_context_params is laid out otherwise than declared here");
  }

 private:
  static void* Open(const std::filesystem::path& folder, const char* name) {
    void* const library = OpenLibrary(folder, name);
    if (library == nullptr)
      throw std::runtime_error(std::string("cannot open ") + name + " in " + folder.string());
    return library;
  }
  template <typename Function>
  static void Require(void* library, const char* name, Function& function) {
    function = FindFunction<Function>(library, name);
    if (function == nullptr) throw std::runtime_error(std::string("no ") + name + " there");
  }
};

// Attention is computed without the flash attention that rounds to F16.
class LlamaModel {
 public:
  LlamaModel(const Llama& llama, const std::string& path, ContextParams params) : llama_(llama) {
    void* const model = llama.load(path.c_str(), llama.default_model());
    if (model == nullptr) throw std::runtime_error("llama.cpp cannot load " + path);
    params.flash_attention = 0;
    context_ = llama.start(model, params);
    if (context_ == nullptr) throw std::runtime_error("llama.cpp makes no context for " + path);
    vocabulary_ = llama.vocabulary(model);
  }

  size_t words() const { return static_cast<size_t>(llama_.words(vocabulary_)); }
  bool adds_bos() const { return llama_.adds_bos(vocabulary_); }
  Token bos() const { return llama_.bos(vocabulary_); }

  // `special`: with what the model has put at the ends of a text.
  std::vector<Token> Tokenize(const std::string& text, bool special) const {
    std::vector<Token> tokens(text.size() + 8);
    const int32_t count =
        llama_.tokenize(vocabulary_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                        static_cast<int32_t>(tokens.size()), special, false);
    if (count < 0) throw std::runtime_error("llama.cpp cannot tokenize the text");
    tokens.resize(static_cast<size_t>(count));
    return tokens;
  }

  // Reads tokens [begin, end), of which those before `begin` were read already. `wanted`: their
  // logits are.
  void Read(const std::vector<Token>& tokens, int64_t begin, int64_t end, bool wanted) {
    const auto count = static_cast<size_t>(end - begin);
    std::vector<Token> token(tokens.begin() + begin, tokens.begin() + end);
    std::vector<int32_t> position(count), sequences(count, 1);
    std::vector<int8_t> want(count, wanted ? 1 : 0);
    int32_t zero = 0;
    std::vector<int32_t*> sequence(count, &zero);
    for (size_t i = 0; i < count; ++i)
      position[i] = static_cast<int32_t>(begin) + static_cast<int32_t>(i);
    const Batch batch{static_cast<int32_t>(count),
                      token.data(),
                      nullptr,
                      position.data(),
                      sequences.data(),
                      sequence.data(),
                      want.data()};
    if (llama_.decode(context_, batch) != 0) throw std::runtime_error("llama.cpp failed to decode");
  }

  // What was read is forgotten.
  void Clear() { llama_.clear(llama_.memory(context_), true); }

  // ln p of each word behind the i-th token of what was last read.
  std::vector<double> LogProbabilities(int64_t i) const {
    const float* logits = llama_.logits(context_, static_cast<int32_t>(i));
    if (logits == nullptr) throw std::runtime_error("llama.cpp gave no logits");
    std::vector<double> out(logits, logits + words());
    const double most = *std::ranges::max_element(out);
    double sum = 0;
    for (const double x : out) sum += std::exp(x - most);
    const double norm = most + std::log(sum);
    for (double& x : out) x -= norm;
    return out;
  }

 private:
  const Llama& llama_;
  void* context_;
  const void* vocabulary_;
};

}  // namespace quantfleet::judges
