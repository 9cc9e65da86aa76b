#include "cli/local_compare.h"

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "cli/compared_model.h"
#include "cli/interrupt.h"
#include "cli/model_text.h"
#include "cli/progress.h"
#include "cli/quality_text.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"
#include "common/base/random.h"
#include "engine/measure/bench.h"
#include "engine/measure/comparison.h"
#include "engine/measure/evaluation_text.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using pipeline::DType;

struct CompareOptions {
  std::string a, b, reference, text, scratch;
  int64_t tokens = 256;
  std::string kv_type = "f16";
  uint64_t memory_mib = 512;
  int threads = 0;
  bool no_speed = false, json = false;
};

// Removed with the object.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& in)
      : path_((in.empty() ? fs::temp_directory_path() : fs::path(in)) /
              SecureRandom().Id("quantfleet-compare-")) {}
  ~ScratchFolder() { RealFileSystem().RemoveTree(path_).IgnoreError(); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

// What there is to say about one model.
struct Column {
  const ComparedModel* model = nullptr;
  std::optional<engine::Comparison> compared;  // nullopt: it is the reference
  double mean_nll = 0, nll_error = 0;
  std::optional<engine::RatesAt> rates;  // nullopt: not measured
};

struct Compared {
  const ComparedModel* reference = nullptr;
  std::vector<Column> columns = {};
  int64_t tokens = 0;
  bool of_another_kind = false;  // the text
};

absl::StatusOr<std::unique_ptr<engine::Engine>> LoadEngine(const CompareOptions& options,
                                                           const ComparedModel& model,
                                                           DType kv_type) {
  return engine::Engine::Load(model.gguf, {.threads = options.threads, .kv_type = kv_type});
}

// Only of what the engine runs on devices, too: how fast another runtime is with the artifact is
// its own affair.
absl::StatusOr<std::optional<engine::RatesAt>> SpeedOf(const CompareOptions& options,
                                                       const ComparedModel& model,
                                                       int64_t context) {
  if (!model.own || options.no_speed) return std::nullopt;
  engine::BenchOptions bench{.engine = {.threads = options.threads, .text = false}};
  bench.prompt_tokens = std::clamp<int64_t>(context / 2, 1, bench.prompt_tokens);
  bench.tokens = std::clamp<int64_t>(context / 4, 1, bench.tokens);
  QF_ASSIGN_OR_RETURN(const engine::BenchResult result, engine::BenchModel(model.gguf, bench));
  return result.rates.front();
}

// `reference` runs with a cache in F32, what is compared with one as devices have it.
absl::StatusOr<Compared> MeasureAll(const CompareOptions& options, const ComparedModel& reference,
                                    const std::vector<const ComparedModel*>& models,
                                    const std::string& text, const std::stop_token& stop) {
  Compared all{.reference = &reference};
  QF_ASSIGN_OR_RETURN(const DType kv_type, pipeline::DTypeFromName(options.kv_type));
  QF_ASSIGN_OR_RETURN(const auto judge, LoadEngine(options, reference, DType::kF32));
  QF_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                      engine::EvaluationTokens(*judge, text, options.tokens));
  for (const ComparedModel* model : models) {
    Column& column = all.columns.emplace_back();
    column.model = model;
    if (model == &reference) continue;  // what it finds comes out of the comparison with the other
    QF_ASSIGN_OR_RETURN(const auto candidate, LoadEngine(options, *model, kv_type));
    ProgressLine line("compare");
    const uint64_t bytes = model->bytes;
    engine::ComparisonOptions how{.stop = stop};
    how.on_progress = [&line, bytes](uint64_t done, uint64_t of) {
      line.Update(static_cast<uint64_t>(static_cast<double>(bytes) * static_cast<double>(done) /
                                        static_cast<double>(of)),
                  bytes);
    };
    QF_ASSIGN_OR_RETURN(column.compared, engine::Compare(*judge, *candidate, tokens, how));
    column.mean_nll = column.compared->mean_nll;
    column.nll_error = column.compared->nll_error;
  }
  const engine::Comparison& last = *all.columns.back().compared;
  for (Column& column : all.columns) {
    if (!column.compared) {
      column.mean_nll = last.reference_mean_nll;
      column.nll_error = last.reference_nll_error;
    }
    QF_ASSIGN_OR_RETURN(column.rates, SpeedOf(options, *column.model, judge->context()));
  }
  all.tokens = last.tokens;
  all.of_another_kind = engine::IsOfAnotherKind(last.reference_mean_nll, judge->vocab());
  return all;
}

