// llama.cpp as judge of a text's likelihood in a GGUF model, and of how far the model is from
// another.
//
//   llama_nll FOLDER MODEL.gguf --text-file F | --tokens-file F [--max-tokens N] [--skip N]
//             [--context N] [--threads N] [--beside REFERENCE.gguf]
//
// FOLDER holds llama.cpp's libraries (llama_library.h). Prints {tokens, mean_nll, ppl}: the mean of
// -ln p(token | all before it) over every token after the first, or after the first N. A text
// begins with BOS where the model asks for one; BOS counts among `tokens`. A tokens file is a JSON
// array of ids, taken as it is. With a reference also {kl, kl_error, top1}: the mean over the same
// places of sum p_ref ln(p_ref / p), its standard error, and the share of places at which both find
// the same token most likely.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/judges/llama_library.h"

// Under AddressSanitizer: what llama.cpp leaks is not ours to mend.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace {

using quantfleet::judges::FindFunction;
using quantfleet::judges::OpenLibrary;

// llama.h of the pinned version. What is behind the members that are named here is passed on as the
// library's own defaults have it, so only a beginning has to be right, which LoadLlama checks.
struct ModelParams {
  void *devices, *overrides;
  int32_t gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
  const float* tensor_split;
  unsigned char rest[256];
};
struct ContextParams {
  uint32_t context, batch, micro_batch, sequences, snapshots, outputs, outputs_each;
  int32_t threads, batch_threads, kind, rope_scaling, pooling, attention, flash_attention;
  float rope_base, rope_scale;
  unsigned char rest[256];
};
struct Batch {
  int32_t count;
  int32_t* token;
  float* embedding;
  int32_t* position;
  int32_t* sequences;
  int32_t** sequence;
  int8_t* wanted;
};

using Token = int32_t;
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
};

constexpr int64_t kStride = 64;  // places whose logits are in memory at a time

struct Options {
  std::filesystem::path folder;
  std::string model, text_file, tokens_file, reference;
  int64_t most = 0, skip = 0, context = 512, threads = 1;
};

template <typename Function>
void Require(void* library, const char* name, Function& function) {
  function = FindFunction<Function>(library, name);
  if (function == nullptr) throw std::runtime_error(std::string("no ") + name + " there");
}

Llama LoadLlama(const std::filesystem::path& folder) {
  void* ggml = OpenLibrary(folder, "libggml");
  void* llama = OpenLibrary(folder, "libllama");
  if (ggml == nullptr || llama == nullptr)
    throw std::runtime_error("cannot open libggml and libllama in " + folder.string());
  void (*load_backends)(const char* folder);
  Require(ggml, "ggml_backend_load_all_from_path", load_backends);
  void (*log_set)(void (*)(int, const char*, void*), void*);
  Require(llama, "llama_log_set", log_set);
  log_set([](int, const char*, void*) {}, nullptr);
  Llama found;
  Require(llama, "llama_model_default_params", found.default_model);
  Require(llama, "llama_context_default_params", found.default_context);
  Require(llama, "llama_model_load_from_file", found.load);
  Require(llama, "llama_init_from_model", found.start);
  Require(llama, "llama_model_get_vocab", found.vocabulary);
  Require(llama, "llama_vocab_n_tokens", found.words);
  Require(llama, "llama_vocab_get_add_bos", found.adds_bos);
  Require(llama, "llama_vocab_bos", found.bos);
  Require(llama, "llama_tokenize", found.tokenize);
  Require(llama, "llama_decode", found.decode);
  Require(llama, "llama_get_logits_ith", found.logits);
  load_backends(folder.c_str());

  const ContextParams defaults = found.default_context();
  if (defaults.context != 512 || defaults.batch != 2048 || defaults.micro_batch != 512 ||
      defaults.sequences != 1 || defaults.threads != 4 || defaults.batch_threads != 4 ||
      defaults.flash_attention != -1 || defaults.rope_base != 0)
    throw std::runtime_error("llama_context_params is laid out otherwise than declared here");
  return found;
}

class Model {
 public:
  Model(const Llama& llama, const Options& options, const std::string& path) : llama_(llama) {
    model_ = llama.load(path.c_str(), llama.default_model());
    if (model_ == nullptr) throw std::runtime_error("llama.cpp cannot load " + path);
    ContextParams params = llama.default_context();
    params.context = static_cast<uint32_t>(options.context);
    params.threads = params.batch_threads = static_cast<int32_t>(options.threads);
    params.flash_attention = 0;
    context_ = llama.start(model_, params);
    if (context_ == nullptr) throw std::runtime_error("llama.cpp makes no context for " + path);
    vocabulary_ = llama.vocabulary(model_);
  }

  size_t words() const { return static_cast<size_t>(llama_.words(vocabulary_)); }

  std::vector<Token> Tokenize(const std::string& text) const {
    std::vector<Token> tokens(text.size() + 2);
    const int32_t count =
        llama_.tokenize(vocabulary_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                        static_cast<int32_t>(tokens.size()), false, false);
    if (count < 0) throw std::runtime_error("llama.cpp cannot tokenize the text");
    tokens.resize(static_cast<size_t>(count));
    if (llama_.adds_bos(vocabulary_)) tokens.insert(tokens.begin(), llama_.bos(vocabulary_));
    return tokens;
  }

