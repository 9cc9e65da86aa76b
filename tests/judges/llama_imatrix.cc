// llama.cpp as judge of importance: what its own layers multiply their weights with, summed as
// llama-imatrix sums it.
//
//   llama_imatrix FOLDER MODEL.gguf TEXT CHUNK CHUNKS
//
// FOLDER as for llama_quantize.cc. Attention is F32 as ours is,
// so that no rounding to F16 hides a difference.
// Prints JSON: by tensor its counts and its sums of squares, of each expert one after the other.
// The text is cut into chunks of CHUNK tokens as llama-imatrix cuts it.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/judges/llama_library.h"

// Under AddressSanitizer: what llama.cpp leaks is not ours to mend.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace {

// ggml.h
struct Tensor {
  int32_t type;
  void* buffer;
  int64_t ne[4];
  size_t nb[4];
  int32_t op;
  int32_t op_params[16];
  int32_t flags;
  Tensor* src[10];
  Tensor* view_src;
  size_t view_offset;
  void* data;
  char name[64];
};

// llama.h. Passed by value, and only read and written where Find* below says.
struct Opaque {
  std::array<int32_t, 128> words;
};
struct Batch {
  int32_t count;
  int32_t* token;
  float* embedding;
  int32_t *pos, *n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};
using EvalCallback = bool (*)(Tensor* tensor, bool ask, void* user);

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << "llama_imatrix: " << message << "\n";
  std::exit(1);
}

void* Open(const std::filesystem::path& folder, std::string_view name) {
  void* const library = quantfleet::judges::OpenLibrary(folder, name);
  if (library == nullptr) Fail("cannot open " + std::string(name));
  return library;
}

template <typename Function>
Function Find(void* library, const char* name) {
  const auto found = quantfleet::judges::FindFunction<Function>(library, name);
  if (found == nullptr) Fail(std::string("no ") + name);
  return found;
}

struct Entry {
  std::vector<int64_t> counts;
  std::vector<double> squares;
};

struct Collected {
  const char* (*op_name)(int op);
  std::map<std::string, Entry> entries;

  void Add(const std::string& name, size_t matrices, size_t matrix, const float* x, size_t cols) {
    Entry& entry = entries[name];
    entry.counts.resize(matrices);
    entry.squares.resize(matrices * cols);
    ++entry.counts[matrix];
    for (size_t i = 0; i < cols; ++i)
      entry.squares[matrix * cols + i] += static_cast<double>(x[i]) * x[i];
  }

  bool Wants(const Tensor& t) const {
    const std::string_view op = op_name(t.op);
    return (op == "MUL_MAT" || op == "MUL_MAT_ID") &&
           std::string_view(t.src[0]->name).starts_with("blk.") &&
           std::string_view(t.src[0]->name).ends_with(".weight") && t.src[1]->type == 0;
  }

  void Take(const Tensor& t) {
    const Tensor &w = *t.src[0], &x = *t.src[1];
    const auto cols = static_cast<size_t>(x.ne[0]);
    const auto row = [&](int64_t i1, int64_t i2) {
      return reinterpret_cast<const float*>(static_cast<const char*>(x.data) +
                                            static_cast<size_t>(i1) * x.nb[1] +
                                            static_cast<size_t>(i2) * x.nb[2]);
    };
    if (std::string_view(op_name(t.op)) == "MUL_MAT") {
      for (int64_t r = 0; r < x.ne[1]; ++r) Add(w.name, 1, 0, row(r, 0), cols);
      return;
    }
    const Tensor& ids = *t.src[2];  // [used, tokens]
    for (int64_t token = 0; token < ids.ne[1]; ++token)
      for (int64_t k = 0; k < ids.ne[0]; ++k) {
        int32_t expert = 0;
        std::memcpy(&expert,
                    static_cast<const char*>(ids.data) + static_cast<size_t>(token) * ids.nb[1] +
                        static_cast<size_t>(k) * ids.nb[0],
                    sizeof expert);
        Add(w.name, static_cast<size_t>(w.ne[2]), static_cast<size_t>(expert),
            row(k % x.ne[1], token), cols);
      }
  }
};

bool OnEval(Tensor* tensor, bool ask, void* user) {
  auto& collected = *static_cast<Collected*>(user);
  if (!collected.Wants(*tensor)) return !ask;
  if (!ask) collected.Take(*tensor);
  return true;
}

