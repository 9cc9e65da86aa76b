// A hostile GGUF all the way: loaded as a device loads it, then a text of a few tokens continued.
// Whatever is accepted runs; weights that yield nonsense are an error, never a crash.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "engine/decode/engine.h"

namespace engine = quantfleet::engine;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Run(const std::string& path) {
  // The smallest context: a header may name any, and the memory for it is taken when it is asked
  // for.
  const auto engine = engine::Engine::Load(path, {.threads = 1, .context = 8});
  if (!engine.ok()) return;
  // A vocabulary of many millions is legal, and slow.
  if ((*engine)->vocab() > 1 << 16) return;
  Require((*engine)->context() == 8);
  const auto said = (*engine)->Generate(
      {.prompt = "a<|end|>b", .max_tokens = 3, .sampling = {.seed = 1}, .top_logprobs = 2});
  if (said.ok())
    Require(said->tokens.size() <= 3 && said->probabilities.size() <= said->tokens.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = ::memfd_create("input", MFD_CLOEXEC);
  Require(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size));
  Run("/proc/self/fd/" + std::to_string(fd));
  ::close(fd);
  return 0;
}
