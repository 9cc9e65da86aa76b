#include "agent/runtime/runnable_model.h"

#include <algorithm>
#include <thread>

#include "pipeline/format/gguf/gguf_source.h"

namespace quantfleet::agent {
namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr int kMostThreads = 256;

absl::StatusOr<int64_t> ChooseContext(int64_t asked, int64_t model) {
  if (asked < 0) return InvalidArgument("a context of {} tokens", asked);
  if (asked == 0) return std::min(model, kDefaultContext);
  if (asked > model)
    return InvalidArgument("a context of {} tokens exceeds the model's own of {}", asked, model);
  return asked;
}

absl::StatusOr<int> ChooseThreads(int asked) {
  if (asked < 0 || asked > kMostThreads)
    return InvalidArgument("{} threads; 1 to {}, 0 for all", asked, kMostThreads);
  if (asked > 0) return asked;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
}

}  // namespace

absl::StatusOr<RunnableModel> RunnableModel::Load(const fs::path& gguf, const EngineOptions& options) {
  QF_ASSIGN_OR_RETURN(auto source, pipeline::GgufSource::Open(RealFileSystem(), gguf));
  RunnableModel model;
  QF_ASSIGN_OR_RETURN(model.file, MappedFile::Map(gguf));
  model.description = source->description();
  const pipeline::Hyperparameters& hyper = model.description.hyper;
  QF_RETURN_IF_ERROR(Validate(model.description));
  QF_ASSIGN_OR_RETURN(const int64_t context, ChooseContext(options.context, hyper.context));
  QF_ASSIGN_OR_RETURN(const int threads, ChooseThreads(options.threads));
  model.pool = std::make_unique<ThreadPool>(threads);
  QF_ASSIGN_OR_RETURN(Weights weights,
                      MapWeights(
                          model.description, model.file.bytes(),
                          [&](size_t tensor) { return source->FileOffset(tensor); }, ChosenOps()));
  model.weight_bytes = BytesPerToken(weights);
  const MatrixOps* matrix_ops = options.float_activations ? nullptr : &ChosenMatrixOps();
  QF_ASSIGN_OR_RETURN(model.transformer, Transformer::Create(hyper, std::move(weights), context, *model.pool,
                                                             ChosenOps(), matrix_ops));
  return model;
}

}  // namespace quantfleet::agent
