#include "cli/fit_run.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "cli/command.h"
#include "cli/engine_source.h"
#include "cli/fit_judge.h"
#include "cli/fit_text.h"
#include "cli/model_text.h"
#include "cli/progress.h"
#include "cli/source_text.h"
#include "common/base/clock.h"
#include "engine/calibrate/calibrate.h"
#include "engine/measure/row_error_file.h"
#include "engine/measure/sensitivity_file.h"
#include "pipeline/format/gguf/read/gguf_calibration.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/recipe/mix_recipe.h"
#include "pipeline/stage/mix_fit.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

constexpr int kBands = 4;
// What weights are spoiled to: near what mixes are made of, and every format's groups are like it.
constexpr DType kSpoiled = DType::kQ4_0;
constexpr int64_t kChunk = 256;
constexpr std::chrono::seconds kKeepEvery{2};  // errors of rows
constexpr std::string_view kScratch = ".fitting", kMoments = "second_moments.gguf";

double SecondsSince(const Clock& clock, Duration start) {
  return static_cast<double>((clock.Monotonic() - start).count()) / 1000;
}

// Layers that a chunk goes through to measure a cell.
int64_t LayersOf(const engine::SensitivityCell& cell, int64_t layers) {
  if (cell.role == Role::kOutputHead) return 0;
  return layers - std::max(cell.first_layer, 0);
}

class Fitter {
 public:
  Fitter(const FitOptions& options, std::stop_token stop)
      : options_(options), stop_(std::move(stop)), memory_(options.memory_mib << 20) {}

  absl::StatusOr<FitResult> Run() {
    QF_RETURN_IF_ERROR(Open());
    QF_RETURN_IF_ERROR(MakeTable());
    if (options_.dry_run) return DryRun();
    QF_RETURN_IF_ERROR(OpenEngine());
    QF_RETURN_IF_ERROR(MeasureCells());
    model_.reset();
    QF_RETURN_IF_ERROR(FindMix());
    if (!options_.no_check) QF_RETURN_IF_ERROR(Check());
    QF_RETURN_IF_ERROR(Write());
    return std::move(result_);
  }

 private:
  const ModelDescription& description() const { return source_->description(); }
  fs::path scratch() const { return fs::path(options_.calibration) / kScratch; }
  fs::path sensitivities() const {
    return fs::path(options_.calibration) / engine::kSensitivitiesFile;
  }
  // What rounding goes by.
  Digest statistics() const {
    return calibration_.moments ? calibration_.moments->digest() : calibration_.importance->digest;
  }
  ExecutorOptions execution() const {
    return {.threads = options_.threads, .memory_bytes = memory_, .stop = stop_};
  }

  // What can be refused before anything takes time.
  absl::Status Open() {
    FileSystem& files = RealFileSystem();
    if (!options_.dry_run && !options_.force && files.Exists(options_.out))
      return AlreadyExists("{} exists: use --force to replace it", options_.out);
    QF_ASSIGN_OR_RETURN(budget_, ReadBudget(files, options_.budget));
    format_ = options_.format.empty() ? budget_.format : options_.format;
    if (!budget_.format.empty() && format_ != budget_.format)
      return InvalidArgument("the class is for {}, and --target is {}: leave one out",
                             budget_.format, format_);
    name_ = options_.name.empty() ? budget_.name : options_.name;
    if (!ValidRecipeName(name_) || FindRecipe(name_).ok())
      return InvalidArgument(
          "'{}' cannot be a recipe's name: use 1 to 64 characters of a-z, 0-9, '_', '-' and '.', "
          "and none of the names there are",
          name_);
    QF_ASSIGN_OR_RETURN(files_, ResolveModel(files, options_.source));
    PrintFiles(files_);
    QF_ASSIGN_OR_RETURN(source_, OpenModel(files, files_));
    WarnOf(description());
    Warn(QuantizedNote(description()));
    const bool has_moments = files.Exists(fs::path(options_.calibration) / kMoments);
    how_ = has_moments ? Rounding::kFeedback : Rounding::kSearch;
    if (!options_.rounding.empty()) {
      QF_ASSIGN_OR_RETURN(how_, RoundingFromName(options_.rounding));
    }
    QF_ASSIGN_OR_RETURN(calibration_, OpenCalibration(files, options_.calibration, *source_,
                                                      how_ == Rounding::kFeedback));
    QF_ASSIGN_OR_RETURN(calibrated_, ReadCalibratedText(files, options_.calibration));
    return absl::OkStatus();
  }

