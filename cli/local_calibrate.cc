#include "cli/local_calibrate.h"

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/engine_source.h"
#include "cli/interrupt.h"
#include "cli/model_text.h"
#include "cli/progress.h"
#include "cli/source_text.h"
#include "engine/calibrate/calibrate.h"
#include "engine/calibrate/chunks.h"
#include "engine/calibrate/preparation.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/model/source_sample.h"
#include "pipeline/stage/exact_copy.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

struct CalibrateOptions {
  std::string source, out, text;
  bool self = false, second_moments = false, ranges = false;
  uint64_t seed = 1;
  int64_t chunk = 0, chunks = 20;
  uint64_t memory_mib = 4096;
  int threads = 0;
  bool dry_run = false, force = false, resume = false, json = false;
};

// A model on its way to be calibrated.
struct Calibrated {
  ModelFiles files;
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::vector<int32_t> tokens;  // none yet, where the model is to write them
  engine::CalibrationOrigin origin;
  engine::CalibrationCost cost;
  uint64_t copy_bytes = 0;  // of a GGUF that is made for the engine; 0: it runs the source as it is

  // At most, while it runs.
  uint64_t disk_bytes() const { return copy_bytes + cost.moments_bytes + 2 * cost.memory.states; }
};

absl::StatusOr<engine::RunnableModel> LoadFor(const CalibrateOptions& options, int64_t chunk,
                                              const fs::path& gguf) {
  return engine::RunnableModel::Load(
      gguf, {.threads = options.threads, .context = chunk, .kv_type = DType::kF32});
}

void Take(Calibrated& model, std::vector<int32_t> tokens) {
  model.tokens = std::move(tokens);
  model.origin.tokens_digest = HashBytes(std::as_bytes(std::span(model.tokens)));
  Warn(engine::RemarkOn(model.tokens, model.source->description().hyper.vocab));
}

absl::Status ReadText(const CalibrateOptions& options, Calibrated& model) {
  QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(options.text));
  absl::StatusOr<std::vector<int32_t>> tokens =
      engine::CutIntoChunks(*model.tokenizer, model.source->description().tokenizer, text,
                            {.size = model.origin.chunk, .most = options.chunks});
  if (!tokens.ok()) return Annotate(tokens.status(), options.text);
  model.origin.text = fs::path(options.text).filename().string();
  model.origin.text_digest = HashText(text);
  model.origin.tokens = static_cast<int64_t>(tokens->size());
  if (model.origin.tokens < options.chunks * model.origin.chunk)
    Warn(fmt::format("{} fills {} of {} chunks", options.text,
                     model.origin.tokens / model.origin.chunk, options.chunks));
  Take(model, *std::move(tokens));
  return absl::OkStatus();
}

// What can be said, and refused, before anything is read that takes time.
absl::StatusOr<Calibrated> Prepare(const CalibrateOptions& options) {
  Calibrated model;
  QF_ASSIGN_OR_RETURN(model.files, ResolveModel(RealFileSystem(), options.source));
  PrintFiles(model.files);
  QF_ASSIGN_OR_RETURN(model.source, OpenModel(RealFileSystem(), model.files));
  const ModelDescription& description = model.source->description();
  WarnOf(description);
  model.origin.architecture = description.family->name;
  model.origin.chunk =
      options.chunk > 0 ? options.chunk : std::min<int64_t>(512, description.hyper.context);
  model.origin.tokens = model.origin.chunk * options.chunks;
  model.origin.second_moments = options.second_moments;
  model.origin.ranges = options.ranges;
  const auto cost = [&](int64_t tokens) {
    return engine::CostOf(description, tokens, model.origin.chunk, options.second_moments,
                          options.memory_mib << 20, options.ranges);
  };
  QF_RETURN_IF_ERROR(cost(model.origin.chunk).status());
  QF_ASSIGN_OR_RETURN(model.tokenizer,
                      text::MakeTokenizer(description.tokenizer, description.name));
  if (!options.text.empty()) {
    QF_RETURN_IF_ERROR(ReadText(options, model));
  } else if (description.embedding) {
    return InvalidArgument("{} makes embeddings and writes no text: use --text", description.name);
  } else {
    model.origin.text = engine::kSelfText;
    model.origin.seed = options.seed;
  }
  QF_ASSIGN_OR_RETURN(model.cost, cost(model.origin.tokens));
  QF_ASSIGN_OR_RETURN(model.origin.sample, SourceSampleOf(*model.source));
  if (!engine::RunsAsItIs(model.files)) {
    QF_ASSIGN_OR_RETURN(model.copy_bytes, ExactCopyBytes(*model.source));
  }
  // A run that resumes has a part of it already, and one that replaces makes room.
  if (!options.out.empty() && !options.resume && !options.force)
    QF_RETURN_IF_ERROR(
        engine::CalibrationFolder::CheckRoom(RealFileSystem(), options.out, model.disk_bytes()));
  return model;
}

engine::SelfTextOptions SelfOptions(const CalibrateOptions& options, const Calibrated& model,
                                    int64_t chunk) {
  const uint64_t all = options.memory_mib << 20, taken = model.cost.memory.buffers;
  return {.seed = options.seed,
          .chunk = chunk,
          .chunks = options.chunks,
          .memory_bytes = all > taken ? all - taken : 0};
}