  // Reads tokens [begin, end), of which those before `begin` were read already.
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
  void *model_, *context_;
  const void* vocabulary_;
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A JSON array of numbers.
std::vector<Token> ReadTokens(const std::string& path) {
  std::string text = ReadFile(path);
  std::ranges::replace_if(text, [](char c) { return c == '[' || c == ']' || c == ','; }, ' ');
  std::vector<Token> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    while (at < end && std::isspace(static_cast<unsigned char>(*at))) ++at;
    if (at == end) return tokens;
    const auto [next, error] = std::from_chars(at, end, tokens.emplace_back());
    if (error != std::errc()) throw std::runtime_error(path + " is not a JSON array of ids");
    at = next;
  }
}

// What is summed over places.
struct Sums {
  int64_t places = 0, same = 0;
  double nll = 0, kl = 0, kl_squares = 0;

  void Add(const std::vector<double>& ours, Token next) {
    ++places;
    nll -= ours.at(static_cast<size_t>(next));
  }
  void Compare(const std::vector<double>& ours, const std::vector<double>& reference) {
    double divergence = 0;
    for (size_t i = 0; i < ours.size(); ++i)
      divergence += std::exp(reference[i]) * (reference[i] - ours[i]);
    kl += divergence;
    kl_squares += divergence * divergence;
    same += std::ranges::max_element(ours) - ours.begin() ==
            std::ranges::max_element(reference) - reference.begin();
  }
};

void Run(const Options& options) {
  const Llama llama = LoadLlama(options.folder);
  Model model(llama, options, options.model);
  std::optional<Model> reference;
  if (!options.reference.empty()) {
    reference.emplace(llama, options, options.reference);
    if (reference->words() != model.words())
      throw std::runtime_error("the models have different numbers of words");
  }
  std::vector<Token> tokens = options.text_file.empty()
                                  ? ReadTokens(options.tokens_file)
                                  : model.Tokenize(ReadFile(options.text_file));
  const int64_t most = options.most > 0 ? options.most : options.context;
  if (most > options.context) throw std::runtime_error("--max-tokens is at most the context");
  if (static_cast<int64_t>(tokens.size()) > most) tokens.resize(static_cast<size_t>(most));
  const auto last = static_cast<int64_t>(tokens.size()) - 1;
  const int64_t before = std::max<int64_t>(options.skip - 1, 0);
  if (last <= before) throw std::runtime_error("there are too few tokens to predict one");

  const auto read = [&](int64_t begin, int64_t end, bool wanted) {
    model.Read(tokens, begin, end, wanted);
    if (reference) reference->Read(tokens, begin, end, wanted);
  };
  for (int64_t at = 0; at < before; at += 512) read(at, std::min(at + 512, before), false);
  Sums sums;
  for (int64_t at = before; at < last; at += kStride) {
    const int64_t end = std::min(at + kStride, last);
    read(at, end, true);
    for (int64_t i = 0; i < end - at; ++i) {
      const std::vector<double> ours = model.LogProbabilities(i);
      sums.Add(ours, tokens[static_cast<size_t>(at + i + 1)]);
      if (reference) sums.Compare(ours, reference->LogProbabilities(i));
    }
  }
  const auto places = static_cast<double>(sums.places);
  const double nll = sums.nll / places;
  std::printf(R"({"tokens": %zu, "mean_nll": %.17g, "ppl": %.17g)", tokens.size(), nll,
              std::exp(nll));
  if (reference) {
    const double kl = sums.kl / places;
    std::printf(R"(, "kl": %.17g, "kl_error": %.17g, "top1": %.17g)", kl,
                std::sqrt(std::max(0., sums.kl_squares / places - kl * kl) / places),
                static_cast<double>(sums.same) / places);
  }
  std::puts("}");
  std::fflush(stdout);
}

std::optional<Options> Parse(const std::vector<std::string>& args) {
  if (args.size() < 2) return std::nullopt;
  Options options;
  options.folder = args[0];
  options.model = args[1];
  for (size_t i = 2; i + 1 < args.size(); i += 2) {
    const std::string &name = args[i], &value = args[i + 1];
    std::string* text = name == "--text-file"     ? &options.text_file
                        : name == "--tokens-file" ? &options.tokens_file
                        : name == "--beside"      ? &options.reference
                                                  : nullptr;
    int64_t* number = name == "--max-tokens" ? &options.most
                      : name == "--skip"     ? &options.skip
                      : name == "--context"  ? &options.context
                      : name == "--threads"  ? &options.threads
                                             : nullptr;
    if (text != nullptr) {
      *text = value;
    } else if (number == nullptr ||
               std::from_chars(value.data(), value.data() + value.size(), *number).ptr !=
                   value.data() + value.size()) {
      return std::nullopt;
    }
  }
  const bool one_text = options.text_file.empty() != options.tokens_file.empty();
  return args.size() % 2 == 0 && one_text ? std::optional(options) : std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = Parse({argv + 1, argv + argc});
  if (!options) {
    std::cerr
        << "usage: llama_nll FOLDER MODEL.gguf --text-file F | --tokens-file F [--max-tokens N] "
           "[--skip N]\n                 [--context N] [--threads N] [--beside REFERENCE.gguf]\n";
    return 2;
  }
  try {
    Run(*options);
  } catch (const std::exception& error) {
    std::cerr << "llama_nll: " << error.what() << "\n";
    return 1;
  }
  std::_Exit(0);  // llama.cpp's threads are left to the system
}