  absl::Status MakeTable() {
    QF_ASSIGN_OR_RETURN(table_, MakeMixTable(*source_, format_, /*calibrated=*/true));
    // Of no harm at all the smallest mix is the best.
    QF_RETURN_IF_ERROR(
        FitMix(*source_, table_, name_, /*calibrated=*/true, budget_.budget).status());
    std::vector<bool> chosen(description().pieces.size());
    for (const std::vector<uint32_t>& pieces : table_.pieces)
      for (const uint32_t piece : pieces)
        chosen[piece] = Divides(kSpoiled, description().pieces[piece].cols);
    for (const engine::SensitivityCell& cell : engine::CellsOf(description(), kBands))
      for (size_t p = 0; p < chosen.size(); ++p)
        if (chosen[p] && cell.Has(description().pieces[p])) {
          cells_.push_back(cell);
          break;
        }
    chunk_ = std::min<int64_t>(kChunk, description().hyper.context);
    result_.cells = cells_.size();
    for (const engine::SensitivityCell& cell : cells_)
      result_.layer_passes += LayersOf(cell, description().hyper.layers);
    return absl::OkStatus();
  }

  absl::StatusOr<FitResult> DryRun() {
    const int64_t tokens = chunk_ * FitTextOptions().chunks;
    result_.memory = engine::SensitivityMemory(description(), cells_, tokens, chunk_, tokens);
    result_.summary =
        fmt::format("{} measurements of {} tokens, together {} times through a layer; memory {}\n",
                    result_.cells, tokens, result_.layer_passes, HumanBytes(result_.memory));
    if (const std::optional<fs::path> gguf = engine::RunsAsItIs(files_)) {
      QF_ASSIGN_OR_RETURN(engine::RunnableModel model, Load(*gguf));
      // Any tokens will do.
      const std::vector<int32_t> any(static_cast<size_t>(chunk_));
      QF_ASSIGN_OR_RETURN(
          const double chunk,
          engine::TimeOneChunk(model, any, chunk_, /*second_moments=*/false, RealClock()));
      result_.seconds = chunk * static_cast<double>(tokens / chunk_ * result_.layer_passes);
      result_.summary += fmt::format("they take about {}, by one chunk through the first layer\n",
                                     Minutes(result_.seconds));
    } else {
      result_.summary += "a copy of the model as GGUF is made first, in the source's precision\n";
    }
    return std::move(result_);
  }

  absl::StatusOr<engine::RunnableModel> Load(const fs::path& gguf) const {
    return engine::RunnableModel::Load(
        gguf, {.threads = options_.threads, .context = chunk_, .kv_type = DType::kF32});
  }

  absl::Status OpenEngine() {
    QF_ASSIGN_OR_RETURN(
        engine_, MakeEngineSource(files_, *source_, scratch(), /*resume=*/true, execution()));
    if (calibration_.source && *calibration_.source != engine_.digest)
      return FailedPrecondition(
          "{}: the calibration is of another model: calibrate this one, whose digest is {}",
          options_.calibration, engine_.digest.hex());
    QF_ASSIGN_OR_RETURN(engine::RunnableModel model, Load(engine_.gguf));
    model_ = std::make_unique<engine::RunnableModel>(std::move(model));
    QF_ASSIGN_OR_RETURN(
        text_,
        MakeFitText(
            *model_, calibrated_,
            {.file = options_.text, .chunk = chunk_, .memory_bytes = memory_, .stop = stop_}));
    const size_t piece_count = description().pieces.size();
    const RowRounding sizes(description(), calibration_, how_, 1);
    const uint64_t each = sizes.FactorBytes();
    if (each > memory_ / 2)
      return ResourceExhausted("feedback takes {} for one tensor, but --memory is {}: give it more",
                               HumanBytes(2 * each), HumanBytes(memory_));
    const uint64_t slots = each == 0 ? 1 : std::clamp<uint64_t>(memory_ / 2 / each, 1, 64);
    rounding_ = std::make_unique<RowRounding>(description(), calibration_, how_,
                                              static_cast<size_t>(slots));
    for (size_t p = 0; p < piece_count; ++p) {
      const Piece& piece = description().pieces[p];
      places_[{piece.role, piece.layer, piece.expert}] = p;
    }
    return absl::OkStatus();
  }

