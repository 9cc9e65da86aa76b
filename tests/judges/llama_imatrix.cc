// llama.cpp as judge of importance: what its own layers multiply their weights with, summed as
// llama-imatrix sums it.
//
//   llama_imatrix FOLDER MODEL.gguf TEXT CHUNK CHUNKS
//
// FOLDER has llama.cpp's libraries (llama_library.h). The cache is F32 as ours is, so that no
// rounding to F16 hides a difference.
// Prints JSON: by tensor its counts and its sums of squares, of each expert one after the other.
// The text is cut into chunks of CHUNK tokens as llama-imatrix cuts it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/judges/llama_model.h"

// Under AddressSanitizer: what llama.cpp leaks is not ours to mend.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

// ggml.h
struct quantfleet::judges::GgmlTensor {
  int32_t type;
  void* buffer;
  int64_t ne[4];
  size_t nb[4];
  int32_t op;
  int32_t op_params[16];
  int32_t flags;
  GgmlTensor* src[10];
  GgmlTensor* view_src;
  size_t view_offset;
  void* data;
  char name[64];
};

namespace {

using quantfleet::judges::ContextParams;
using quantfleet::judges::Llama;
using quantfleet::judges::LlamaModel;
using quantfleet::judges::Token;
using Tensor = quantfleet::judges::GgmlTensor;

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
  if (argc != 6) {
    std::cerr << "usage: llama_imatrix FOLDER MODEL.gguf TEXT CHUNK CHUNKS\n";
    return 2;
  }
  try {
    const int64_t chunk = std::atoll(argv[4]), most = std::atoll(argv[5]);
    const Llama llama(argv[1]);
    Collected collected{llama.operation, {}};
    ContextParams params = llama.default_context();
    params.context = params.batch = params.micro_batch = static_cast<uint32_t>(chunk);
    params.on_tensor = OnEval;
    params.user = &collected;
    params.key_type = params.value_type = 0;
    LlamaModel model(llama, argv[2], params);
    std::ifstream in(argv[3], std::ios::binary);
    const std::vector<Token> tokens =
        model.Tokenize({std::istreambuf_iterator<char>(in), {}}, true);
    for (int64_t i = 0; i < most && (i + 1) * chunk <= std::ssize(tokens); ++i) {
      std::vector<Token> read(tokens.begin() + i * chunk, tokens.begin() + (i + 1) * chunk);
      if (model.adds_bos()) read.front() = model.bos();
      model.Clear();
      model.Read(read, 0, chunk, true);
    }
    Print(collected);
  } catch (const std::exception& error) {
    std::cerr << "llama_imatrix: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
