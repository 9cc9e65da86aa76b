#include "agent/model_hosts.h"

#include <boost/json.hpp>
#include <thread>

#include "agent/external/ask_http.h"
#include "agent/golden_words.h"
#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "common/trust/name.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::agent {
namespace {

namespace json = boost::json;

constexpr Duration kHealthAnswer = std::chrono::seconds(2), kSoakAnswer = std::chrono::seconds(30);

// What a runtime is pointed to: the format's entry file, or the folder if there is none.
fs::path MainFile(const Installed& installed) {
  const std::string entry = pipeline::EntryFile(installed.manifest);
  return entry.empty() ? installed.files : installed.files / entry;
}

// Whether the first choice is a text, or a message; a text may be empty only where the model ended
// it.
Verdict CheckText(const json::value& choice, const std::string& body) {
  const auto field = [&](const char* name) {
    return choice.is_object() ? choice.get_object().if_contains(name) : nullptr;
  };
  const json::value *text = field("text"), *message = field("message"),
                    *finish = field("finish_reason");
  if (message && message->is_object()) return {};
  if (!text || !text->is_string())
    return Setback(Reason::kHealthFailed, "the runtime's answer has no text: {}",
                   CutText(body, 200));
  if (text->get_string().empty() && !(finish && *finish == "stop"))
    return Setback(Reason::kHealthFailed, "the runtime generated no text: {}", CutText(body, 200));
  return {};
}

// Tokens that an answer says it has made, or of embeddings has read; -1: it says nothing about
// that.
Tried<int64_t> TokensOf(const std::string& body, bool embeds) {
  const absl::StatusOr<json::object> object = ParseJsonObject(body, "the runtime's answer");
  const json::value* choices =
      object.ok() ? object->if_contains(embeds ? "data" : "choices") : nullptr;
  if (!choices || !choices->is_array() || choices->get_array().empty())
    return Setback(Reason::kHealthFailed, "the runtime's answer does not follow OpenAI's API: {}",
                   CutText(body, 200));
  if (!embeds) QF_RETURN_IF_SETBACK(CheckText(choices->get_array().front(), body));
  const json::value* usage = object->if_contains("usage");
  const json::value* tokens =
      usage && usage->is_object()
          ? usage->get_object().if_contains(embeds ? "prompt_tokens" : "completion_tokens")
          : nullptr;
  return tokens && tokens->is_int64() ? tokens->get_int64() : -1;
}

// The first choice's text; empty: there is none.
std::string TextOf(const std::string& body) {
  const absl::StatusOr<json::object> object = ParseJsonObject(body, "the runtime's answer");
  if (!object.ok()) return "";
  const json::value root(*object);
  boost::system::error_code error;
  const json::value* text = root.find_pointer("/choices/0/text", error);
  return text && text->is_string() ? std::string(text->get_string()) : "";
}

// What a runtime's silence says of an artifact.
Verdict OfAnswer(const absl::Status& status) {
  if (status.ok()) return {};
  if (absl::IsCancelled(status)) return {Reason::kInterrupted, Message(status)};
  return {absl::IsDeadlineExceeded(status) ? Reason::kTooSlow : Reason::kHealthFailed,
          Message(status)};
}

}  // namespace

absl::StatusOr<AllowedRuntimes> ParseAllowedRuntimes(const std::vector<std::string>& words) {
  AllowedRuntimes allowed;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const fs::path program =
        equals == std::string::npos ? fs::path() : fs::path(word.substr(equals + 1));
    if (!trust::IsPlainName(name) || !program.is_absolute())
      return InvalidArgument(
          "--allow-runtime \"{}\": write NAME=/PATH, with a plain name and an absolute path", word);
    if (!allowed.emplace(name, program).second)
      return InvalidArgument("--allow-runtime {}: given twice", name);
  }
  return allowed;
}

Verdict ModelHosts::MayRun(const std::optional<v1::Runtime>& runtime) const {
  if (!runtime || options_.allowed.contains(runtime->command())) return {};
  return Setback(
      Reason::kRuntimeRefused,
      "the class needs runtime {0}, which this device does not allow: start the agent with "
      "--allow-runtime {0}=/PATH, or give the device another class",
      runtime->command());
}

RuntimeOrder ModelHosts::OrderFor(const std::string& model, const Installed& installed) const {
  RuntimeOrder order;
  order.program = options_.allowed.find(installed.runtime->command())->second;
  order.runtime = *installed.runtime;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  order.values = {{"model", fs::absolute(MainFile(installed)).string()},
                  {"folder", fs::absolute(installed.files).string()},
                  {"name", model},
                  {"threads", std::to_string(options_.threads > 0 ? options_.threads : cores)},
                  {"context", std::to_string(installed.context > 0 ? installed.context
                                                                   : pipeline::kDefaultContext)},
                  {"kv_type", installed.kv_type.empty() ? "f16" : installed.kv_type}};
  return order;
}