// The callback's place in llama_context_params: in front of the two types of the cache, F16 both,
// which nothing stands around that is not null.
size_t FindCallback(const Opaque& params) {
  const auto null = [&](size_t from) {
    for (size_t i = from; i < from + 4; ++i)
      if (params.words[i] != 0) return false;
    return true;
  };
  for (size_t i = 12; i + 6 < 64; ++i)
    if (params.words[i] == 1 && params.words[i + 1] == 1 && null(i - 4) && null(i + 2))
      return i - 4;
  Fail("llama_context_params is laid out otherwise than thought");
}

// Of the first fields that are -1 for "as the model has it", the last is that of flash attention,
// which rounds to F16.
size_t FindFlashAttention(const Opaque& params) {
  size_t at = 0;
  while (at < 20 && params.words[at] != -1) ++at;
  while (params.words[at + 1] == -1) ++at;
  return at;
}

void Print(const Collected& collected) {
  const char* between = "{";
  for (const auto& [name, entry] : collected.entries) {
    std::printf("%s\"%s\":{\"counts\":[", between, name.c_str());
    between = ",\n";
    for (size_t i = 0; i < entry.counts.size(); ++i)
      std::printf("%s%lld", i ? "," : "", static_cast<long long>(entry.counts[i]));
    std::printf("],\"squares\":[");
    for (size_t i = 0; i < entry.squares.size(); ++i)
      std::printf("%s%.9g", i ? "," : "", entry.squares[i]);
    std::printf("]}");
  }
  std::puts("}");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) Fail("FOLDER MODEL.gguf TEXT CHUNK CHUNKS");
  const std::filesystem::path folder = argv[1];
  const int32_t chunk = std::atoi(argv[4]), most = std::atoi(argv[5]);
  void* base = Open(folder, "libggml-base");
  void* ggml = Open(folder, "libggml");
  void* llama = Open(folder, "libllama");
  Find<void (*)(void (*)(int, const char*, void*), void*)>(llama, "llama_log_set")(
      [](int, const char*, void*) {}, nullptr);
  Find<void (*)(const char*)>(ggml, "ggml_backend_load_all_from_path")(folder.c_str());
  void* model = Find<void* (*)(const char*, Opaque)>(llama, "llama_model_load_from_file")(
      argv[2], Find<Opaque (*)()>(llama, "llama_model_default_params")());
  if (model == nullptr) Fail("cannot load the model");

  Collected collected{Find<const char* (*)(int)>(base, "ggml_op_name"), {}};
  Opaque params = Find<Opaque (*)()>(llama, "llama_context_default_params")();
  const size_t place = FindCallback(params);
  const EvalCallback on_eval = OnEval;
  void* const user = &collected;
  std::memcpy(&params.words[place], &on_eval, sizeof on_eval);
  std::memcpy(&params.words[place + 2], &user, sizeof user);
  params.words[FindFlashAttention(params)] = 0;
  params.words[place + 4] = params.words[place + 5] = 0;        // a cache of F32
  params.words[0] = params.words[1] = params.words[2] = chunk;  // n_ctx, n_batch, n_ubatch
  void* context = Find<void* (*)(void*, Opaque)>(llama, "llama_init_from_model")(model, params);
  if (context == nullptr) Fail("cannot make a context");

  std::ifstream in(argv[3], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const void* vocab = Find<const void* (*)(const void*)>(llama, "llama_model_get_vocab")(model);
  std::vector<int32_t> tokens(text.size() + 8);
  const int32_t count =
      Find<int32_t (*)(const void*, const char*, int32_t, int32_t*, int32_t, bool, bool)>(
          llama, "llama_tokenize")(vocab, text.data(), static_cast<int32_t>(text.size()),
                                   tokens.data(), static_cast<int32_t>(tokens.size()), true, false);
  const bool adds_bos = Find<bool (*)(const void*)>(llama, "llama_vocab_get_add_bos")(vocab);
  const int32_t bos = Find<int32_t (*)(const void*)>(llama, "llama_vocab_bos")(vocab);
  const auto decode = Find<int32_t (*)(void*, Batch)>(llama, "llama_decode");
  const auto clear = Find<void (*)(void*, bool)>(llama, "llama_memory_clear");
  void* memory = Find<void* (*)(void*)>(llama, "llama_get_memory")(context);
  std::vector<int8_t> all(static_cast<size_t>(chunk), 1);
  for (int32_t i = 0; i < most && (i + 1) * chunk <= count; ++i) {
    int32_t* const begin = tokens.data() + i * chunk;
    if (adds_bos) *begin = bos;
    clear(memory, true);
    if (decode(context, {chunk, begin, nullptr, nullptr, nullptr, nullptr, all.data()}) != 0)
      Fail("llama_decode failed");
  }
  Print(collected);
  return 0;
}
