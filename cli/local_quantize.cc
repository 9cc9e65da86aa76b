#include "cli/local_quantize.h"

#include <algorithm>
#include <boost/json.hpp>
#include <functional>
#include <memory>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/lora_option.h"
#include "cli/model_text.h"
#include "cli/progress.h"
#include "cli/quantize_targets.h"
#include "cli/remote_format.h"
#include "cli/source_text.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/format/gguf/read/gguf_calibration.h"
#include "pipeline/format/gguf/read/gguf_importance.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/choose_fold.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_sink.h"
#include "pipeline/stage/plan.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

constexpr std::string_view kFoldAuto = "auto";

struct QuantizeOptions {
  std::string source, out, imatrix, calibration, rounding = "nearest", fold = "none";
  std::vector<std::string> lora;
  TargetWords words;
  uint64_t memory_mib = 512;
  int threads = 0;
  bool dry_run = false, force = false, resume = false, json = false;
  RunWish run;  // of a dry run
  uint64_t device_mib = 0;
};

json::array FilesJson(const TargetPlan& target) {
  json::array files;
  for (const OutputFile& file : target.layout.files)
    files.push_back({{"path", file.path}, {"size", file.size}});
  return files;
}

json::object PlanJson(const ModelDescription& model, const Plan& plan,
                      const std::vector<TargetRun>& runs) {
  json::array targets;
  for (size_t at = 0; at < plan.targets.size(); ++at) {
    const TargetPlan& target = plan.targets[at];
    json::array tensors;
    for (const PlannedTensor& t : TensorsOf(model, plan, target)) {
      json::array shape;
      if (t.dims > 2) shape.push_back(t.matrices);
      if (t.dims > 1) shape.push_back(t.rows / t.matrices);
      shape.push_back(t.cols);
      tensors.push_back({{"name", t.name},
                         {"shape", shape},
                         {"scheme", Info(t.dtype).name},
                         {"asked", Info(t.asked).name},
                         {"bytes", t.bytes},
                         {"expected_error", t.expected_error},
                         {"weighed", t.weighed}});
    }
    const std::vector<std::string> clauses = target.spec.clauses();
    targets.push_back({{"name", target.spec.name()},
                       {"changes", json::array(clauses.begin(), clauses.end())},
                       {"rounding", Name(target.spec.rounding)},
                       {"tensors", tensors},
                       {"files", FilesJson(target)},
                       {"bytes", TargetBytes(target)},
                       {"chunks", target.chunks.size()},
                       {"expected_error", ExpectedErrorOf(model, target)},
                       {"memory_bytes", runs[at].need.total()},
                       {"needs", NeedJson(runs[at].need)}});
    if (const auto& fit = runs[at].fit)
      targets.back().as_object()["device"] = {{"memory_bytes", fit->device_bytes},
                                              {"fits", fit->fits},
                                              {"longest_context", fit->longest}};
  }
  json::object out{{"source_bytes", plan.source_bytes},
                   {"slabs", plan.slabs.size()},
                   {"chat", ChatJson(model.tokenizer)},
                   {"targets", targets}};
  if (const auto& importance = plan.calibration.importance)
    out["importance_digest"] = importance->digest.hex();
  if (const auto& moments = plan.calibration.moments)
    out["second_moments_digest"] = moments->digest().hex();
  return out;
}

absl::Status PrintPlan(const QuantizeOptions& options, const ModelDescription& model,
                       const Plan& plan) {
  RunWish wish = options.run;
  wish.device_bytes = options.device_mib << 20;
  QF_ASSIGN_OR_RETURN(const std::vector<TargetRun> runs, RunsOf(plan, wish));
  PrintOut(options.json ? Serialized(PlanJson(model, plan, runs))
                        : DescribePlan(model, plan, runs));
  return absl::OkStatus();
}