ModelHosts::Said ModelHosts::Ask(const std::string& address, const std::string& model, bool embeds,
                                 int tokens, Duration most, std::stop_token stop) const {
  const json::string prompt(kHealthPrompt.data(), kHealthPrompt.size());
  const auto ask = [&](const char* path, const char* key, const json::value& text) {
    json::object request{{"model", json::string_view(model)}, {key, text}};
    if (!embeds) request["max_tokens"] = tokens, request["temperature"] = 0;
    const Duration began = world_.clock.Monotonic();
    auto answer = AskHttp(address, path, json::serialize(request), most, stop);
    return Said{std::move(answer), std::max(world_.clock.Monotonic() - began, Duration(1))};
  };
  if (embeds) return ask("/v1/embeddings", "input", prompt);
  Said said = ask("/v1/completions", "prompt", prompt);
  if (said.answer.ok() && said.answer->status == 404)
    said = ask("/v1/chat/completions", "messages",
               json::array{json::object{{"role", "user"}, {"content", prompt}}});
  return said;
}

bool ModelHosts::Embeds(const std::string& model) const {
  std::lock_guard lock(mutex_);
  return embedding_models_.contains(model);
}

Tried<std::string> ModelHosts::CheckGolden(const std::string& model, const Supervisor& runtime,
                                           const fs::path& files,
                                           const std::vector<v1::GoldenPrompt>& golden,
                                           std::stop_token stop) const {
  const auto words = GoldenWordsOf(files, golden);
  if (!words.ok())
    return fmt::format("the golden answers were not checked: {}",
                       absl::IsNotFound(words.status()) ? "the artifact has no tokenizer.json"
                                                        : Message(words.status()));
  size_t as_made = 0;
  std::string otherwise;
  for (const GoldenWord& one : *words) {
    const json::object request{{"model", json::string_view(model)},
                               {"prompt", json::string_view(one.before)},
                               {"max_tokens", one.tokens},
                               {"temperature", 0}};
    const auto answer = AskHttp(runtime.upstream()->address(), "/v1/completions",
                                json::serialize(request), runtime.start_timeout(), stop);
    QF_RETURN_IF_SETBACK(OfAnswer(answer.status()).Within("answering a golden prompt"));
    if (answer->status != 200)
      return fmt::format(
          "the golden answers were not checked: the runtime answered one with HTTP status {}",
          answer->status);
    const std::string said = TextOf(answer->body);
    if (Begins(said, one)) {
      ++as_made;
    } else {
      otherwise = fmt::format("\"{}\" went on with \"{}\", and here with \"{}\"",
                              CutText(one.before, 80), CutText(one.word, 40), CutText(said, 40));
    }
  }
  if (as_made == words->size()) return std::string();
  const std::string count = fmt::format("{} of {} golden words are as where the artifact was made",
                                        as_made, words->size());
  if (as_made == 0 && words->size() > 1)
    return Setback(Reason::kHealthFailed, "{}: {}", count, otherwise);
  return count;
}

Tried<Health> ModelHosts::Prove(const std::string& model, const Supervisor& runtime,
                                const Installed& installed, HealthGate gate,
                                std::stop_token stop) const {
  const bool embeds =
      pipeline::KindOf(installed.manifest) == pipeline::ArtifactKind::kEmbeddingModel;
  const std::string address = runtime.upstream()->address();
  if (address.empty())
    return Setback(Reason::kHealthFailed, "the program ended as soon as it was ready");
  const auto [answer, took] =
      Ask(address, model, embeds, kHealthTokens, runtime.start_timeout(), stop);
  QF_RETURN_IF_SETBACK(OfAnswer(answer.status())
                           .Within(embeds ? "embedding a few words" : "generating a few words"));
  if (answer->status != 200)
    return Setback(Reason::kHealthFailed,
                   "the runtime answered the test prompt with HTTP status {}: {}", answer->status,
                   CutText(answer->body, 200));
  QF_TRY(const int64_t tokens, TokensOf(answer->body, embeds));
  if (tokens < 0 && gate.policy.min_tokens_per_second() > 0)
    return Setback(
        Reason::kHealthFailed,
        "the class has a minimum speed, but the runtime's answers have no usage.{} to measure it",
        embeds ? "prompt_tokens" : "completion_tokens");
  Health health;
  health.memory_available_bytes = engine_.MemoryAvailable();
  health.tokens_per_second = 1000.0 * static_cast<double>(std::max<int64_t>(tokens, 0)) /
                             static_cast<double>(took.count());
  if (!gate.golden.empty() && gate.policy.min_golden_agreement() > 0) {
    // They are tokens, of our engine's arithmetic: a runtime's text may go on otherwise.
    if (embeds) {
      health.note = "golden vectors do not apply to other runtimes and were not checked";
    } else {
      QF_TRY(health.note, CheckGolden(model, runtime, installed.files, gate.golden, stop));
    }
    gate.golden.clear();
  }
  QF_RETURN_IF_SETBACK(gate.Check(health));
  return health;
}

