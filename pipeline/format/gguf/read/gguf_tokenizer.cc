#include "pipeline/format/gguf/read/gguf_tokenizer.h"

#include <algorithm>
#include <limits>

#include "pipeline/family/family.h"
#include "pipeline/family/validate.h"
#include "pipeline/format/gguf/read/gguf_names.h"
#include "pipeline/format/gguf/read/gguf_wordpiece.h"
#include "text/tokenizer/description_text.h"
#include "text/tokenizer/end_tokens.h"
#include "text/tokenizer/named_splits.h"

namespace quantfleet::pipeline {
namespace {

constexpr size_t kMaxNamedTemplates = 16;

absl::Status ReadId(const GgufFile& file, std::string_view key, std::optional<int32_t>& id) {
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> value, file.Integer(key));
  if (!value) return absl::OkStatus();
  // Some converters write -1 (as u32: 4294967295) for "there is none".
  if (*value == -1 || *value == std::numeric_limits<uint32_t>::max()) {
    id.reset();
    return absl::OkStatus();
  }
  if (*value < 0 || *value > std::numeric_limits<int32_t>::max())
    return InvalidArgument("{}: key '{}' is {}, which is not a token id", file.name(), key, *value);
  id = static_cast<int32_t>(*value);
  return absl::OkStatus();
}

// What ends a generation beside eos: what keys name. Where there is no list of all, as in files of
// llama.cpp's converter, it is also what llama.cpp would stop at.
absl::Status ReadMoreEnds(const GgufFile& file, text::TokenizerData& out) {
  std::vector<int32_t> ends;
  const auto take = [&](std::string_view key, int32_t id) -> absl::Status {
    if (id < 0 || static_cast<size_t>(id) >= out.tokens.size())
      return InvalidArgument("{}: key '{}' names token {}, which is outside the vocabulary of {}",
                             file.name(), key, id, out.tokens.size());
    ends.push_back(id);
    return absl::OkStatus();
  };
  for (const std::string_view key :
       {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    std::optional<int32_t> id;
    QF_RETURN_IF_ERROR(ReadId(file, key, id));
    if (id) QF_RETURN_IF_ERROR(take(key, *id));
  }
  QF_ASSIGN_OR_RETURN(const auto list, file.Integers(kEndIdsKey));
  for (const int32_t id : list.value_or(std::vector<int32_t>()))
    QF_RETURN_IF_ERROR(take(kEndIdsKey, id));
  for (size_t i = 0; i < out.tokens.size() && !list; ++i)
    if (text::EndsByText(out.tokens[i])) ends.push_back(static_cast<int32_t>(i));
  text::SetMoreEnds(std::move(ends), out);
  return absl::OkStatus();
}

absl::Status ReadTokens(const GgufFile& file, text::TokenizerData& out) {
  QF_ASSIGN_OR_RETURN(const std::vector<std::string>* texts, file.Strings("tokenizer.ggml.tokens"));
  if (texts == nullptr)
    return InvalidArgument("{}: there is a tokenizer, but no tokenizer.ggml.tokens", file.name());
  QF_ASSIGN_OR_RETURN(const auto scores, file.Floats("tokenizer.ggml.scores"));
  QF_ASSIGN_OR_RETURN(const auto types, file.Integers("tokenizer.ggml.token_type"));
  if ((scores && scores->size() != texts->size()) || (types && types->size() != texts->size()))
    return InvalidArgument("{}: tokenizer.ggml has {} tokens, {} scores and {} types", file.name(),
                           texts->size(), scores ? scores->size() : texts->size(),
                           types ? types->size() : texts->size());
  out.tokens.reserve(texts->size());
  for (size_t i = 0; i < texts->size(); ++i) {
    text::Token token{.text = (*texts)[i]};
    if (scores) token.score = (*scores)[i];
    if (types) token.type = static_cast<text::TokenType>((*types)[i]);
    out.tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsEncoder(const GgufFile& file) {
  QF_ASSIGN_OR_RETURN(const auto name, file.Text("general.architecture"));
  const Family* family = FindFamily(name.value_or(""));
  return family != nullptr && family->encoder;
}

// What llama.cpp assumes where the keys are absent.
void SetDefaults(text::TokenizerData& out) {
  if (out.kind == text::TokenizerData::Kind::kSpm) {
    out.bos = 1;
    out.eos = 2;
    out.unknown = 0;
  } else {
    const text::NamedSplit* split = text::FindNamedSplit(out.pre);
    out.add_bos = split != nullptr && split->add_bos;
    out.add_space_prefix = false;
  }
}

}  // namespace

absl::StatusOr<text::TokenizerData> ReadTokenizer(const GgufFile& file) {
  text::TokenizerData out;
  QF_ASSIGN_OR_RETURN(const auto named, file.Text("tokenizer.ggml.model"));
  const std::string model = named.value_or("none");
  if (model == "no_vocab" || model == "none") return out;
  QF_ASSIGN_OR_RETURN(const auto description, file.Text(kDescriptionKey));
  QF_ASSIGN_OR_RETURN(const bool encoder, IsEncoder(file));
  if (model == "llama") {
    out.kind = text::TokenizerData::Kind::kSpm;
  } else if (model == "gpt2" || model == "gemma4") {
    out.kind = text::TokenizerData::Kind::kByteBpe;
    if (model == "gemma4") out.pre = model;  // a kind that is a pre-tokenizer of its own
  } else if (description && model == "t5") {
    out.kind = text::TokenizerData::Kind::kUnigram;
  } else if (model == "bert" && (description || encoder)) {
    out.kind = text::TokenizerData::Kind::kWordPiece;
  } else {
    return Unimplemented(
        "{}: the tokenizer '{}' is not supported; supported are llama (SentencePiece BPE), gpt2 "
        "(BPE), and others with the key {}",
        file.name(), model, kDescriptionKey);
  }
  if (description) {
    absl::StatusOr<text::TokenizerDescription> read = text::ReadDescription(*description);
    if (!read.ok())
      return Annotate(read.status(), fmt::format("{}: key '{}'", file.name(), kDescriptionKey));
    out.description = *std::move(read);
  }
  QF_ASSIGN_OR_RETURN(const auto pre, file.Text("tokenizer.ggml.pre"));
  if (pre) out.pre = *pre;
  SetDefaults(out);
  QF_RETURN_IF_ERROR(ReadTokens(file, out));
  const bool spm = out.kind == text::TokenizerData::Kind::kSpm;
  if (out.kind == text::TokenizerData::Kind::kByteBpe || (spm && description)) {
    QF_ASSIGN_OR_RETURN(const std::vector<std::string>* merges,
                        file.Strings("tokenizer.ggml.merges"));
    // Without them, a described SentencePiece model goes by its scores.
    if (merges == nullptr && !spm)
      return InvalidArgument("{}: this tokenizer needs tokenizer.ggml.merges", file.name());
    if (merges != nullptr) out.merges = *merges;
  }
  QF_RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.bos_token_id", out.bos));
  QF_RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.eos_token_id", out.eos));
  QF_RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.unknown_token_id", out.unknown));
  QF_RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.padding_token_id", out.padding));
  if (encoder && out.kind == text::TokenizerData::Kind::kWordPiece) {
    for (text::Token& token : out.tokens) token.text = FromGgufWordPiece(token.text);
    if (!description) QF_RETURN_IF_ERROR(DescribeWordPiece(file, out));
  }
  QF_RETURN_IF_ERROR(ReadMoreEnds(file, out));
  QF_ASSIGN_OR_RETURN(const auto add_bos, file.Bool("tokenizer.ggml.add_bos_token"));
  QF_ASSIGN_OR_RETURN(const auto add_eos, file.Bool("tokenizer.ggml.add_eos_token"));
  QF_ASSIGN_OR_RETURN(const auto space, file.Bool("tokenizer.ggml.add_space_prefix"));
  QF_ASSIGN_OR_RETURN(const auto chat_template, file.Text("tokenizer.chat_template"));
  QF_ASSIGN_OR_RETURN(const std::vector<std::string>* names,
                      file.Strings("tokenizer.chat_templates"));
  for (size_t i = 0; names != nullptr && i < std::min(names->size(), kMaxNamedTemplates); ++i) {
    QF_ASSIGN_OR_RETURN(auto text, file.Text("tokenizer.chat_template." + (*names)[i]));
    if (text) out.named_templates.emplace_back((*names)[i], *std::move(text));
  }
  out.add_bos = add_bos.value_or(out.add_bos) && out.bos.has_value();
  out.add_eos = add_eos.value_or(out.add_eos) && out.eos.has_value();
  out.add_space_prefix = space.value_or(out.add_space_prefix);
  out.chat_template = chat_template.value_or("");
  QF_RETURN_IF_ERROR(
      Annotate(ValidateTokenizer(out, static_cast<int64_t>(out.tokens.size())), file.name()));
  return out;
}

}  // namespace quantfleet::pipeline