json::object ColumnJson(const Column& column) {
  json::object out{{"path", column.model->path},   {"target", column.model->target},
                   {"bytes", column.model->bytes}, {"reference", !column.compared},
                   {"mean_nll", column.mean_nll},  {"nll_error", column.nll_error}};
  if (const auto& compared = column.compared) {
    out["mean_kl"] = compared->mean_kl;
    out["kl_error"] = compared->kl_error;
    out["kl_p99"] = compared->kl_p99;
    out["top1_agreement"] = compared->top1_agreement;
  }
  out["weights"] = column.model->own ? "AS_SEALED" : "DEQUANTIZED";
  out["prompt_tokens_per_second"] = nullptr;
  out["tokens_per_second"] = nullptr;
  if (const auto& rates = column.rates) {
    out["prompt_tokens_per_second"] = rates->prompt_tokens_per_second;
    out["tokens_per_second"] = rates->tokens_per_second;
  }
  return out;
}

std::string ResultJson(const Compared& all, const CompareOptions& options) {
  json::array models;
  for (const Column& column : all.columns) models.push_back(ColumnJson(column));
  return Serialized({{"reference", all.reference->path},
                     {"tokens", all.tokens},
                     {"kv_type", options.kv_type},
                     {"text_of_another_kind", all.of_another_kind},
                     {"models", std::move(models)}});
}

std::string ResultText(const Compared& all) {
  Table table({"", "A", "B"});
  const auto row = [&](std::string name, auto cell) {
    std::vector<std::string> cells{std::move(name)};
    for (const Column& column : all.columns) cells.push_back(cell(column));
    table.Add(std::move(cells));
  };
  // `cell` of what was compared with the reference.
  const auto judged = [&](std::string name, auto cell) {
    row(std::move(name), [&](const Column& column) {
      return column.compared ? cell(*column.compared) : std::string("the reference");
    });
  };
  const auto speed = [&](std::string name, double engine::RatesAt::* rate) {
    row(std::move(name), [rate](const Column& column) {
      return column.rates ? fmt::format("{:.1f} tokens/s", *column.rates.*rate)
                          : std::string("not measured");
    });
  };
  row("model", [](const Column& column) { return column.model->path; });
  row("kind", [](const Column& column) { return column.model->target; });
  row("size", [](const Column& column) { return HumanBytes(column.model->bytes); });
  judged("same choice",
         [](const auto& c) { return fmt::format("{:.1f} %", 100 * c.top1_agreement); });
  judged("mean KL", [](const auto& c) { return WithError(c.mean_kl, c.kl_error); });
  judged("KL, 99th percentile", [](const auto& c) { return fmt::format("{:.4f}", c.kl_p99); });
  row("mean NLL",
      [](const Column& column) { return WithError(column.mean_nll, column.nll_error); });
  speed("prompt", &engine::RatesAt::prompt_tokens_per_second);
  speed("generation", &engine::RatesAt::tokens_per_second);
  return table.ToString("") +
         fmt::format("\n{} tokens, compared with {}\n", all.tokens, Printable(all.reference->path));
}