// The model's own text: that of an earlier run, if it was of the same model and options.
absl::Status WriteText(const CalibrateOptions& options, Calibrated& model,
                       engine::RunnableModel& runnable, const engine::CalibrationFolder& folder,
                       const std::stop_token& stop) {
  ProgressLine line("write");
  engine::SelfTextOptions self = SelfOptions(options, model, model.origin.chunk);
  self.stop = stop;
  // Each pass reads the weights, and feeds a token of each sequence.
  self.on_progress = [&](int64_t done, int64_t all) {
    line.Update(static_cast<uint64_t>(done), static_cast<uint64_t>(all));
  };
  QF_ASSIGN_OR_RETURN(
      std::vector<int32_t> tokens,
      engine::WriteOrFindSelfText(RealFileSystem(), runnable, *model.tokenizer, folder,
                                  model.origin.source, options.resume, self));
  Take(model, std::move(tokens));
  model.origin.text_digest = model.origin.tokens_digest;
  return absl::OkStatus();
}

json::object CostJson(const Calibrated& model) {
  const engine::CalibrationCost& cost = model.cost;
  return {{"tokens", cost.tokens},
          {"chunk_size", cost.chunk},
          {"chunks", cost.tokens / cost.chunk},
          {"layers", cost.layers},
          {"weight_bytes", cost.weight_bytes},
          {"second_moments_bytes", cost.moments_bytes},
          {"copy_bytes", model.copy_bytes},
          {"disk_bytes", model.disk_bytes()},
          {"memory_bytes", cost.memory.total()}};
}

std::string CostText(const Calibrated& model) {
  const engine::CalibrationCost& cost = model.cost;
  std::string text = fmt::format(
      "{} tokens ({} chunks of {}) through {} layers: reads {} of weights once and takes {} of "
      "memory",
      cost.tokens, cost.tokens / cost.chunk, cost.chunk, cost.layers, HumanBytes(cost.weight_bytes),
      HumanBytes(cost.memory.total()));
  if (cost.moments_bytes > 0)
    text += fmt::format("; second moments take {} of disk", HumanBytes(cost.moments_bytes));
  if (model.copy_bytes > 0)
    text += fmt::format(
        "; a copy of the model as GGUF, in the source's precision, takes {} of disk until the end",
        HumanBytes(model.copy_bytes));
  return text;
}

// Seconds that writing the text takes, by a few of its passes.
absl::StatusOr<double> TimeWriting(const CalibrateOptions& options, const Calibrated& model,
                                   engine::RunnableModel& runnable) {
  constexpr int64_t kSome = 6;
  const int64_t chunk = std::min(kSome, model.origin.chunk);
  const RealClock clock;
  const Duration start = clock.Monotonic();
  QF_RETURN_IF_ERROR(
      engine::WriteSelfText(runnable, *model.tokenizer, SelfOptions(options, model, chunk))
          .status());
  return static_cast<double>((clock.Monotonic() - start).count()) / 1000 *
         static_cast<double>(model.origin.chunk - 1) / static_cast<double>(chunk - 1);
}

// A first chunk through the first layer says how long all will take, where the engine can run the
// source as it is.
absl::Status PrintCost(const CalibrateOptions& options, const Calibrated& model) {
  json::object cost = CostJson(model);
  std::string text = CostText(model);
  if (const std::optional<fs::path> gguf = engine::RunsAsItIs(model.files)) {
    QF_ASSIGN_OR_RETURN(engine::RunnableModel runnable,
                        LoadFor(options, model.origin.chunk, *gguf));
    const bool self = model.tokens.empty();
    double seconds = 0;
    if (self) {
      QF_ASSIGN_OR_RETURN(seconds, TimeWriting(options, model, runnable));
      cost["writing_seconds"] = seconds;
      text += fmt::format("; writing the text takes about {}", Minutes(seconds));
    }
    // Any tokens will do.
    const std::vector<int32_t> tokens =
        self ? std::vector<int32_t>(static_cast<size_t>(model.origin.chunk)) : model.tokens;
    QF_ASSIGN_OR_RETURN(const double chunk,
                        engine::TimeOneChunk(runnable, tokens, model.origin.chunk,
                                             options.second_moments, RealClock()));
    const double pass = chunk * static_cast<double>(model.cost.tokens / model.cost.chunk) *
                        static_cast<double>(model.cost.layers);
    cost["pass_seconds"] = pass;
    text += fmt::format("; the pass takes about {}, by one chunk through the first layer",
                        Minutes(pass));
  }
  PrintOut(options.json ? Serialized(cost) : text + "\n");
  return absl::OkStatus();
}

void PrintResult(const CalibrateOptions& options, const Calibrated& model,
                 const engine::CalibrationResult& result, double seconds) {
  if (!options.json)
    return PrintOut(
        fmt::format("{}  {} tokens  {:.1f} s\n", options.out, model.cost.tokens, seconds));
  json::object out = CostJson(model);
  out["path"] = options.out;
  out["source_digest"] = model.origin.source.hex();
  out["layers_resumed"] = result.layers_resumed;
  out["pass_seconds"] = result.pass_seconds;
  out["seconds"] = seconds;
  PrintOut(Serialized(out));
}

