// llama.cpp's own quantizer as judge of the recipes: a GGUF in, llama-quantize's GGUF out.
//
//   llama_quantize FOLDER IN.gguf OUT.gguf FTYPE [--imatrix FILE] [--pure] [--output-type N]
//   [--embedding-type N]
//                  [--tensor-type REGEX=N]...
//
// FOLDER holds libllama.so and libggml-base.so (any version in the name), as llama.cpp's prebuilt
// packages carry them. The little of llama.h and gguf.h that is needed is declared here by hand.
// FTYPE is a number of enum llama_ftype, N one of enum ggml_type.

#include <dlfcn.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/judges/llama_library.h"

// Under AddressSanitizer: what llama.cpp leaks is not ours to mend.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace {

using quantfleet::judges::FindFunction;
using quantfleet::judges::OpenLibrary;

// llama.h
struct ImatrixData {
  const char* name;
  const float* data;
  size_t size;
};
struct TensorOverride {
  const char* pattern;
  int type;
};
struct QuantizeParams {
  int32_t nthread;
  int ftype, output_tensor_type, token_embedding_type;
  bool allow_requantize, quantize_output_tensor, only_copy, pure, keep_split, dry_run;
  const ImatrixData* imatrix;
  const void* kv_overrides;
  const TensorOverride* tt_overrides;
  const int32_t* prune_layers;
};
using DefaultParams = QuantizeParams (*)();
using Quantize = uint32_t (*)(const char* in, const char* out, const QuantizeParams* params);
using LogCallback = void (*)(int level, const char* text, void* user);
using LogSet = void (*)(LogCallback callback, void* user);

// gguf.h
struct GgufInitParams {
  bool no_alloc;
  void** context;
};
using GgufInit = void* (*)(const char* path, GgufInitParams params);
using GgufCount = int64_t (*)(const void* gguf);
using GgufName = const char* (*)(const void* gguf, int64_t tensor);
using GgufSize = size_t (*)(const void* gguf, int64_t tensor);
using GgufDataOffset = size_t (*)(const void* gguf);

struct Options {
  std::filesystem::path folder;
  std::string in, out, imatrix;
  int ftype = 0, output_type = -1, embedding_type = -1;
  bool pure = false;
  std::vector<std::pair<std::string, int>> tensor_types;
};

int Fail(const std::string& message) {
  std::cerr << "llama_quantize: " << message << "\n";
  return 1;
}

// Means per column, by tensor, as llama-quantize takes them from an importance file.
using Means = std::map<std::string, std::vector<float>>;

std::optional<Means> ReadMeans(void* ggml, const std::string& path) {
  const auto init = FindFunction<GgufInit>(ggml, "gguf_init_from_file");
  const auto count = FindFunction<GgufCount>(ggml, "gguf_get_n_tensors");
  const auto name = FindFunction<GgufName>(ggml, "gguf_get_tensor_name");
  const auto size = FindFunction<GgufSize>(ggml, "gguf_get_tensor_size");
  const auto offset = FindFunction<GgufSize>(ggml, "gguf_get_tensor_offset");
  const auto data_at = FindFunction<GgufDataOffset>(ggml, "gguf_get_data_offset");
  void* gguf = init && count && name && size && offset && data_at
                   ? init(path.c_str(), {true, nullptr})
                   : nullptr;
  if (gguf == nullptr) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::map<std::string, std::vector<float>> tensors;
  for (int64_t t = 0; t < count(gguf); ++t) {
    std::vector<float>& values = tensors[name(gguf, t)];
    values.resize(size(gguf, t) / sizeof(float));
    in.seekg(static_cast<std::streamoff>(data_at(gguf) + offset(gguf, t)));
    in.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  }
  if (!in) return std::nullopt;
  constexpr std::string_view kSums = ".in_sum2";
  Means means;
  for (const auto& [tensor, sums] : tensors) {
    if (!tensor.ends_with(kSums)) continue;
    const std::string base = tensor.substr(0, tensor.size() - kSums.size());
    const auto counts = tensors.find(base + ".counts");
    if (counts == tensors.end() || counts->second.empty()) return std::nullopt;
    const size_t each = sums.size() / counts->second.size();  // one count per expert
    for (size_t i = 0; i < sums.size(); ++i) {
      const float n = counts->second[i / each];
      means[base].push_back(n > 0 ? sums[i] / n : 1.f);
    }
  }
  return means;
}

