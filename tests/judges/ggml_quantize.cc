// ggml's own quantizer as judge of the block codecs: raw f32 rows in, ggml's bytes out.
//
//   ggml_quantize LIBGGML_BASE TYPE COLS IN.f32 OUT.bin [IMPORTANCE.f32]
//
// LIBGGML_BASE is the path of libggml-base.so, as llama.cpp's prebuilt packages carry it. It is
// opened at run time and its few functions are declared here by hand, so that the project builds
// without llama.cpp. Rows of a K type and of iq4_xs must be a multiple of 256
// long, those of another block type of 32.

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Type {
  std::string_view name;
  int ggml_type;  // enum ggml_type in ggml.h, part of the GGUF format and so never renumbered
  size_t block_elements;
  size_t block_bytes;
};

constexpr int kF32 = 0;
constexpr int kF16 = 1;
constexpr int kBf16 = 30;

constexpr std::array<Type, 17> kTypes = {{
    {"f32", kF32, 1, 4},
    {"f16", kF16, 1, 2},
    {"bf16", kBf16, 1, 2},
    {"q8_0", 8, 32, 34},
    {"q4_0", 2, 32, 18},
    {"q4_1", 3, 32, 20},
    {"q5_0", 6, 32, 22},
    {"q5_1", 7, 32, 24},
    {"q4_k", 12, 256, 144},
    {"q5_k", 13, 256, 176},
    {"q6_k", 14, 256, 210},
    {"q3_k", 11, 256, 110},
    {"q2_k", 10, 256, 84},
    {"iq4_nl", 20, 32, 18},
    {"iq4_xs", 23, 256, 136},
    {"mxfp4", 39, 32, 17},
    {"iq3_s", 21, 256, 110},
}};

// The signatures of ggml.h; ggml_fp16_t and ggml_bf16_t are one uint16_t each.
using QuantizeChunk = size_t (*)(int type, const float* src, void* dst, int64_t start,
                                 int64_t nrows, int64_t n_per_row, const float* imatrix);
using ConvertRow = void (*)(const float* src, void* dst, int64_t n);

int Fail(const std::string& message) {
  std::cerr << "ggml_quantize: " << message << "\n";
  return 1;
}

template <typename Function>
Function Find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

std::optional<std::vector<char>> ReadFile(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::vector<char>(std::istreambuf_iterator<char>(in), {});
}

// Empty when the library lacks the function that `type` needs.
std::optional<std::vector<char>> Quantize(void* library, const Type& type, int64_t cols,
                                          const std::vector<float>& values,
                                          const float* importance) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<char> out(values.size() / type.block_elements * type.block_bytes);
  if (type.ggml_type == kF32) {
    std::memcpy(out.data(), values.data(), out.size());
    return out;
  }
  if (type.ggml_type == kF16 || type.ggml_type == kBf16) {
    // bf16's plain row function may use SIMD instructions; the reference is what defines the bytes.
    const auto convert = Find<ConvertRow>(
        library, type.ggml_type == kF16 ? "ggml_fp32_to_fp16_row" : "ggml_fp32_to_bf16_row_ref");
    if (convert == nullptr) return std::nullopt;
    convert(values.data(), out.data(), count);
    return out;
  }
  const auto quantize = Find<QuantizeChunk>(library, "ggml_quantize_chunk");
  if (quantize == nullptr) return std::nullopt;
  quantize(type.ggml_type, values.data(), out.data(), 0, count / cols, cols, importance);
  return out;
}

int Run(const char* library_path, std::string_view type_name, std::string_view cols_text,
        const char* in_path, const char* out_path, const char* importance_path) {
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const Type& t) { return t.name == type_name; });
  if (type == kTypes.end()) return Fail("unknown type " + std::string(type_name));

  int64_t cols = 0;
  const char* cols_end = cols_text.data() + cols_text.size();
  const auto parsed = std::from_chars(cols_text.data(), cols_end, cols);
  if (parsed.ec != std::errc() || parsed.ptr != cols_end || cols < 1) {
    return Fail("COLS must be a whole number above 0, not " + std::string(cols_text));
  }
  if (static_cast<size_t>(cols) % type->block_elements != 0) {
    return Fail("COLS must be a multiple of " + std::to_string(type->block_elements) + " for " +
                std::string(type->name));
  }

  const auto bytes = ReadFile(in_path);
  if (!bytes) return Fail("cannot read " + std::string(in_path));
  const size_t row_bytes = static_cast<size_t>(cols) * sizeof(float);
  if (bytes->size() % row_bytes != 0) {
    return Fail(std::string(in_path) + " does not hold whole rows of COLS floats");
  }
  std::vector<float> values(bytes->size() / sizeof(float));
  std::memcpy(values.data(), bytes->data(), bytes->size());

  std::vector<float> importance;
  if (importance_path != nullptr) {
    const auto weights = ReadFile(importance_path);
    if (!weights || weights->size() != row_bytes)
      return Fail(std::string(importance_path) + " does not hold one row of COLS floats");
    importance.resize(static_cast<size_t>(cols));
    std::memcpy(importance.data(), weights->data(), row_bytes);
  }

  // Never closed: the process ends right after, and ggml keeps tables of its own.
  void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Fail(std::string("cannot open the library: ") + dlerror());
  const auto quantized =
      Quantize(library, *type, cols, values, importance.empty() ? nullptr : importance.data());
  if (!quantized) return Fail(std::string(library_path) + " lacks ggml's quantizer");

  std::ofstream out(out_path, std::ios::binary);
  out.write(quantized->data(), static_cast<std::streamsize>(quantized->size()));
  out.close();
  if (!out) return Fail("cannot write " + std::string(out_path));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7) {
    std::cerr << "usage: ggml_quantize LIBGGML_BASE TYPE COLS IN.f32 OUT.bin [IMPORTANCE.f32]\n";
    return 2;
  }
  return Run(argv[1], argv[2], argv[3], argv[4], argv[5], argc == 7 ? argv[6] : nullptr);
}
