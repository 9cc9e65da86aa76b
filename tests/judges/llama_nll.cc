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
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/judges/llama_model.h"

// Under AddressSanitizer: what llama.cpp leaks is not ours to mend.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace {

using quantfleet::judges::ContextParams;
using quantfleet::judges::Llama;
using quantfleet::judges::LlamaModel;
using quantfleet::judges::Token;

constexpr int64_t kStride = 64;  // places whose logits are in memory at a time

struct Options {
  std::filesystem::path folder;
  std::string model, text_file, tokens_file, reference;
  int64_t most = 0, skip = 0, context = 512, threads = 1;
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
  const Llama llama(options.folder);
  ContextParams params = llama.default_context();
  params.context = static_cast<uint32_t>(options.context);
  params.threads = params.batch_threads = static_cast<int32_t>(options.threads);
  LlamaModel model(llama, options.model, params);
  std::optional<LlamaModel> reference;
  if (!options.reference.empty()) {
    reference.emplace(llama, options.reference, params);
    if (reference->words() != model.words())
      throw std::runtime_error("the models have different numbers of words");
  }
  std::vector<Token> tokens;
  if (options.text_file.empty()) {
    tokens = ReadTokens(options.tokens_file);
  } else {
    tokens = model.Tokenize(ReadFile(options.text_file), false);
    if (model.adds_bos()) tokens.insert(tokens.begin(), model.bos());
  }
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