absl::Status RunCalibration(const CalibrateOptions& options, const std::stop_token& stop) {
  const RealClock clock;
  const Duration started = clock.Monotonic();
  QF_ASSIGN_OR_RETURN(Calibrated model, Prepare(options));
  if (options.dry_run) return PrintCost(options, model);
  QF_ASSIGN_OR_RETURN(const auto folder, engine::CalibrationFolder::Open(
                                             RealFileSystem(), options.out,
                                             {.replace = options.force, .resume = options.resume}));
  Say(CostText(model));
  QF_ASSIGN_OR_RETURN(
      const engine::RunnableSource made,
      MakeEngineSource(
          model.files, *model.source, folder->scratch(), options.resume,
          {.threads = options.threads, .memory_bytes = options.memory_mib << 20, .stop = stop}));
  model.origin.source = made.digest;
  QF_ASSIGN_OR_RETURN(engine::RunnableModel runnable,
                      LoadFor(options, model.origin.chunk, made.gguf));
  if (model.tokens.empty()) QF_RETURN_IF_ERROR(WriteText(options, model, runnable, *folder, stop));
  absl::StatusOr<engine::CalibrationResult> result;
  {
    ProgressLine line("calibrate");
    bool estimated = false;
    const auto tell = [&](const engine::CalibrationProgress& p) {
      if (!estimated && p.layer_seconds > 0) {
        estimated = true;
        Say(fmt::format(
            "layer {} of {} took {}: about {} to go", p.layer, model.cost.layers,
            Minutes(p.layer_seconds),
            Minutes(p.layer_seconds * static_cast<double>(model.cost.layers - p.layer))));
      }
      line.Update(model.cost.weight_bytes * p.done / p.all, model.cost.weight_bytes);
    };
    result = engine::Calibrate(runnable, *folder, model.origin, model.tokens, clock,
                               {.stop = stop, .on_progress = tell});
  }
  QF_RETURN_IF_ERROR(result.status());
  PrintResult(options, model, *result,
              static_cast<double>((clock.Monotonic() - started).count()) / 1000);
  return absl::OkStatus();
}

absl::Status CalibrateOrStop(const CalibrateOptions& options) {
  // Before any other thread, so that all leave the signals to it.
  const Interrupt interrupt;
  const absl::Status status = RunCalibration(options, interrupt.token());
  if (!absl::IsCancelled(status)) return status;
  return Cancelled(
      "stopped: run the same command with --resume to continue, or without it to start from the "
      "beginning");
}

}  // namespace

void AddCalibrateCommand(CLI::App& app) {
  const auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command = app.add_subcommand(
      "calibrate", "Measure what a model's weights are multiplied with, for quantizing it better");
  AddSourceArgument(command, options->source);
  CLI::Option* text =
      command
          ->add_option(
              "--text", options->text,
              "A UTF-8 text of the kind that the model is used for; its first chunks are read")
          ->type_name("FILE");
  CLI::Option* self = command->add_flag(
      "--self", options->self,
      "Let the model write its own text (the default): from its beginning, and as user and "
      "assistant of its chat template");
  self->excludes(text);
  command->add_option("--seed", options->seed, "With --self: another number, another text [1]")
      ->type_name("N")
      ->excludes(text);
  CLI::Option* out =
      command->add_option("--out", options->out, "Folder for the calibration")->type_name("DIR");
  command->add_flag("--second-moments", options->second_moments,
                    "Also write second_moments.gguf, which rounding with feedback needs");
  command->add_flag("--ranges", options->ranges,
                    "Also write ranges.json: least, greatest and percentiles of every activation");
  command->add_option("--chunk", options->chunk, "Tokens of a chunk [512, or the model's context]")
      ->type_name("TOKENS")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  command->add_option("--chunks", options->chunks, "How many chunks, at most [20]")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command
      ->add_option("--memory", options->memory_mib,
                   "Memory for the tokens' states and the statistics, in MiB [4096]; weights are "
                   "mapped and not counted")
      ->type_name("MIB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_option("--threads", options->threads, "Worker threads [one per core]")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command->add_flag("--dry-run", options->dry_run,
                    "Only print what it takes: tokens, bytes, memory and, of a GGUF, time");
  command->add_flag("--force", options->force, "Replace an existing calibration");
  command->add_flag("--resume", options->resume,
                    "Continue a run into this folder that was killed or stopped");
  command->add_flag("--json", options->json, "Print the result as JSON on stdout");
  command->footer(
      "DIR/importance.gguf is what `quantfleet quantize --imatrix` and llama-quantize take.\n\n"
      "Exit codes: 0 success, 1 failed or stopped, 2 wrong usage.");
  command->callback([options, out] {
    if (out->empty() && !options->dry_run) throw CLI::RequiredError("--out");
    ExitOnError(CalibrateOrStop(*options));
  });
}

}  // namespace quantfleet::cli
