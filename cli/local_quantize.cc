#include "cli/local_quantize.h"

#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/format/open_model.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_sink.h"
#include "pipeline/stage/plan.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

struct Options {
  std::string source, out;
  std::vector<std::string> targets;
  uint64_t memory_mib = 512;
  int threads = 0;
  bool dry_run = false, force = false, json = false;
};

json::array FilesJson(const TargetPlan& target) {
  json::array files;
  for (const OutputFile& file : target.layout.files)
    files.push_back({{"path", file.path}, {"size", file.size}});
  return files;
}

json::object PlanJson(const ModelDescription& model, const Plan& plan) {
  json::array targets;
  for (const TargetPlan& target : plan.targets) {
    json::array tensors;
    for (const PlannedTensor& t : TensorsOf(model, target)) {
      json::array shape;
      if (t.dims > 1) shape.push_back(t.rows);
      shape.push_back(t.cols);
      tensors.push_back(
          {{"name", t.name}, {"shape", shape}, {"scheme", Info(t.dtype).name}, {"bytes", t.bytes}});
    }
    targets.push_back({{"name", target.spec.name()},
                       {"tensors", tensors},
                       {"files", FilesJson(target)},
                       {"bytes", TargetBytes(target)},
                       {"chunks", target.chunks.size()},
                       {"memory_bytes", target.layout.memory_bytes}});
  }
  return {{"source_bytes", plan.source_bytes}, {"slabs", plan.slabs.size()}, {"targets", targets}};
}

void PrintPlan(const Options& options, const ModelDescription& model, const Plan& plan) {
  if (options.json) return PrintOut(json::serialize(PlanJson(model, plan)) + "\n");
  PrintOut(DescribePlan(model, plan));
}

void PrintResult(const Options& options, const Plan& plan, const FolderSink& sink,
                 const ExecutorResult& result, double seconds) {
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
    text += fmt::format("{}  {}  {}\n", sink.FolderOf(t).string(), HumanBytes(TargetBytes(target)), digest);
  }
  if (!options.json) return PrintOut(text + fmt::format("{:.1f} s\n", seconds));
  const std::string& source_raw = result.manifests.front().source().digest();
  PrintOut(json::serialize(json::object{{"source_digest", ToHex(AsBytes(source_raw))},
                                        {"source_bytes", plan.source_bytes},
                                        {"targets", targets},
                                        {"seconds", seconds}}) +
           "\n");
}

absl::Status Quantize(const Options& options) {
  // Before any other thread, so that all leave the signals to it.
  const Interrupt interrupt;
  const RealClock clock;
  const Duration started = clock.Monotonic();
  std::vector<TargetSpec> specs;
  for (const std::string& text : options.targets) {
    QF_ASSIGN_OR_RETURN(TargetSpec spec, ParseTargetSpec(text));
    specs.push_back(std::move(spec));
  }
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> source, OpenModel(RealFileSystem(), options.source));
  QF_ASSIGN_OR_RETURN(const Plan plan, MakePlan(*source, specs));
  if (options.dry_run) {
    PrintPlan(options, source->description(), plan);
    return absl::OkStatus();
  }
  QF_ASSIGN_OR_RETURN(const auto sink, FolderSink::Open(RealFileSystem(), options.out, plan, {.replace = options.force}));
  ExecutorOptions execution{
      .threads = options.threads, .memory_bytes = options.memory_mib << 20, .stop = interrupt.token()};
  ExecutorResult result;
  {
    ProgressLine line("quantize");
    execution.on_progress = [&line](const Progress& p) { line.Update(p.bytes_read, p.bytes_total); };
    QF_ASSIGN_OR_RETURN(result, Execute(*source, plan, *sink, execution));
  }
  QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
  PrintResult(options, plan, *sink, result,
              static_cast<double>((clock.Monotonic() - started).count()) / 1000);
  return absl::OkStatus();
}

}  // namespace

void AddQuantizeCommand(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("quantize", "Make artifacts from a model, all in one pass, without a daemon");
  command->add_option("source", options->source, "A Hugging Face folder (safetensors) or a GGUF file")
      ->type_name("SRC")
      ->required();
  command->add_option("--target", options->targets, "What to make, as gguf:q4_0; may be given several times")
      ->type_name("FORMAT:RECIPE")
      ->required()
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        const auto spec = ParseTargetSpec(text);
        return spec.ok() ? std::string() : Message(spec.status());
      });
  CLI::Option* out =
      command->add_option("--out", options->out, "Folder that gets a folder per target")->type_name("DIR");
  command->add_option("--memory", options->memory_mib, "Memory for what is in flight, in MiB (512)")
      ->type_name("MIB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_option("--threads", options->threads, "Worker threads (as many as cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  CLI::Option* dry = command->add_flag("--dry-run", options->dry_run,
                                       "Only say what every tensor becomes and how large each file gets");
  command->add_flag("--force", options->force, "Replace artifacts that are there already");
  command->add_flag("--json", options->json, "Result as JSON on stdout");
  command->footer("Exit codes: 0 done, 1 failed and nothing half-done left, 2 wrong usage.");
  command->callback([options, out, dry] {
    if (out->empty() && dry->empty()) throw CLI::RequiredError("--out");
    ExitOnError(Quantize(*options));
  });
}

}  // namespace quantfleet::cli