absl::Status Compare(const CompareOptions& options) {
  // Before any other thread, so that all leave the signals to it.
  const Interrupt interrupt;
  const std::stop_token stop = interrupt.token();
  FileSystem& files = RealFileSystem();
  std::string text(engine::ShippedEvaluationText());
  if (!options.text.empty()) {
    QF_ASSIGN_OR_RETURN(text, files.ReadAll(options.text));
  }
  QF_ASSIGN_OR_RETURN(ComparedModel a, OpenCompared(files, options.a, stop));
  QF_ASSIGN_OR_RETURN(ComparedModel b, OpenCompared(files, options.b, stop));
  std::optional<ComparedModel> own_reference;
  if (!options.reference.empty()) {
    QF_ASSIGN_OR_RETURN(own_reference, OpenCompared(files, options.reference, stop));
  }
  ComparedModel& reference = own_reference ? *own_reference : a;
  for (const ComparedModel* model : {&a, &b})
    QF_RETURN_IF_ERROR(CheckSameVocabulary(reference, *model));

  const ScratchFolder scratch(options.scratch);
  const pipeline::ExecutorOptions execution{
      .threads = options.threads, .memory_bytes = options.memory_mib << 20, .stop = stop};
  // Who can say what an artifact of another runtime was made of: rather the reference.
  const std::vector<const ComparedModel*> all{&reference, &a, &b};
  for (ComparedModel* model : {&reference, &a, &b}) {
    const fs::path folder = scratch.path() / (model == &a ? "a" : model == &b ? "b" : "reference");
    QF_RETURN_IF_ERROR(MakeRunnable(files, *model, all, folder, execution));
  }
  QF_ASSIGN_OR_RETURN(const Compared compared,
                      MeasureAll(options, reference, {&a, &b}, text, stop));
  if (compared.of_another_kind)
    Warn(fmt::format(
        "{} does worse on this text than a guess: the text is not of the model's kind, and the "
        "figures say nothing about its use; give one that is with --text",
        reference.path));
  PrintOut(options.json ? ResultJson(compared, options) : ResultText(compared));
  return absl::OkStatus();
}

}  // namespace

void AddCompareCommand(CLI::App& app) {
  const auto options = std::make_shared<CompareOptions>();
  CLI::App* command = app.add_subcommand(
      "compare",
      "Measure how far two models are from each other, or from a third, and their speed");
  command
      ->add_option("A", options->a,
                   "A GGUF file, a Hugging Face folder, or an artifact's folder of any format; the "
                   "reference, unless there is a --reference")
      ->required();
  command->add_option("B", options->b, "Another one, of the same vocabulary")->required();
  command
      ->add_option("--reference", options->reference,
                   "The model that both are compared with, such as the one that they were made of")
      ->type_name("MODEL");
  command
      ->add_option("--text", options->text,
                   "A UTF-8 text to read in place of the shipped one; not one that a calibration "
                   "has read")
      ->type_name("FILE");
  command->add_option("--tokens", options->tokens, "How many tokens of it, at most [256]")
      ->type_name("N")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  command
      ->add_option("--kv-type", options->kv_type,
                   "Type of the KV cache: f16 [default], q8_0 or f32; the reference has f32")
      ->check(CLI::IsMember({"f16", "q8_0", "f32"}));
  command->add_flag("--no-speed", options->no_speed, "Do not measure how fast they are");
  command
      ->add_option("--scratch", options->scratch,
                   "Folder for the copies of what is not GGUF, which are removed in the end [the "
                   "system's for temporary files]")
      ->type_name("DIR");
  command
      ->add_option("--memory", options->memory_mib,
                   "Memory budget for making such copies, in MiB [512]")
      ->type_name("MIB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_option("--threads", options->threads, "Worker threads [one per core]")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command->add_flag("--json", options->json, "Print the result as JSON on stdout");
  command->footer(
      "Speed is that of the embedded engine, and only measured of GGUF.\n\n"
      "Exit codes: 0 success, 1 failed or stopped, 2 wrong usage.");
  command->callback([options] { ExitOnError(Compare(*options)); });
}

}  // namespace quantfleet::cli
