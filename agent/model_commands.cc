#include "agent/model_commands.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>

#include "agent/engine_options.h"
#include "common/base/outside_text.h"
#include "engine/decode/engine.h"
#include "engine/decode/load_tokenizer.h"
#include "engine/measure/bench.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::agent {
namespace {

namespace json = boost::json;

void PrintJson(const json::value& value) { fmt::print("{}\n", json::serialize(value)); }

double Rate(int64_t count, double seconds) {
  return count > 0 && seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

// Tokens that a pass of the model was spent on: the first comes from the prompt's own pass.
int64_t Passes(const engine::GenerateResult& result) {
  const auto tokens = static_cast<int64_t>(result.tokens.size());
  return result.finish_reason == "stop" ? tokens : tokens - 1;
}

struct TextOptions {
  std::string text;
  fs::path file;

  CLI::Option_group* AddTo(CLI::App& command) {
    CLI::Option_group* group = command.add_option_group("text", "Source of the text");
    group->add_option("--text", text, "The text itself");
    group->add_option("--text-file", file, "A file with the text");
    group->require_option(1);
    return group;
  }
  absl::StatusOr<std::string> Read() const {
    if (file.empty()) return text;
    return RealFileSystem().ReadAll(file);
  }
};

void AddFloatActivations(CLI::App& command, engine::EngineOptions& engine) {
  command.add_flag(
      "--float-activations", engine.float_activations,
      "Keep activations in F32 instead of 8 bits with quantized weights; slow, for comparisons");
}

struct RunOptions {
  fs::path model;
  engine::GenerateRequest request;
  std::optional<float> temperature, top_p;
  std::optional<int> top_k;
  uint64_t seed = 0;
  engine::EngineOptions engine;
  bool greedy = false, as_json = false;
};

absl::Status Run(RunOptions options) {
  QF_ASSIGN_OR_RETURN(const auto engine, engine::Engine::Load(options.model, options.engine));
  engine::SamplingOptions& sampling = options.request.sampling = engine->sampling();
  sampling.temperature = options.greedy ? 0 : options.temperature.value_or(sampling.temperature);
  sampling.top_k = options.top_k.value_or(sampling.top_k);
  sampling.top_p = options.top_p.value_or(sampling.top_p);
  sampling.seed = options.seed;
  if (!options.as_json) {
    fmt::print("{}", options.request.prompt);
    std::fflush(stdout);
    // What a model says may steer a terminal; a file gets it as it is.
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    options.request.on_text = [terminal](std::string_view piece,
                                         std::span<const engine::TokenProbability>) {
      fmt::print("{}", terminal ? ShownLines(piece) : std::string(piece));
      return std::fflush(stdout) == 0;
    };
  }
  QF_ASSIGN_OR_RETURN(const engine::GenerateResult result, engine->Generate(options.request));
  const auto tokens = static_cast<int64_t>(result.tokens.size());
  const double prompt_rate = Rate(result.prompt_tokens, result.prompt_seconds);
  const double rate = Rate(Passes(result), result.generation_seconds);
  if (options.as_json) {
    PrintJson({{"text", result.text},
               {"prompt_tokens", result.prompt_tokens},
               {"tokens", tokens},
               {"prompt_tokens_per_second", prompt_rate},
               {"tokens_per_second", rate},
               {"finish_reason", result.finish_reason}});
    return absl::OkStatus();
  }
  fmt::print("\n");
  std::fflush(stdout);  // before what goes to stderr, where both go to one place
  fmt::print(stderr,
             "prompt: {} tokens, {:.1f} tokens/s; generated: {} tokens, {:.1f} tokens/s ({})\n",
             result.prompt_tokens, prompt_rate, tokens, rate, result.finish_reason);
  return absl::OkStatus();
}

void AddRun(CLI::App& app, Action& action) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Continue a prompt");
  const engine::SamplingOptions usual;
  command->add_option("model", options->model, "MODEL.gguf")->required();
  command->add_option("--prompt", options->request.prompt, "The text to continue")->required();
  command->add_option("--max-tokens", options->request.max_tokens, "Maximum number of tokens")
      ->capture_default_str();
  CLI::Option* greedy =
      command->add_flag("--greedy", options->greedy, "Always choose the likeliest token");
  command
      ->add_option("--seed", options->seed, "Seed for sampling; the same seed gives the same text")
      ->capture_default_str();
  command
      ->add_option(
          "--temperature", options->temperature,
          fmt::format("Temperature; 0: greedy [the model's own, else {}]", usual.temperature))
      ->excludes(greedy);
  command->add_option(
      "--top-k", options->top_k,
      fmt::format("Sample from the K likeliest tokens; 0: all [the model's own, else {}]",
                  usual.top_k));
  command->add_option("--top-p", options->top_p,
                      fmt::format("Sample from the likeliest tokens whose probabilities sum to P "
                                  "[the model's own, else {}]",
                                  usual.top_p));
  AddEngineOptions(*command, options->engine);
  AddFloatActivations(*command, options->engine);
  command->add_flag("--json", options->as_json,
                    "Print one JSON object; its text excludes the prompt");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

struct TokenizeOptions {
  fs::path model;
  TextOptions text;
  bool no_bos = false, special = false, as_json = false;
};

absl::Status Tokenize(const TokenizeOptions& options) {
  QF_ASSIGN_OR_RETURN(const auto tokenizer, engine::LoadTokenizer(RealFileSystem(), options.model));
  QF_ASSIGN_OR_RETURN(const std::string text, options.text.Read());
  QF_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                      tokenizer->Encode(text, !options.no_bos, options.special));
  if (options.as_json) {
    PrintJson({{"tokens", json::value_from(ids)}});
    return absl::OkStatus();
  }
  for (int32_t id : ids) fmt::print("{}\n", id);
  return absl::OkStatus();
}

void AddTokenize(CLI::App& app, Action& action) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids of a text");
  command->add_option("model", options->model, "MODEL.gguf")->required();
  options->text.AddTo(*command);
  command->add_flag("--no-bos", options->no_bos, "Omit the token that begins a text");
  command->add_flag("--special", options->special,
                    "Recognize the names of control tokens, such as \"<|end|>\", as in a prompt");
  command->add_flag("--json", options->as_json, "Print one JSON object");
  command->callback([options, &action] { action = [options] { return Tokenize(*options); }; });
}