  absl::Status MeasureCells() {
    QF_ASSIGN_OR_RETURN(const auto probe,
                        engine::SensitivityProbe::Prepare(
                            *model_, text_.measured, cells_,
                            {.chunk = chunk_, .memory_bytes = memory_, .stop = stop_}));
    const engine::SensitivityOrigin origin{
        .source = engine_.digest,
        .statistics = statistics(),
        .tokens = HashBytes(std::as_bytes(std::span(text_.measured))),
        .rounding = std::string(Name(how_)),
        .spoiled = std::string(Info(kSpoiled).name),
        .chunk = chunk_,
        .judged = probe->judged()};
    FileSystem& files = RealFileSystem();
    QF_ASSIGN_OR_RETURN(measured_, engine::ReadSensitivities(files, sensitivities(), origin));
    const RealClock clock;
    const Duration start = clock.Monotonic();
    int64_t done = 0, here = 0, all = result_.layer_passes;
    ProgressLine line("sensitivities");
    for (const engine::SensitivityCell& cell : cells_) {
      const int64_t layers = LayersOf(cell, description().hyper.layers);
      done += layers;
      if (std::ranges::find(measured_, cell, &engine::MeasuredCell::cell) != measured_.end())
        continue;
      QF_ASSIGN_OR_RETURN(
          const double divergence,
          probe->Measure(cell, [&](Role role, int layer, int expert, std::span<float> rows) {
            return rounding_->Round(places_.at({role, layer, expert}), kSpoiled, rows);
          }));
      measured_.push_back({cell, divergence});
      QF_RETURN_IF_ERROR(engine::WriteSensitivities(files, sensitivities(), origin, measured_));
      here += std::max<int64_t>(layers, 1);
      if (result_.cells_measured++ == 0)
        Say(fmt::format("{} of {} sensitivities are measured: about {} to go", measured_.size(),
                        cells_.size(),
                        Minutes(SecondsSince(clock, start) / static_cast<double>(here) *
                                static_cast<double>(all - done))));
      line.Update(static_cast<uint64_t>(done), static_cast<uint64_t>(all));
    }
    return absl::OkStatus();
  }

  // How much a unit of a piece's error harms, in nats per token.
  std::vector<double> Weights(const PieceErrors& errors) const {
    std::vector<double> weights(description().pieces.size());
    for (const engine::MeasuredCell& one : measured_) {
      double error = 0;
      for (size_t p = 0; p < errors.size(); ++p)
        if (const auto it = errors[p].find(kSpoiled);
            it != errors[p].end() && one.cell.Has(description().pieces[p]))
          error += it->second;
      // A model that is spoiled by nothing still has small errors rather than large ones.
      const double weight = std::max(one.divergence, 1e-9) / std::max(error, 1e-30);
      for (size_t p = 0; p < weights.size(); ++p)
        if (one.cell.Has(description().pieces[p])) weights[p] = weight;
    }
    return weights;
  }

  absl::StatusOr<PieceErrors> MeasureRows() {
    FileSystem& files = RealFileSystem();
    const fs::path path = fs::path(options_.calibration) / engine::kRowErrorsFile;
    MixErrorOptions how{.threads = options_.threads, .stop = stop_};
    const engine::RowErrorOrigin origin{.source = engine_.digest,
                                        .statistics = statistics(),
                                        .rounding = std::string(Name(how_)),
                                        .rows = how.rows};
    QF_ASSIGN_OR_RETURN(PieceErrors known,
                        engine::ReadRowErrors(files, path, origin, description().pieces.size()));
    ProgressLine line("errors");
    const RealClock clock;
    Duration kept = clock.Monotonic();
    how.on_progress = [&](const PieceErrors& errors, size_t done, size_t all) {
      line.Update(done, all);
      // Writing takes longer the more there is.
      if (done < all && clock.Monotonic() - kept < kKeepEvery) return absl::OkStatus();
      kept = clock.Monotonic();
      return engine::WriteRowErrors(files, path, origin, errors);
    };
    return MeasureErrors(*source_, table_, kSpoiled, *rounding_, how, std::move(known));
  }

  absl::Status FindMix() {
    QF_ASSIGN_OR_RETURN(const PieceErrors errors, MeasureRows());
    result_.notes = rounding_->Notes();
    FillHarms(errors, Weights(errors), table_);
    QF_ASSIGN_OR_RETURN(FittedMix fitted,
                        FitMix(*source_, table_, name_, /*calibrated=*/true, budget_.budget));
    result_.predicted = fitted.mix.harm;
    result_.bytes = fitted.bytes;
    for (size_t t = 0; t < table_.tensors.size(); ++t) {
      const MixChoice& choice = table_.tensors[t].choices[fitted.mix.chosen[t]];
      ++result_.types[choice.type].tensors;
      result_.types[choice.type].bytes += choice.bytes;
    }
    result_.recipe = std::move(fitted.recipe);
    return absl::OkStatus();
  }

  TargetSpec SpecOf(Recipe recipe) const {
    TargetSpec spec{.format = format_, .recipe = recipe.name};
    spec.own = std::move(recipe);
    return spec;
  }

