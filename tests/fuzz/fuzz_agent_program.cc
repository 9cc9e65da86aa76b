// Programs of the agent. Whatever is accepted says an architecture that devices have and a version
// that can be compared.
#include <cstdint>
#include <cstdlib>

#include "common/base/version.h"
#include "pipeline/artifact/program/agent_program.h"
#include "tests/support/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quantfleet::testing::MemoryFileSystem files;
  files.Put("/agent", std::string(reinterpret_cast<const char*>(data), size));
  const auto program = quantfleet::pipeline::ReadAgentProgram(files, "/agent");
  if (!program.ok()) return 0;
  if (program->size != size || !quantfleet::ParseVersion(program->version)) std::abort();
  if (program->architecture != "x86_64" && program->architecture != "aarch64") std::abort();
  return 0;
}
