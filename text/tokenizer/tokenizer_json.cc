#include "text/tokenizer/tokenizer_json.h"

#include <boost/json.hpp>
#include <limits>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kFile = "tokenizer.json";

std::string Copy(const json::string& s) { return std::string(s.data(), s.size()); }
std::string_view View(json::string_view s) { return {s.data(), s.size()}; }

// What may be in a file before it is no vocabulary any more: memory stays bounded.
constexpr size_t kMaxTokens = size_t{1} << 20, kMaxMerges = size_t{1} << 22, kMaxTokenBytes = 4096;

// NFC is what Qwen 2's pre-tokenizer expects before it; nothing else may touch the text.
absl::Status CheckNormalizer(JsonMembers& root, std::string_view pre) {
  const json::object* object = root.Object("normalizer");
  if (object == nullptr) return root.status();
  JsonMembers from(*object, "tokenizer.json: normalizer");
  const std::string type = from.Text("type").value_or("");
  const json::array* steps = from.Array("normalizers");
  QF_RETURN_IF_ERROR(from.status());
  if ((type == "NFC" && pre == "qwen2") ||
      (type == "Sequence" && steps != nullptr && steps->empty()))
    return absl::OkStatus();
  return Unimplemented("{}: the normalizer {} is not supported with {}", kFile, Shown(type), pre);
}

absl::Status ReadVocab(JsonMembers& model, TokenizerJson& out) {
  const json::object* vocab = model.Object("vocab");
  if (vocab == nullptr) return InvalidArgument("{}: the model has no vocab", kFile);
  if (vocab->size() > kMaxTokens)
    return InvalidArgument("{}: the vocab has {} tokens; the maximum is {}", kFile, vocab->size(),
                           kMaxTokens);
  for (const auto& [text, id] : *vocab) {
    if (!id.is_int64() || id.get_int64() < 0 ||
        id.get_int64() > std::numeric_limits<int32_t>::max())
      return InvalidArgument("{}: the id of token '{}' is out of range", kFile, Shown(View(text)));
    if (text.size() > kMaxTokenBytes)
      return InvalidArgument("{}: token {} has {} bytes; the maximum is {}", kFile, id.get_int64(),
                             text.size(), kMaxTokenBytes);
    if (!out.vocab.emplace(id.get_int64(), std::string(text.data(), text.size())).second)
      return InvalidArgument("{}: id {} belongs to two tokens", kFile, id.get_int64());
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(JsonMembers& model, TokenizerJson& out) {
  const json::array* merges = model.Array("merges");
  if (merges == nullptr) return InvalidArgument("{}: the model has no merges", kFile);
  if (merges->size() > kMaxMerges)
    return InvalidArgument("{}: there are {} merges; the maximum is {}", kFile, merges->size(),
                           kMaxMerges);
  out.merges.reserve(merges->size());
  for (const json::value& merge : *merges) {
    if (merge.is_string()) {
      out.merges.push_back(Copy(merge.get_string()));
      continue;
    }
    const json::array* pair = merge.if_array();
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() ||
        !pair->at(1).is_string())
      return InvalidArgument("{}: merge {} is neither \"a b\" nor [\"a\", \"b\"]", kFile,
                             out.merges.size());
    const std::string left = Copy(pair->at(0).get_string()), right = Copy(pair->at(1).get_string());
    // Byte-level text has no spaces, and GGUF's spelling of a merge cannot hold one.
    if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
      return InvalidArgument("{}: merge {} has a token with a space", kFile, out.merges.size());
    out.merges.push_back(left + " " + right);
  }
  return absl::OkStatus();
}

absl::Status ReadBpe(JsonMembers& root, TokenizerJson& out) {
  const json::object* object = root.Object("model");
  if (object == nullptr) return InvalidArgument("{}: there is no model", kFile);
  JsonMembers model(*object, "tokenizer.json: model");
  const std::string type = model.Text("type").value_or("BPE");
  if (type != "BPE")
    return Unimplemented("{}: the model '{}' is not supported, only BPE", kFile, Shown(type));
  if (model.Bool("byte_fallback").value_or(false))
    return Unimplemented(
        "{}: this is a SentencePiece model in another format: put its tokenizer.model beside it",
        kFile);
  if (!model.Text("continuing_subword_prefix").value_or("").empty() ||
      !model.Text("end_of_word_suffix").value_or("").empty())
    return Unimplemented("{}: BPE with subword prefixes or suffixes is not supported", kFile);
  const bool ignore_merges = model.Bool("ignore_merges").value_or(false);
  const json::object* pre = root.Object("pre_tokenizer");
  QF_RETURN_IF_ERROR(root.status());
  QF_RETURN_IF_ERROR(model.status());
  QF_ASSIGN_OR_RETURN(out.pre, PreTokenizerName(pre, ignore_merges));
  QF_RETURN_IF_ERROR(CheckNormalizer(root, out.pre));
  QF_RETURN_IF_ERROR(ReadVocab(model, out));
  QF_RETURN_IF_ERROR(ReadMerges(model, out));
  out.byte_level_bpe = true;
  return model.status();
}

absl::Status ReadAdded(JsonMembers& root, TokenizerJson& out) {
  const json::array* added = root.Array("added_tokens");
  QF_RETURN_IF_ERROR(root.status());
  if (added == nullptr) return absl::OkStatus();
  if (added->size() > kMaxTokens)
    return InvalidArgument("{}: there are {} added tokens; the maximum is {}", kFile, added->size(),
                           kMaxTokens);
  for (const json::value& value : *added) {
    if (!value.is_object()) return InvalidArgument("{}: an added token is not an object", kFile);
    JsonMembers from(value.get_object(), "tokenizer.json: added_tokens");
    const int64_t id = from.NeedInteger("id");
    out.added[id] = {from.Text("content").value_or(""), from.Bool("special").value_or(false)};
    QF_RETURN_IF_ERROR(from.status());
  }
  return absl::OkStatus();
}

// The special token that a template's step stands for, or "".
std::string SpecialOf(const json::value& step) {
  const json::value* special =
      step.is_object() ? step.get_object().if_contains("SpecialToken") : nullptr;
  const json::value* id =
      special && special->is_object() ? special->get_object().if_contains("id") : nullptr;
  return id && id->is_string() ? Copy(id->get_string()) : "";
}

void ReadTemplate(const json::object& processor, TokenizerJson& out) {
  const json::value* single = processor.if_contains("single");
  if (single != nullptr && single->is_array() && single->get_array().size() >= 2) {
    out.first_special = SpecialOf(single->get_array().front());
    out.last_special = SpecialOf(single->get_array().back());
  }
  const json::value* steps = processor.if_contains("processors");
  if (steps == nullptr || !steps->is_array()) return;
  for (const json::value& step : steps->get_array()) {
    if (!step.is_object() || !step.get_object().contains("single")) continue;
    const json::value* inner = step.get_object().if_contains("single");
    if (!inner->is_array() || inner->get_array().size() < 2) continue;
    out.first_special = SpecialOf(inner->get_array().front());
    out.last_special = SpecialOf(inner->get_array().back());
  }
}

}  // namespace

absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text, bool whole) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, kFile));
  JsonMembers root(object, std::string(kFile));
  TokenizerJson out;
  QF_RETURN_IF_ERROR(ReadAdded(root, out));
  if (const json::object* processor = root.Object("post_processor")) ReadTemplate(*processor, out);
  if (whole) QF_RETURN_IF_ERROR(ReadBpe(root, out));
  QF_RETURN_IF_ERROR(root.status());
  return out;
}

}  // namespace quantfleet::text
