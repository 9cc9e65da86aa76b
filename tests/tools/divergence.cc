// How far models are from the one that they were made of, window by window, under the embedded
// engine: for tests/bench/quality.py.
//
// usage: divergence REFERENCE.gguf TEXT WINDOW WINDOWS CANDIDATE...
//   TEXT       UTF-8; its first WINDOWS windows of WINDOW tokens are compared
//   CANDIDATE  a GGUF file, or the folder of an artifact of another format: the values that its
//              codes stand for are written to CANDIDATE.values, which is removed in the end
//   prints a JSON object per candidate: {"kl": [of each window, nats per token], "top1": [...]}
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/decode/engine.h"
#include "engine/measure/comparison.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/verify.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/exact_copy.h"

namespace engine = quantfleet::engine;
namespace fs = std::filesystem;
namespace pipeline = quantfleet::pipeline;
namespace json = boost::json;

namespace {

absl::StatusOr<std::unique_ptr<engine::Engine>> Load(const fs::path& path, int64_t window) {
  return engine::Engine::Load(path, {.threads = 2,
                                     .context = window,
                                     .kv_type = quantfleet::pipeline::DType::kF32,
                                     .float_activations = true});
}

// What the engine runs of an artifact that was made of the reference.
absl::StatusOr<fs::path> Runnable(const fs::path& reference, const fs::path& candidate,
                                  const fs::path& values) {
  if (!fs::is_directory(candidate)) return candidate;
  quantfleet::FileSystem& files = quantfleet::RealFileSystem();
  QF_ASSIGN_OR_RETURN(const auto source, pipeline::OpenModel(files, reference));
  QF_ASSIGN_OR_RETURN(const auto manifest,
                      pipeline::ReadManifest(files, candidate / pipeline::kManifestFile));
  std::vector<std::string> paths;
  for (const auto& file : manifest.files()) paths.push_back(file.path());
  QF_ASSIGN_OR_RETURN(
      const pipeline::ExactCopy copy,
      pipeline::WriteDequantizedCopy(files, candidate, paths, manifest.target().format(),
                                     source->description(), values, {}));
  return copy.file;
}

absl::Status Measure(int argc, char** argv) {
  const int64_t window = std::strtoll(argv[3], nullptr, 10),
                windows = std::strtoll(argv[4], nullptr, 10);
  QF_ASSIGN_OR_RETURN(const auto reference, Load(argv[1], window));
  std::ostringstream text;
  text << std::ifstream(argv[2]).rdbuf();
  const auto tokens = reference->Tokenize(text.str(), false);
  if (!tokens.ok()) return tokens.status();
  if (static_cast<int64_t>(tokens->size()) < window * windows)
    return absl::InvalidArgumentError(
        fmt::format("{} has only {} tokens", argv[2], tokens->size()));
  for (int i = 5; i < argc; ++i) {
    const std::string values = std::string(argv[i]) + ".values";
    QF_ASSIGN_OR_RETURN(const fs::path file, Runnable(argv[1], argv[i], values));
    QF_ASSIGN_OR_RETURN(const auto candidate, Load(file, window));
    json::array kl, top1;
    for (int64_t at = 0; at < windows; ++at) {
      const auto part =
          std::span(*tokens).subspan(static_cast<size_t>(at * window), static_cast<size_t>(window));
      QF_ASSIGN_OR_RETURN(const engine::Comparison compared,
                          engine::Compare(*reference, *candidate, part, {.window = window}));
      kl.push_back(compared.mean_kl);
      top1.push_back(compared.top1_agreement);
    }
    fmt::print("{}\n", json::serialize(json::object{{"kl", kl}, {"top1", top1}}));
    QF_RETURN_IF_ERROR(quantfleet::RealFileSystem().RemoveTree(values));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6)
    return fmt::print(stderr, "usage: divergence REFERENCE TEXT WINDOW WINDOWS CANDIDATE...\n"), 2;
  const absl::Status status = Measure(argc, argv);
  if (status.ok()) return 0;
  fmt::print(stderr, "divergence: {}\n", status.ToString());
  return 1;
}