int Run(const Options& options) {
  void* ggml = OpenLibrary(options.folder, "libggml-base");
  if (ggml == nullptr) return Fail("cannot open libggml-base in " + options.folder.string());
  void* llama = OpenLibrary(options.folder, "libllama");
  if (llama == nullptr) return Fail(std::string("cannot open libllama: ") + dlerror());
  const auto default_params =
      FindFunction<DefaultParams>(llama, "llama_model_quantize_default_params");
  const auto quantize = FindFunction<Quantize>(llama, "llama_model_quantize");
  const auto log_set = FindFunction<LogSet>(llama, "llama_log_set");
  if (!default_params || !quantize || !log_set) return Fail("libllama lacks llama_model_quantize");
  // Warnings and errors only: what llama.cpp says about each tensor fills pages.
  log_set(
      [](int level, const char* text, void*) {
        if (level >= 3) std::fputs(text, stderr);
      },
      nullptr);

  QuantizeParams params = default_params();
  if (params.ftype != 7 || !params.quantize_output_tensor || params.imatrix || params.prune_layers)
    return Fail("llama_model_quantize_params is laid out otherwise than declared here");
  params.nthread = 1;
  params.ftype = options.ftype;
  params.pure = options.pure;
  if (options.output_type >= 0) params.output_tensor_type = options.output_type;
  if (options.embedding_type >= 0) params.token_embedding_type = options.embedding_type;

  std::vector<TensorOverride> overrides;
  for (const auto& [pattern, type] : options.tensor_types)
    overrides.push_back({pattern.c_str(), type});
  overrides.push_back({nullptr, 0});
  if (overrides.size() > 1) params.tt_overrides = overrides.data();

  Means means;
  std::vector<ImatrixData> imatrix;
  if (!options.imatrix.empty()) {
    auto read = ReadMeans(ggml, options.imatrix);
    if (!read) return Fail("cannot read " + options.imatrix);
    means = std::move(*read);
    for (const auto& [name, values] : means)
      imatrix.push_back({name.c_str(), values.data(), values.size()});
    imatrix.push_back({nullptr, nullptr, 0});
    params.imatrix = imatrix.data();
  }
  if (quantize(options.in.c_str(), options.out.c_str(), &params) != 0)
    return Fail("llama_model_quantize failed");
  return 0;
}

bool ParseNumber(std::string_view text, int& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::optional<Options> Parse(const std::vector<std::string>& args) {
  Options options;
  if (args.size() < 4 || !ParseNumber(args[3], options.ftype)) return std::nullopt;
  options.folder = args[0];
  options.in = args[1];
  options.out = args[2];
  for (size_t i = 4; i < args.size(); ++i) {
    if (args[i] == "--pure") {
      options.pure = true;
      continue;
    }
    if (i + 1 == args.size()) return std::nullopt;
    const std::string& option = args[i];
    const std::string& value = args[++i];
    bool ok = true;
    if (option == "--imatrix") {
      options.imatrix = value;
    } else if (option == "--output-type") {
      ok = ParseNumber(value, options.output_type);
    } else if (option == "--embedding-type") {
      ok = ParseNumber(value, options.embedding_type);
    } else if (option == "--tensor-type") {
      const size_t equals = value.rfind('=');
      int type = 0;
      ok = equals != std::string::npos &&
           ParseNumber(std::string_view(value).substr(equals + 1), type);
      if (ok) options.tensor_types.emplace_back(value.substr(0, equals), type);
    } else {
      ok = false;
    }
    if (!ok) return std::nullopt;
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = Parse({argv + 1, argv + argc});
  if (!options) {
    std::cerr << "usage: llama_quantize FOLDER IN.gguf OUT.gguf FTYPE [--imatrix FILE] [--pure] "
                 "[--output-type N]\n"
                 "                      [--embedding-type N] [--tensor-type REGEX=N]...\n";
    return 2;
  }
  return Run(*options);
}
