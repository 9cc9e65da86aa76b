#include "cli/lora_option.h"

namespace quantfleet::cli {

using namespace pipeline;

void AddLoraOption(CLI::App* command, std::vector<std::string>& lora) {
  command
      ->add_option("--lora", lora,
                   "Merge a LoRA adapter into the model: its folder, and what its scale is "
                   "multiplied by [1]; may be repeated")
      ->type_name("DIR[:SCALE]")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        const auto parsed = ParseLoraChoice(text);
        return parsed.ok() ? std::string() : Message(parsed.status());
      });
}

absl::StatusOr<ModelFiles> ResolveModelWith(FileSystem& files, const fs::path& path,
                                            const std::vector<std::string>& lora) {
  QF_ASSIGN_OR_RETURN(ModelFiles model, ResolveModel(files, path));
  std::vector<LoraChoice> choices;
  for (const std::string& text : lora) {
    QF_ASSIGN_OR_RETURN(choices.emplace_back(), ParseLoraChoice(text));
  }
  QF_RETURN_IF_ERROR(AddAdapters(files, choices, model));
  return model;
}

}  // namespace quantfleet::cli
