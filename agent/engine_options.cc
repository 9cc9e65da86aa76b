#include "agent/engine_options.h"

#include "agent/platform/hardware.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::agent {

using pipeline::DType;

void AddEngineOptions(CLI::App& command, engine::EngineOptions& engine) {
  command.add_option("--threads", engine.threads, "Number of threads; 0: one per core")
      ->capture_default_str();
  command.add_option("--context", engine.context,
                     "Context in tokens; 0: the model's own, at most 4096");
  command
      .add_option_function<std::string>(
          "--kv-type",
          [&engine](const std::string& name) {
            const auto type = pipeline::DTypeFromName(name);
            if (!type.ok() || !pipeline::IsCacheType(*type))
              throw CLI::ValidationError("--kv-type",
                                         fmt::format("'{}' is not a KV cache type: use {}", name,
                                                     pipeline::CacheTypeNames()));
            engine.kv_type = *type;
          },
          "Type of the KV cache: f16, q8_0 (half the memory) or f32 (for comparisons)")
      ->type_name(pipeline::CacheTypeNames("|", "|"));
  command.parse_complete_callback(
      [&engine] { engine.memory_available = MakeHardware(RealFileSystem())->MemoryAvailable(); });
}

}  // namespace quantfleet::agent
