#include "cli/local_fit.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <memory>
#include <set>

#include "cli/command.h"
#include "cli/fit_budget.h"
#include "cli/fit_run.h"
#include "cli/interrupt.h"
#include "cli/model_text.h"
#include "cli/source_text.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

json::object ComparisonJson(const engine::Comparison& compared) {
  return {{"tokens", compared.tokens},
          {"mean_kl", compared.mean_kl},
          {"kl_error", compared.kl_error},
          {"top1_agreement", compared.top1_agreement}};
}

json::object ResultJson(const FitOptions& options, const FitResult& result) {
  json::object types;
  for (const auto& [type, share] : result.types)
    types[Info(type).name] = {{"tensors", share.tensors}, {"bytes", share.bytes}};
  json::object out{{"path", options.out},
                   {"recipe", result.recipe.name},
                   {"bytes", result.bytes},
                   {"predicted_kl", result.predicted},
                   {"types", types},
                   {"cells", result.cells},
                   {"cells_measured", result.cells_measured},
                   {"named", result.named},
                   {"taken", result.taken ? "mix" : "named"},
                   {"notes", json::array(result.notes.begin(), result.notes.end())}};
  if (result.mix) out["mix"] = ComparisonJson(*result.mix);
  if (result.of_named) out["of_named"] = ComparisonJson(*result.of_named);
  return out;
}

void PrintResult(const FitOptions& options, const FitResult& result) {
  for (const std::string& note : result.notes) Warn(note);
  if (options.json) return PrintOut(Serialized(ResultJson(options, result)));
  std::string text =
      fmt::format("{}  {} ({} bytes)\n", options.out, HumanBytes(result.bytes), result.bytes);
  for (const auto& [type, share] : result.types)
    text += fmt::format("  {:<8} {:>4} tensors  {}\n", Info(type).name, share.tensors,
                        HumanBytes(share.bytes));
  text += result.summary;
  PrintOut(text);
}

absl::Status Fit(const FitOptions& options) {
  // Before any other thread, so that all leave the signals to it.
  const Interrupt interrupt;
  const auto result = RunFit(options, interrupt.token());
  if (absl::IsCancelled(result.status()))
    return Cancelled("stopped: run the same command again, which keeps what was measured");
  QF_RETURN_IF_ERROR(result.status());
  if (options.dry_run) {
    PrintOut(options.json ? Serialized(CostJson(*result)) : result->summary);
    return absl::OkStatus();
  }
  PrintResult(options, *result);
  return absl::OkStatus();
}

void AddBudgetOptions(CLI::App* command, FitOptions& options) {
  CLI::Option* bytes =
      command
          ->add_option("--bytes", options.budget.bytes,
                       "Bytes that all files of the artifact may take, such as 95MB or 1200MiB")
          ->type_name("SIZE")
          ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  CLI::Option* device = command
                            ->add_option("--device-memory", options.budget.device_mib,
                                         "Or: what runs in this many MiB of memory, with --context")
                            ->type_name("MIB")
                            ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24))
                            ->excludes(bytes);
  command
      ->add_option(
          "--class", options.budget.class_file,
          "Or: what this class (a TOML file) says: artifact_max_bytes, and what its least memory "
          "holds")
      ->type_name("FILE")
      ->excludes(bytes)
      ->excludes(device);
  command
      ->add_option("--context", options.budget.context,
                   "With --device-memory or --class: tokens of the context that has to fit [the "
                   "class's, else the model's own, at most 4096]")
      ->type_name("TOKENS")
      ->excludes(bytes)
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30));
  command
      ->add_option("--kv-type", options.budget.kv_type,
                   "With --device-memory or --class: type of the KV cache: f16, q8_0 or f32")
      ->type_name("TYPE")
      ->excludes(bytes);
}

}  // namespace

void AddFitCommand(CLI::App& app) {
  const auto options = std::make_shared<FitOptions>();
  CLI::App* command = app.add_subcommand(
      "fit", "Find the best mix of types for a budget of bytes, and write it as a recipe");
  AddSourceArgument(command, options->source);
  command
      ->add_option("--calibration", options->calibration,
                   "Folder of a calibration of this model; sensitivities.json is kept there")
      ->type_name("DIR")
      ->required();
  CLI::Option* target =
      command->add_option("--target", options->format, "Format: gguf, mlx, openvino or onnx")
          ->type_name("FORMAT")
          ->check([](const std::string& text) {
            return IsTargetFormat(text)
                       ? std::string()
                       : fmt::format("'{}' is not a format: use gguf, mlx, openvino or onnx", text);
          });
  AddBudgetOptions(command, *options);
  CLI::Option* out =
      command->add_option("--out", options->out, "The recipe's file, ending in .toml")
          ->type_name("FILE");
  command->add_option("--name", options->name, "The recipe's name [fit-BYTES]")->type_name("NAME");
  command
      ->add_option("--text", options->text,
                   "A text of the calibration's kind [the model's own, if the calibration was "
                   "made with --self]; of the calibration's own file, the rest is used")
      ->type_name("FILE");
  command
      ->add_option("--rounding", options->rounding,
                   "How the recipe is going to be rounded: nearest, search or feedback [feedback, "
                   "if the calibration has second moments, else search]")
      ->type_name("HOW")
      ->check([](const std::string& text) {
        const auto how = RoundingFromName(text);
        return how.ok() ? std::string() : Message(how.status());
      });
  command->add_flag("--no-check", options->no_check,
                    "Do not compare the mix with the named recipe of about the same size");
  command
      ->add_option("--memory", options->memory_mib,
                   "Memory in MiB [4096]; weights are mapped and not counted")
      ->type_name("MIB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24));
  command->add_option("--threads", options->threads, "Worker threads [one per core]")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command->add_flag("--dry-run", options->dry_run,
                    "Only print what it takes, and whether the budget holds the smallest mix");
  command->add_flag("--force", options->force, "Replace an existing recipe");
  command->add_flag("--json", options->json, "Print the result as JSON on stdout");
  command->footer(
      "Then: quantfleet quantize SRC --calibration DIR --rounding HOW --target FORMAT:FILE.toml\n\n"
      "Exit codes: 0 success, 1 failed or stopped, 2 wrong usage.");
  command->callback([options, out, target] {
    if (out->empty() && !options->dry_run) throw CLI::RequiredError("--out");
    const BudgetWords& budget = options->budget;
    if (budget.bytes == 0 && budget.device_mib == 0 && budget.class_file.empty())
      throw CLI::RequiredError("One of --bytes, --device-memory and --class");
    if (target->empty() && budget.class_file.empty()) throw CLI::RequiredError("--target");
    ExitOnError(Fit(*options));
  });
}

}  // namespace quantfleet::cli
