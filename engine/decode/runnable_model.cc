#include "engine/decode/runnable_model.h"

#include <algorithm>
#include <thread>

#include "pipeline/artifact/memory.h"
#include "pipeline/family/validate.h"
#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
namespace {

constexpr int kMaxThreads = 256;

absl::StatusOr<int64_t> ChooseContext(int64_t asked, int64_t model) {
  if (asked < 0)
    return InvalidArgument("the context must be 1 to {1} tokens, or 0 for the default, not {0}",
                           asked, model);
  if (asked == 0) return std::min(model, static_cast<int64_t>(pipeline::kDefaultContext));
  if (asked > model)
    return InvalidArgument("a context of {} tokens exceeds the model's maximum of {}", asked,
                           model);
  return asked;
}

absl::Status CheckMemory(const pipeline::Hyperparameters& hyper, int64_t context,
                         const EngineOptions& options) {
  if (options.memory_available == 0) return absl::OkStatus();
  // Of the weights nothing has to be there at once: they are mapped.
  const v1::Memory memory = pipeline::EngineMemory(hyper, /*weights=*/0);
  const std::string_view type = pipeline::Info(options.kv_type).name;
  QF_ASSIGN_OR_RETURN(const pipeline::MemoryNeed need,
                      pipeline::NeedOf(memory, static_cast<uint64_t>(context), type));
  if (need.total() <= options.memory_available) return absl::OkStatus();
  const std::string needs = fmt::format(
      "a context of {} tokens takes {} for the cache ({}) and {} for buffers, but the machine has "
      "only {} available",
      context, HumanBytes(need.cache), type, HumanBytes(need.buffers),
      HumanBytes(options.memory_available));
  const uint64_t longest =
      pipeline::LargestContext(memory, type, options.memory_available, need.context);
  if (longest == 0) return ResourceExhausted("{}: no context fits", needs);
  return ResourceExhausted("{}: the largest that fits is --context {}", needs, longest);
}

absl::StatusOr<int> ChooseThreads(int asked) {
  if (asked < 0 || asked > kMaxThreads)
    return InvalidArgument("the number of threads must be 1 to {1}, or 0 for one per core, not {0}",
                           asked, kMaxThreads);
  if (asked > 0) return asked;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

}  // namespace

absl::StatusOr<RunnableModel> RunnableModel::Load(const fs::path& gguf,
                                                  const EngineOptions& options) {
  QF_ASSIGN_OR_RETURN(auto source, pipeline::GgufSource::Open(RealFileSystem(), gguf));
  if (source->FileCount() > 1)
    return Unimplemented(
        "{}: the model was split into {} files, which can only be run as one: join them with "
        "`quantfleet quantize {} --target gguf:as-is --out DIR`",
        gguf.string(), source->FileCount(), gguf.string());
  RunnableModel model;
  QF_ASSIGN_OR_RETURN(model.file, MappedFile::Map(gguf));
  model.guard = BusGuard(model.file.bytes());
  model.description = source->description();
  const pipeline::Hyperparameters& hyper = model.description.hyper;
  QF_RETURN_IF_ERROR(Validate(model.description));
  QF_ASSIGN_OR_RETURN(const int64_t context, ChooseContext(options.context, hyper.context));
  QF_ASSIGN_OR_RETURN(const int threads, ChooseThreads(options.threads));
  if (!pipeline::IsCacheType(options.kv_type))
    return InvalidArgument("'{}' is not a supported KV cache type: use {}",
                           pipeline::Info(options.kv_type).name, pipeline::CacheTypeNames());
  model.kv_type = options.kv_type;
  QF_RETURN_IF_ERROR(CheckMemory(hyper, context, options));
  model.pool = std::make_unique<ThreadPool>(threads);
  QF_ASSIGN_OR_RETURN(Weights weights,
                      MapWeights(
                          model.description, model.file.bytes(),
                          [&](size_t tensor) { return source->FileOffset(tensor); }, ChosenOps()));
  model.weight_bytes = BytesPerToken(weights, hyper);
  const MatrixOps* matrix_ops = options.float_activations ? nullptr : &ChosenMatrixOps();
  QF_ASSIGN_OR_RETURN(model.transformer, Transformer::Create(hyper, std::move(weights), context,
                                                             *model.pool, ChosenOps(), matrix_ops));
  QF_RETURN_IF_ERROR(model.Whole());
  return model;
}

absl::Status RunnableModel::Whole() const {
  if (!guard.hit()) return absl::OkStatus();
  return DataLoss(
      "the model's file was cut short while it was in use, or its disk cannot read it any more");
}

}  // namespace quantfleet::engine