// Whole numbers with commas or white space between, as `tokenize` prints them.
absl::StatusOr<std::vector<int32_t>> ParseIds(std::string_view text) {
  constexpr std::string_view kBetween = ", \t\r\n";
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kBetween); at < text.size();
       at = text.find_first_not_of(kBetween, at)) {
    const std::string_view word = text.substr(at, text.find_first_of(kBetween, at) - at);
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size())
      return InvalidArgument("'{}' is not a token id", Shown(word, 40));
    ids.push_back(id);
    at += word.size();
  }
  return ids;
}

struct EvalOptions {
  fs::path model;
  TextOptions text;
  std::string ids;
  fs::path ids_file;
  engine::EngineOptions engine;
  int64_t max_tokens = 0, skip = 0;
  bool as_json = false;

  bool by_ids() const { return !ids.empty() || !ids_file.empty(); }
  absl::StatusOr<std::vector<int32_t>> Tokens(const engine::Engine& judged) const {
    if (!ids.empty()) return ParseIds(ids);
    if (!ids_file.empty()) {
      QF_ASSIGN_OR_RETURN(const std::string content, RealFileSystem().ReadAll(ids_file));
      return ParseIds(content);
    }
    QF_ASSIGN_OR_RETURN(const std::string content, text.Read());
    return judged.Tokenize(content, true);
  }
};

absl::Status Eval(EvalOptions options) {
  options.engine.text = !options.by_ids();
  QF_ASSIGN_OR_RETURN(const auto engine, engine::Engine::Load(options.model, options.engine));
  QF_ASSIGN_OR_RETURN(std::vector<int32_t> ids, options.Tokens(*engine));
  if (options.max_tokens > 0 && static_cast<int64_t>(ids.size()) > options.max_tokens)
    ids.resize(static_cast<size_t>(options.max_tokens));
  if (static_cast<int64_t>(ids.size()) > engine->context()) {
    return InvalidArgument(
        "the text has {} tokens, which exceeds the context of {}: shorten it with --max-tokens {}",
        ids.size(), engine->context(), engine->context());
  }
  QF_ASSIGN_OR_RETURN(const engine::EvalResult result, engine->EvaluateTokens(ids, options.skip));
  const double ppl = std::exp(result.mean_nll);
  if (options.as_json) {
    PrintJson({{"tokens", result.tokens}, {"mean_nll", result.mean_nll}, {"ppl", ppl}});
    return absl::OkStatus();
  }
  fmt::print("tokens {}, mean negative log-likelihood {:.5f}, perplexity {:.4f}\n", result.tokens,
             result.mean_nll, ppl);
  return absl::OkStatus();
}

