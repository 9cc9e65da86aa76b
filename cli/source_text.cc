#include "cli/source_text.h"

#include <boost/json.hpp>

#include "cli/command.h"
#include "cli/model_text.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"

namespace quantfleet::cli {

namespace json = boost::json;
using pipeline::ModelFile;
using pipeline::ModelFiles;

std::string AdapterText(std::string_view name, double scale) {
  return scale == 1 ? fmt::format("the adapter {}", name)
                    : fmt::format("the adapter {} at {} times its scale", name, scale);
}

std::string FilesText(const ModelFiles& model) {
  uint64_t weights = 0;
  std::string others;
  for (const ModelFile& file : model.files) {
    if (file.part == ModelFile::Part::kWeights)
      weights += file.size;
    else if (file.part != ModelFile::Part::kIndex && file.part != ModelFile::Part::kAdapter)
      others += (others.empty() ? "" : ", ") + file.name;
  }
  const std::string folder = model.folder.empty() ? "." : model.folder.string();
  std::string text =
      fmt::format("{}: the weights are {} ({}){}{}\n", folder, model.why, HumanBytes(weights),
                  others.empty() ? "" : "; also read: ", others);
  for (const pipeline::LoraChoice& adapter : model.adapters)
    text += fmt::format("merged into them: {}\n", AdapterText(adapter.name, adapter.times));
  for (const std::string& file : model.ignored) text += "not read: " + file + "\n";
  return text;
}

json::object FilesJson(const ModelFiles& model) {
  json::array files;
  for (const ModelFile& file : model.files) {
    const std::string_view part = PartName(file.part);
    files.push_back({{"path", file.name},
                     {"part", json::string_view(part.data(), part.size())},
                     {"bytes", file.size}});
  }
  json::array adapters;
  for (const pipeline::LoraChoice& adapter : model.adapters)
    adapters.push_back(
        {{"folder", adapter.folder.string()}, {"name", adapter.name}, {"scale", adapter.times}});
  return {{"folder", model.folder.string()},
          {"weights", model.why},
          {"files", std::move(files)},
          {"adapters", std::move(adapters)},
          {"ignored", json::array(model.ignored.begin(), model.ignored.end())}};
}

void PrintFiles(const ModelFiles& model) {
  std::string_view text;
  const std::string whole = FilesText(model);
  for (size_t at = 0; at < whole.size(); at += text.size() + 1) {
    text = std::string_view(whole).substr(at, whole.find('\n', at) - at);
    fmt::print(stderr, "{}\n", Printable(text));
  }
}

void WarnOf(const pipeline::ModelDescription& model) {
  for (const std::string& warning : pipeline::WarningsOf(model)) Warn(Printable(warning));
  // Nobody chats with an embedding model.
  if (!model.embedding && model.tokenizer.kind != text::TokenizerData::Kind::kNone)
    Warn(ChatTemplateOf(model.tokenizer).Warning());
}

void AddSourceArgument(CLI::App* command, std::string& source) {
  command->add_option("source", source, "A Hugging Face folder (safetensors) or a GGUF file")
      ->type_name("SRC")
      ->required();
}

}  // namespace quantfleet::cli
