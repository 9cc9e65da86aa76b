// Writes a tiny random model as a Hugging Face folder, for end-to-end tests.
//
//   tiny_model DIR FAMILY [KEY=NUMBER]...
//
// FAMILY is one of pipeline/family.
//
// Keys: hidden intermediate layers heads kv_heads head_dim vocab context tied seed experts
// experts_used expert_width
// (tests/support/tiny_model.h).

#include "tests/support/tiny_model.h"

#include <charconv>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "pipeline/family/family.h"

namespace {

using quantfleet::testing::TinyModelOptions;

int Usage() {
  std::cerr << "usage: tiny_model DIR FAMILY [KEY=NUMBER]...; families are "
            << quantfleet::pipeline::FamilyNames() << "\n";
  return 2;
}

bool Set(TinyModelOptions& options, std::string_view text) {
  const size_t equals = std::min(text.find('='), text.size());
  const std::string_view key = text.substr(0, equals);
  int64_t value = 0;
  const char* end = text.data() + text.size();
  if (equals == text.size() || std::from_chars(text.data() + equals + 1, end, value).ptr != end)
    return false;
  const std::map<std::string_view, int64_t*> fields{{"hidden", &options.hidden},
                                                    {"intermediate", &options.intermediate},
                                                    {"layers", &options.layers},
                                                    {"heads", &options.heads},
                                                    {"kv_heads", &options.kv_heads},
                                                    {"head_dim", &options.head_dim},
                                                    {"vocab", &options.vocab},
                                                    {"context", &options.context},
                                                    {"experts", &options.experts},
                                                    {"experts_used", &options.experts_used},
                                                    {"expert_width", &options.expert_width}};
  if (const auto field = fields.find(key); field != fields.end()) {
    *field->second = value;
    return true;
  }
  if (key == "tied") options.tied = value != 0;
  if (key == "seed") options.seed = static_cast<uint64_t>(value);
  return key == "tied" || key == "seed";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || quantfleet::pipeline::FindFamily(argv[2]) == nullptr) return Usage();
  TinyModelOptions options;
  for (int i = 3; i < argc; ++i)
    if (!Set(options, argv[i])) return Usage();
  try {
    std::filesystem::create_directories(argv[1]);
    quantfleet::testing::WriteTinyModel(argv[1], argv[2], options);
  } catch (const std::exception& error) {
    std::cerr << "tiny_model: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