void PrintResult(const QuantizeOptions& options, const ModelDescription& model, const Plan& plan,
                 const FolderSink& sink, const ExecutorResult& result, double seconds) {
  json::array targets;
  std::string text;
  for (size_t t = 0; t < plan.targets.size(); ++t) {
    const TargetPlan& target = plan.targets[t];
    const std::string digest = ManifestDigest(result.manifests[t]).hex();
    targets.push_back({{"name", target.spec.name()},
                       {"path", sink.FolderOf(t).string()},
                       {"manifest_digest", digest},
                       {"files", FilesJson(target)},
                       {"bytes", TargetBytes(target)}});
    text += fmt::format("{}  {}  {}\n", sink.FolderOf(t).string(), HumanBytes(TargetBytes(target)),
                        digest);
  }
  for (const std::string& note : result.notes) Warn(note);
  json::object fold;
  if (plan.fold != nullptr) {
    text += fmt::format("{} of {} sites folded\n", plan.fold->folded, plan.fold->sites);
    fold = {{"sites", plan.fold->sites},
            {"folded", plan.fold->folded},
            {"digest", plan.fold->digest.hex()}};
  }
  if (!options.json) return PrintOut(text + fmt::format("{:.1f} s\n", seconds));
  const std::string& source_raw = result.manifests.front().source().digest();
  PrintOut(
      json::serialize(json::object{{"source_digest", ToHex(AsBytes(source_raw))},
                                   {"source_bytes", plan.source_bytes},
                                   {"chat", ChatJson(model.tokenizer)},
                                   {"targets", targets},
                                   {"slabs_resumed", result.progress.slabs_resumed},
                                   {"values_encoded", result.progress.values_encoded},
                                   {"notes", json::array(result.notes.begin(), result.notes.end())},
                                   {"fold", plan.fold ? json::value(fold) : json::value()},
                                   {"seconds", seconds}}) +
      "\n");
}

// Whether the target quantizes what is quantized already. A type that the source has is copied, and
// floats hold what codes stand for.
bool QuantizesAgain(const ModelDescription& model, const TargetPlan& target) {
  return std::ranges::any_of(target.layout.pieces, [&](const PlacedPiece& placed) {
    const SourceTensor& from = model.tensors[model.pieces[placed.piece].tensor];
    return IsQuantized(from) && !IsFloat(placed.dtype) && from.dtype != placed.dtype;
  });
}

// Where rows do not divide into the groups that were asked for.
void WarnOfFallbacks(const TargetPlan& target) {
  const auto& fallbacks = target.layout.fallbacks;
  if (fallbacks.empty()) return;
  const TypeFallback& first = fallbacks.front();
  Warn(fmt::format(
      "{}: the rows of {} tensors cannot be divided into the groups asked for, so that they get "
      "another type ({} gets {} in place of {}); --dry-run lists them",
      target.spec.name(), fallbacks.size(), first.tensor, Info(first.taken).name,
      Info(first.asked).name));
}

absl::StatusOr<std::shared_ptr<const Fold>> FoldOf(const QuantizeOptions& options,
                                                   const ModelSource& source,
                                                   const Calibration& calibration,
                                                   std::stop_token stop) {
  ProgressLine line("fold");
  return ChooseFold(
      source, calibration,
      {.threads = options.threads,
       .memory_bytes = options.memory_mib << 20,
       .on_progress = [&line](uint64_t done, uint64_t total) { line.Update(done, total); },
       .stop = std::move(stop)});
}

