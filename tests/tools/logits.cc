// The embedded engine's logits of a text, for tests that compare them with those of other runtimes.
//
// usage: logits MODEL.gguf IDS CONTEXT OUT
//   IDS      a file with a JSON array of token ids
//   CONTEXT  tokens that the session has room for, by which LongRoPE chooses its factors
//   OUT      gets F32, little-endian: one row of the vocabulary's size for each token
// Activations, keys and values stay F32, so that only the order of additions differs elsewhere.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/decode/engine.h"

namespace engine = quantfleet::engine;

namespace {

std::vector<int32_t> ReadIds(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return boost::json::value_to<std::vector<int32_t>>(boost::json::parse(text.str()));
}

absl::Status Write(const char* model, const char* ids, const char* context, const char* path) {
  const auto loaded = engine::Engine::Load(model, {.threads = 1,
                                                   .context = std::strtoll(context, nullptr, 10),
                                                   .kv_type = quantfleet::pipeline::DType::kF32,
                                                   .text = false,
                                                   .float_activations = true});
  if (!loaded.ok()) return loaded.status();
  const std::vector<int32_t> tokens = ReadIds(ids);
  const auto logits = (*loaded)->Logits(tokens);
  if (!logits.ok()) return logits.status();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(logits->data()),
            static_cast<std::streamsize>(logits->size() * sizeof(float)));
  return out.flush() ? absl::OkStatus() : absl::InternalError(fmt::format("cannot write {}", path));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return fmt::print(stderr, "usage: logits MODEL.gguf IDS CONTEXT OUT\n"), 2;
  const absl::Status status = Write(argv[1], argv[2], argv[3], argv[4]);
  if (status.ok()) return 0;
  fmt::print(stderr, "logits: {}\n", status.ToString());
  return 1;
}