  absl::Status Check() {
    QF_ASSIGN_OR_RETURN(const std::optional<TargetSpec> named,
                        NearestNamed(*source_, format_, /*calibrated=*/true, budget_.budget));
    if (text_.judged.empty()) {
      result_.notes.push_back("the text is too short to judge the mix by a part of it");
      return absl::OkStatus();
    }
    std::vector<TargetSpec> specs{SpecOf(result_.recipe)};
    if (named) specs.push_back(*named);
    for (TargetSpec& spec : specs) {
      spec.rounding = how_;
      spec.calibrated = true;
    }
    QF_ASSIGN_OR_RETURN(const Plan plan, MakePlan(*source_, specs, calibration_));
    QF_ASSIGN_OR_RETURN(const std::vector<engine::Comparison> compared,
                        Judge(*source_, plan, engine_.gguf, scratch() / "judged",
                              {text_.judged, chunk_}, execution()));
    result_.mix = compared[0];
    if (!named) {
      result_.notes.push_back("no named recipe is as small, so the mix was compared with none");
      return absl::OkStatus();
    }
    result_.named = named->recipe;
    result_.of_named = compared[1];
    result_.taken = compared[0].mean_kl <= compared[1].mean_kl;
    if (result_.taken) return absl::OkStatus();
    result_.notes.push_back(fmt::format(
        "the mix is no better than {}:{} on this text ({:.4f} and {:.4f} nats per token): the "
        "recipe is the named one",
        format_, named->recipe, compared[0].mean_kl, compared[1].mean_kl));
    QF_ASSIGN_OR_RETURN(const Recipe base, FindRecipe(named->recipe));
    result_.recipe = base;
    result_.recipe.name = name_;
    result_.recipe.base = named->recipe;
    result_.recipe.changes = {};
    result_.bytes = TargetBytes(plan.targets[1]);
    result_.types.clear();
    return absl::OkStatus();
  }

  std::string Summary() const {
    const auto measured = [](const engine::Comparison& compared) {
      return fmt::format("{:.4f} +- {:.4f} nats per token, {:.1f} % the same choice",
                         compared.mean_kl, compared.kl_error, 100 * compared.top1_agreement);
    };
    std::string text = fmt::format("the mix: {:.4f} nats per token predicted\n", result_.predicted);
    if (result_.mix)
      text +=
          fmt::format("  measured on {} tokens: {}\n", result_.mix->tokens, measured(*result_.mix));
    if (result_.of_named)
      text += fmt::format("  {}:{} on the same: {}\n", format_, result_.named,
                          measured(*result_.of_named));
    return text;
  }

  absl::Status Write() {
    FileSystem& files = RealFileSystem();
    result_.summary = Summary();
    std::string comment = fmt::format(
        "quantfleet fit: {} in {}, {} bytes in all\nmodel {}\nimportance {}\n", format_,
        budget_.text, result_.bytes, engine_.digest.hex(), calibration_.importance->digest.hex());
    if (calibration_.moments)
      comment += fmt::format("second moments {}\n", calibration_.moments->digest().hex());
    comment += fmt::format("rounding {}\n", Name(how_)) + result_.summary;
    QF_RETURN_IF_ERROR(
        files.WriteAtomically(options_.out, AsBytes(RecipeText(result_.recipe, comment))));
    return files.RemoveTree(scratch());
  }

  const FitOptions& options_;
  const std::stop_token stop_;
  const uint64_t memory_;
  FitBudget budget_;
  std::string format_, name_;
  ModelFiles files_;
  std::unique_ptr<ModelSource> source_;
  Rounding how_ = Rounding::kNearest;
  Calibration calibration_;
  CalibratedText calibrated_;
  MixTable table_;
  std::vector<engine::SensitivityCell> cells_;
  int64_t chunk_ = 0;
  engine::RunnableSource engine_;
  std::unique_ptr<engine::RunnableModel> model_;
  FitText text_;
  std::unique_ptr<RowRounding> rounding_;
  std::map<std::tuple<Role, int, int>, size_t> places_;
  std::vector<engine::MeasuredCell> measured_;
  FitResult result_;
};

}  // namespace

json::object CostJson(const FitResult& result) {
  json::object out{{"cells", result.cells},
                   {"layer_passes", result.layer_passes},
                   {"memory_bytes", result.memory}};
  if (result.seconds > 0) out["seconds"] = result.seconds;
  return out;
}

absl::StatusOr<FitResult> RunFit(const FitOptions& options, const std::stop_token& stop) {
  return Fitter(options, stop).Run();
}

}  // namespace quantfleet::cli