// Ranges of activations are those of the model as it was calibrated.
absl::Status CheckFold(const std::vector<TargetSpec>& specs) {
  for (const TargetSpec& spec : specs) {
    const absl::StatusOr<Recipe> recipe =
        spec.own ? absl::StatusOr<Recipe>(*spec.own) : FindRecipe(spec.recipe);
    if (recipe.ok() && recipe->activation_bits != 0)
      return InvalidArgument(
          "target {}:{}: folds change the activations that the calibration has measured: make "
          "gguf:f32 with --fold first, calibrate that with --ranges, and quantize it without",
          spec.format, spec.recipe);
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> PlanAsCalibrated(const QuantizeOptions& options, const ModelSource& source,
                                      std::vector<TargetSpec> specs, std::stop_token stop) {
  QF_ASSIGN_OR_RETURN(const Rounding rounding, RoundingFromName(options.rounding));
  Calibration calibration;
  if (!options.imatrix.empty()) {
    QF_ASSIGN_OR_RETURN(Importance read,
                        ReadImportance(RealFileSystem(), options.imatrix, source.description()));
    calibration.importance = std::make_shared<const Importance>(std::move(read));
  } else if (!options.calibration.empty()) {
    const bool feeds_back = rounding == Rounding::kFeedback;
    QF_ASSIGN_OR_RETURN(calibration,
                        OpenCalibration(RealFileSystem(), options.calibration, source, feeds_back));
  }
  std::shared_ptr<const Fold> fold;
  if (options.fold == kFoldAuto) QF_RETURN_IF_ERROR(CheckFold(specs));
  if (options.fold == kFoldAuto && !options.dry_run) {
    QF_ASSIGN_OR_RETURN(fold, FoldOf(options, source, calibration, std::move(stop)));
    QF_ASSIGN_OR_RETURN(calibration, Folded(calibration, *fold));
  }
  for (TargetSpec& spec : specs) {
    spec.rounding = rounding;
    spec.calibrated = calibration.importance != nullptr;
    spec.folded = fold != nullptr;
  }
  QF_ASSIGN_OR_RETURN(Plan plan, MakePlan(source, specs, std::move(calibration)));
  plan.fold = std::move(fold);
  return plan;
}

absl::Status Quantize(const QuantizeOptions& options) {
  // Before any other thread, so that all leave the signals to it.
  const Interrupt interrupt;
  const RealClock clock;
  const Duration started = clock.Monotonic();
  QF_ASSIGN_OR_RETURN(const std::vector<TargetSpec> specs,
                      ReadTargets(RealFileSystem(), options.words));
  QF_ASSIGN_OR_RETURN(const ModelFiles files,
                      ResolveModelWith(RealFileSystem(), options.source, options.lora));
  PrintFiles(files);
  QF_ASSIGN_OR_RETURN(const auto source, OpenModel(RealFileSystem(), files));
  WarnOf(source->description());
  QF_ASSIGN_OR_RETURN(const Plan plan,
                      PlanAsCalibrated(options, *source, specs, interrupt.token()));
  if (std::ranges::any_of(plan.targets, [&](const TargetPlan& target) {
        return QuantizesAgain(source->description(), target);
      }))
    Warn(QuantizedNote(source->description()));
  for (const TargetPlan& target : plan.targets) {
    WarnOfFallbacks(target);
    for (const std::string& note : target.layout.notes)
      Warn(Printable(fmt::format("{}: {}", target.spec.name(), note)));
  }
  if (options.dry_run) return PrintPlan(options, source->description(), plan);
  QF_ASSIGN_OR_RETURN(const auto sink,
                      FolderSink::Open(RealFileSystem(), options.out, plan,
                                       {.replace = options.force,
                                        .resume = options.resume,
                                        .fingerprint = source->fingerprint().text}));
  ExecutorOptions execution{.threads = options.threads,
                            .memory_bytes = options.memory_mib << 20,
                            .journal = &sink->journal(),
                            .stop = interrupt.token()};
  absl::StatusOr<ExecutorResult> executed;
  {
    ProgressLine line("quantize");
    execution.on_progress = [&line](const Progress& p) {
      line.Update(p.bytes_read, p.bytes_total);
    };
    executed = Execute(*source, plan, *sink, execution);
  }
  if (absl::IsCancelled(executed.status())) {
    sink->Keep();
    return Cancelled(
        "stopped: run the same command with --resume to continue, or without it to start from the "
        "beginning");
  }
  QF_ASSIGN_OR_RETURN(const ExecutorResult result, std::move(executed));
  QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
  PrintResult(options, source->description(), plan, *sink, result,
              static_cast<double>((clock.Monotonic() - started).count()) / 1000);
  return absl::OkStatus();
}

// Arguments that cannot be right are wrong usage; files are read later.
template <typename Parse>
std::function<std::string(const std::string&)> Parses(Parse parse) {
  return [parse](const std::string& text) {
    const auto parsed = parse(text);
    return parsed.ok() ? std::string() : Message(parsed.status());
  };
}

// What to make, and what should differ from the recipe.
void AddTargetOptions(CLI::App& command, QuantizeOptions& options) {
  TargetWords& words = options.words;
  command
      .add_option("--target", words.targets,
                  "Targets to make, such as gguf:q4_k_m, onnx:int4-g128-asym or onnx:FILE.toml (a "
                  "recipe); may be repeated")
      ->type_name("FORMAT:RECIPE")
      ->required()
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return IsRecipeFile(text) ? std::string() : Parses(ParseTargetSpec)(text);
      });
  command
      .add_option("--tensor-type", words.tensor_types,
                  "Type for the tensors that match: REGEX=TYPE or role:ROLE=TYPE; may be repeated, "
                  "the first match counts")
      ->type_name("MATCH=TYPE")
      ->allow_extra_args(false)
      ->check(Parses(TypeOverride::Parse));
  command
      .add_option("--output-type", words.output_type,
                  "Type of the output head (if tied, of the embedding)")
      ->type_name("TYPE")
      ->check(Parses(DTypeFromName));
  command.add_option("--embedding-type", words.embedding_type, "Type of the token embedding")
      ->type_name("TYPE")
      ->check(Parses(DTypeFromName));
  command.add_flag("--pure", words.pure, "Use the recipe's body type for every matrix");
  command
      .add_option("--imatrix", options.imatrix,
                  "Importance of the columns: a GGUF file made by llama-imatrix")
      ->type_name("FILE");
  command
      .add_option("--calibration", options.calibration,
                  "Folder of a calibration: its importance, and for feedback its second moments")
      ->type_name("DIR")
      ->excludes("--imatrix");
  command
      .add_option(
          "--rounding", options.rounding,
          "How codes are chosen: nearest [default], search (scales of least error where the "
          "model looks) or feedback (columns that also make good each other's errors)")
      ->type_name("HOW")
      ->check(Parses(RoundingFromName));
  command
      .add_option(
          "--fold", options.fold,
          "Move numbers from weights to the norms and weights before them, so that four bits "
          "hold them better: auto (where it measurably helps) or none [default]")
      ->type_name("HOW")
      ->check(CLI::IsMember({std::string(kFoldAuto), std::string("none")}));
}

}  // namespace