void AddEval(CLI::App& app, Action& action) {
  const auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Measure how well a model predicts a text");
  command->add_option("model", options->model, "MODEL.gguf")->required();
  CLI::Option_group* group = options->text.AddTo(*command);
  group->add_option("--tokens", options->ids,
                    "Token ids (1,2,3) instead of a text; include BOS if wanted");
  group->add_option("--tokens-file", options->ids_file,
                    "A file of token ids, as printed by tokenize");
  command->add_option("--max-tokens", options->max_tokens,
                      "Evaluate only the first N tokens; 0: all");
  command->add_option("--skip", options->skip, "Read the first N tokens without evaluating them");
  AddEngineOptions(*command, options->engine);
  AddFloatActivations(*command, options->engine);
  command->add_flag("--json", options->as_json, "Print one JSON object");
  command->callback([options, &action] { action = [options] { return Eval(*options); }; });
}

struct BenchCommand {
  fs::path model;
  engine::BenchOptions options;
  bool as_json = false;
};

absl::Status Bench(const BenchCommand& command) {
  QF_ASSIGN_OR_RETURN(const engine::BenchResult result,
                      engine::BenchModel(command.model, command.options));
  if (command.as_json) {
    json::array depths;
    for (const engine::RatesAt& at : result.rates)
      depths.push_back({{"depth", at.depth},
                        {"prompt_tokens_per_second", at.prompt_tokens_per_second},
                        {"tokens_per_second", at.tokens_per_second}});
    PrintJson({{"prompt_tokens_per_second", result.rates[0].prompt_tokens_per_second},
               {"tokens_per_second", result.rates[0].tokens_per_second},
               {"depths", depths},
               {"weight_bytes_per_token", result.weight_bytes_per_token},
               {"gigabytes_per_second", result.gigabytes_per_second},
               {"cache_bytes", result.cache_bytes},
               {"buffer_bytes", result.buffer_bytes},
               {"peak_rss_bytes", result.peak_rss_bytes},
               {"load_seconds", result.load_seconds},
               {"threads", result.threads},
               {"instruction_set", result.instruction_set}});
    return absl::OkStatus();
  }
  for (const engine::RatesAt& at : result.rates)
    fmt::print("{}prompt: {:.1f} tokens/s; generation: {:.1f} tokens/s\n",
               at.depth > 0 ? fmt::format("after {} tokens: ", at.depth) : "",
               at.prompt_tokens_per_second, at.tokens_per_second);
  fmt::print(
      "{:.1f} MB of weights for each token, {:.1f} GB/s; the context takes {:.1f} MB of cache and "
      "{:.1f} MB of buffers\n",
      static_cast<double>(result.weight_bytes_per_token) / 1e6, result.gigabytes_per_second,
      static_cast<double>(result.cache_bytes) / 1e6,
      static_cast<double>(result.buffer_bytes) / 1e6);
  fmt::print("first token after {:.2f} s; peak RSS {:.1f} MiB; {} threads, {}\n",
             result.load_seconds, static_cast<double>(result.peak_rss_bytes) / (1 << 20),
             result.threads, result.instruction_set);
  return absl::OkStatus();
}

void AddBench(CLI::App& app, Action& action) {
  const auto bench = std::make_shared<BenchCommand>();
  CLI::App* command = app.add_subcommand("bench", "Measure how fast a model runs on this machine");
  command->add_option("model", bench->model, "MODEL.gguf")->required();
  engine::BenchOptions& options = bench->options;
  command->add_option("--prompt-tokens", options.prompt_tokens, "Number of prompt tokens")
      ->capture_default_str();
  command->add_option("--tokens", options.tokens, "Number of tokens to generate")
      ->capture_default_str();
  command
      ->add_option("--depth", options.depths,
                   "Tokens already in the cache; N[,N] measures at each depth")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--rounds", options.rounds, "Number of rounds; medians are reported")
      ->capture_default_str();
  AddEngineOptions(*command, options.engine);
  AddFloatActivations(*command, options.engine);
  command->add_flag("--json", bench->as_json, "Print one JSON object");
  command->callback([bench, &action] { action = [bench] { return Bench(*bench); }; });
}

}  // namespace

void AddModelCommands(CLI::App& app, Action& action) {
  AddRun(app, action);
  AddTokenize(app, action);
  AddEval(app, action);
  AddBench(app, action);
}

}  // namespace quantfleet::agent