Tried<Health> ModelHosts::Start(const std::string& model, const Installed& installed,
                                const HealthGate& gate, std::stop_token stop) {
  QF_RETURN_IF_SETBACK(MayRun(installed.runtime));
  const bool embeds =
      pipeline::KindOf(installed.manifest) == pipeline::ArtifactKind::kEmbeddingModel;
  if (!installed.runtime) {
    QF_TRY(const EngineHost::Started started, engine_.Start(model, installed, gate));
    Replace(model, nullptr, embeds);
    const auto need = pipeline::NeedOf(pipeline::MemoryOf(installed.manifest), installed.context,
                                       installed.kv_type);
    std::lock_guard lock(mutex_);
    embedded_[model] = {need.ok() ? need->buffers : 0, started.engine};
    return started.health;
  }
  RuntimeOrder order = OrderFor(model, installed);
  {
    // Two runtimes of one model run side by side until the new one has shown that it works.
    std::lock_guard lock(mutex_);
    order.folder = fs::absolute(options_.sockets) / std::to_string(++sockets_made_);
    order.socket = order.folder;
    order.socket += ".sock";
    order.disk_bytes = options_.runtime_disk_bytes;
  }
  auto runtime = std::make_unique<Supervisor>(
      std::move(order),
      SupervisorWorld{
          .clock = world_.clock,
          .random = world_.random,
          .sleeper = world_.sleeper,
          .ask =
              [](const std::string& address, const std::string& path, std::stop_token end) {
                const auto said = AskHttp(address, path, "", kHealthAnswer, end);
                if (!said.ok()) return said.status();
                if (said->status == 200) return absl::OkStatus();
                return Unavailable("{} returned status {}", path, said->status);
              },
          .log = [this, model](std::string_view line) { world_.log(model, line); },
          .on_given_up = world_.on_given_up});
  QF_RETURN_IF_SETBACK(runtime->AwaitReady(stop));
  QF_TRY(const Health health, Prove(model, *runtime, installed, gate, stop));
  server_.SetModel(model, runtime->upstream());
  Replace(model, std::move(runtime), embeds);
  return health;
}

void ModelHosts::Replace(const std::string& model, SupervisorPtr next, bool embeds) {
  {
    std::lock_guard lock(mutex_);
    embedding_models_.erase(model);
    if (embeds) embedding_models_.insert(model);
    std::swap(runtimes_[model], next);
    if (!runtimes_[model]) runtimes_.erase(model);
    embedded_.erase(model);
  }
  // Answers under way are finished by the runtime that began them, within its stop timeout.
  if (next) next->upstream()->Drain(next->stop_timeout());
}

void ModelHosts::Stop(const std::string& model) {
  server_.RemoveModel(model);
  Replace(model, nullptr, false);
}

uint64_t ModelHosts::MemoryFor(const std::string& model) const {
  const uint64_t available = engine_.MemoryAvailable();
  if (available == 0) return 0;
  std::lock_guard lock(mutex_);
  if (const auto runtime = runtimes_.find(model); runtime != runtimes_.end())
    return available + runtime->second->memory_bytes();
  const auto embedded = embedded_.find(model);
  if (embedded == embedded_.end()) return available;
  // The file that the engine maps counts as available already.
  const auto engine = embedded->second.engine.lock();
  return available + embedded->second.buffers + (engine ? engine->cache_bytes() : 0);
}

void ModelHosts::StopAll() {
  std::map<std::string, SupervisorPtr> all;
  {
    std::lock_guard lock(mutex_);
    all.swap(runtimes_);
  }
  for (const auto& [model, runtime] : all) server_.RemoveModel(model);
  for (const auto& [model, runtime] : all) runtime->upstream()->Drain(runtime->stop_timeout());
  for (const auto& [model, runtime] : all) runtime->RequestStop();
}

Verdict ModelHosts::StillHealthy(const std::string& model, const HealthGate& gate,
                                 std::stop_token stop) const {
  QF_RETURN_IF_SETBACK(Condition(model));
  QF_RETURN_IF_SETBACK(gate.CheckMemory(engine_.MemoryAvailable()));
  // At the endpoint, as clients do.
  const absl::StatusOr<HttpAnswer> answer =
      Ask(server_.endpoint(), model, Embeds(model), 1, kSoakAnswer, stop).answer;
  if (absl::IsCancelled(answer.status())) return OfAnswer(answer.status());
  if (!answer.ok())
    return Setback(Reason::kHealthFailed, "the test prompt failed: {}", Message(answer.status()));
  if (answer->status == 200 || answer->status == 429) return {};  // 429: its clients keep it busy
  return Setback(Reason::kHealthFailed,
                 "the endpoint answered the test prompt with HTTP status {}: {}", answer->status,
                 CutText(answer->body, 200));
}

Verdict ModelHosts::Condition(const std::string& model) const {
  std::lock_guard lock(mutex_);
  const auto runtime = runtimes_.find(model);
  if (runtime != runtimes_.end()) return runtime->second->condition();
  const auto embedded = embedded_.find(model);
  const auto engine = embedded == embedded_.end() ? nullptr : embedded->second.engine.lock();
  const absl::Status damage = engine ? engine->condition() : absl::OkStatus();
  return damage.ok() ? Verdict() : Verdict(Reason::kDamaged, Message(damage));
}

}  // namespace quantfleet::agent