void AddQuantizeCommand(CLI::App& app) {
  const auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command =
      app.add_subcommand("quantize", "Make artifacts from a model in one pass, without a daemon");
  AddSourceArgument(command, options->source);
  AddTargetOptions(*command, *options);
  AddLoraOption(command, options->lora);
  CLI::Option* out =
      command
          ->add_option("--out", options->out, "Folder for the results, with a subfolder per target")
          ->type_name("DIR");
  command
      ->add_option("--memory", options->memory_mib,
                   "Memory budget for data in flight, in MiB [512]")
      ->type_name("MIB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_option("--threads", options->threads, "Worker threads [one per core]")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  CLI::Option* dry =
      command->add_flag("--dry-run", options->dry_run,
                        "Only print what every tensor becomes and how large each file gets");
  command
      ->add_option(
          "--context", options->run.context,
          "With --dry-run: calculate memory for this many tokens [the model's own, at most 4096]")
      ->type_name("TOKENS")
      ->needs(dry)
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30));
  command
      ->add_option("--kv-type", options->run.kv_type,
                   "With --dry-run: type of the KV cache: f16 (default for gguf), q8_0 or f32")
      ->type_name("TYPE")
      ->needs(dry);
  command
      ->add_option("--device-memory", options->device_mib,
                   "With --dry-run: check whether a device with this many MiB can run it, and with "
                   "which context")
      ->type_name("MIB")
      ->needs(dry)
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_flag("--force", options->force, "Replace existing artifacts");
  command->add_flag("--resume", options->resume,
                    "Continue a run into this folder that was killed or stopped");
  command->add_flag("--json", options->json, "Print the result as JSON on stdout");
  command->footer(
      fmt::format("Targets: {}.\n\nExit codes: 0 success, 1 failed or stopped (no incomplete "
                  "artifact is visible), 2 wrong usage.",
                  ListTargets()));
  command->callback([options, out, dry] {
    if (out->empty() && dry->empty()) throw CLI::RequiredError("--out");
    if (options->rounding == "search" && options->imatrix.empty() && options->calibration.empty())
      throw CLI::RequiredError("--rounding search: --calibration or --imatrix");
    if (options->rounding == "feedback" && options->calibration.empty())
      throw CLI::RequiredError("--rounding feedback: --calibration");
    if (options->fold == kFoldAuto && options->imatrix.empty() && options->calibration.empty())
      throw CLI::RequiredError("--fold auto: --calibration or --imatrix");
    ExitOnError(Quantize(*options));
  });
}

}  // namespace quantfleet::cli
