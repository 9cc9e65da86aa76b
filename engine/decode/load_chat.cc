#include "engine/decode/load_chat.h"

#include "pipeline/format/gguf/read/gguf_tokenizer.h"

namespace quantfleet::engine {

text::ControlTokens ControlTokensOf(const text::TokenizerData& tokenizer) {
  const auto text = [&](std::optional<int32_t> id) {
    return id && *id >= 0 && static_cast<size_t>(*id) < tokenizer.tokens.size()
               ? tokenizer.tokens[static_cast<size_t>(*id)].text
               : "";
  };
  return {text(tokenizer.bos), text(tokenizer.eos), tokenizer.add_bos};
}

std::string_view ToolTemplateOf(const text::TokenizerData& tokenizer) {
  for (const auto& [name, text] : tokenizer.named_templates)
    if (name == "tool_use") return text;
  return {};
}

absl::StatusOr<ModelText> LoadModelText(FileSystem& files, const fs::path& gguf) {
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(gguf, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const auto header, pipeline::GgufFile::Read(*file, gguf.string()));
  QF_ASSIGN_OR_RETURN(const text::TokenizerData data, pipeline::ReadTokenizer(header));
  QF_ASSIGN_OR_RETURN(const auto name, header.Text("general.name"));
  QF_ASSIGN_OR_RETURN(auto tokenizer, text::MakeTokenizer(data, name.value_or("")));
  return ModelText{
      text::ChatTemplate::Read(data.chat_template, ControlTokensOf(data), ToolTemplateOf(data)),
      std::move(tokenizer)};
}

}  // namespace quantfleet::engine
