#include "agent/prompt_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "engine/decode/load_chat.h"

namespace quantfleet::agent {
namespace {

namespace json = boost::json;

struct PromptOptions {
  fs::path model, jinja, messages;
  std::string bos, eos;
  bool ids = false, as_json = false;
};

// A list of messages, or an object as a request to /v1/chat/completions.
absl::StatusOr<text::Chat> ReadChat(const fs::path& path) {
  QF_ASSIGN_OR_RETURN(std::string content, RealFileSystem().ReadAll(path));
  if (content.find_first_not_of(" \t\r\n") == content.find('['))
    content = "{\"messages\":" + content + "}";
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(content, path.string()));
  JsonMembers members(object, path.string());
  text::Chat chat;
  const json::value* messages = members.Any("messages");
  if (messages == nullptr || !messages->is_array())
    return InvalidArgument("{}: \"messages\" is missing or is not a list", path.string());
  chat.messages = messages->get_array();
  if (const json::value* tools = members.Any("tools")) {
    if (!tools->is_array()) return InvalidArgument("{}: \"tools\" must be a list", path.string());
    chat.tools = tools->get_array();
  }
  if (const json::object* more = members.Object("chat_template_kwargs")) chat.variables = *more;
  chat.add_generation_prompt = members.Bool("add_generation_prompt").value_or(true);
  QF_RETURN_IF_ERROR(members.status());
  return chat;
}

absl::StatusOr<engine::ModelText> Load(const PromptOptions& options) {
  if (!options.model.empty()) return engine::LoadModelText(RealFileSystem(), options.model);
  QF_ASSIGN_OR_RETURN(const std::string jinja, RealFileSystem().ReadAll(options.jinja));
  return engine::ModelText{
      text::ChatTemplate::Read(jinja, {options.bos, options.eos, /*adds_begin=*/false}), nullptr};
}

absl::Status Prompt(const PromptOptions& options) {
  if (options.model.empty() == options.jinja.empty())
    return InvalidArgument("give a MODEL.gguf or --template FILE.jinja");
  if (options.ids && options.model.empty())
    return InvalidArgument("--ids needs a MODEL.gguf: a template alone has no tokens");
  QF_ASSIGN_OR_RETURN(const engine::ModelText model, Load(options));
  QF_ASSIGN_OR_RETURN(const text::Chat chat, ReadChat(options.messages));
  QF_ASSIGN_OR_RETURN(const text::ChatPrompt prompt,
                      model.chat.Render(chat, ToUnixMillis(RealClock().Now()) / 1000));
  std::vector<int32_t> ids;
  if (model.tokenizer != nullptr && (options.ids || options.as_json)) {
    std::vector<text::DataRange> data;
    for (const auto& [begin, end] : prompt.data) data.push_back({begin, end});
    QF_ASSIGN_OR_RETURN(ids, model.tokenizer->Encode(prompt.text, true, true, data));
  }
  if (options.as_json) {
    json::array data;
    for (const auto& [begin, end] : prompt.data) data.push_back(json::array{begin, end});
    json::object out{
        {"text", prompt.text}, {"data", std::move(data)}, {"stop", json::value_from(prompt.stop)}};
    if (model.tokenizer != nullptr) out["ids"] = json::value_from(ids);
    fmt::print("{}\n", json::serialize(out));
    return absl::OkStatus();
  }
  if (options.ids) {
    for (const int32_t id : ids) fmt::print("{}\n", id);
    return absl::OkStatus();
  }
  // What a template says may steer a terminal; a file gets it as it is.
  fmt::print("{}", ::isatty(STDOUT_FILENO) == 1 ? ShownLines(prompt.text) : prompt.text);
  return absl::OkStatus();
}

}  // namespace

void AddPromptCommand(CLI::App& app, Action& action) {
  const auto options = std::make_shared<PromptOptions>();
  CLI::App* command = app.add_subcommand("prompt", "Print the prompt that a chat becomes");
  command->add_option("model", options->model, "MODEL.gguf");
  command->add_option("--template", options->jinja, "A chat template instead of a model");
  command->add_option("--bos", options->bos, "With --template: what it calls bos_token");
  command->add_option("--eos", options->eos, "With --template: what it calls eos_token");
  command
      ->add_option("--messages", options->messages,
                   "A JSON file: a list of messages, or an object with messages, tools and "
                   "chat_template_kwargs")
      ->required();
  command->add_flag("--ids", options->ids, "Print token ids instead of text");
  command->add_flag("--json", options->as_json,
                    "Print one JSON object: text, data (ranges of bytes that come from messages), "
                    "stop, ids");
  command->callback([options, &action] { action = [options] { return Prompt(*options); }; });
}

}  // namespace quantfleet::agent
