#include "cli/model_text.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "pipeline/family/family.h"
#include "pipeline/format/layout/float_text.h"
#include "pipeline/tensor/dtype.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;
using namespace quantfleet::pipeline;

std::string_view View(json::string_view text) { return {text.data(), text.size()}; }

// JSON is UTF-8; what models call things need not be.
void MakeValid(json::value& value) {
  if (auto* text = value.if_string()) {
    if (!IsUtf8(View(*text))) *text = ValidText(View(*text));
  } else if (auto* array = value.if_array()) {
    for (json::value& element : *array) MakeValid(element);
  } else if (auto* object = value.if_object()) {
    for (auto& field : *object) MakeValid(field.value());
  }
}

json::object HyperJson(const Hyperparameters& h) {
  static constexpr const char* kScalings[] = {"none", "linear", "longrope", "llama3", "yarn"};
  json::object out{{"hidden", h.hidden},
                   {"intermediate", h.intermediate},
                   {"layers", h.layers},
                   {"heads", h.heads},
                   {"kv_heads", h.kv_heads},
                   {"head_dim", h.head_dim},
                   {"vocab", h.vocab},
                   {"context", h.context},
                   {"original_context", h.original_context},
                   {"rope_dims", h.rope_dims},
                   {"rope_theta", h.rope_theta},
                   {"rms_epsilon", h.norm_epsilon},
                   {"rope_scaling", kScalings[static_cast<size_t>(h.rope_scaling.kind)]},
                   {"tied_embeddings", h.tied_embeddings}};
  if (h.sliding_window > 0) out["sliding_window"] = h.sliding_window;
  if (h.full_every > 0) out["full_attention_every"] = h.full_every;
  if (h.sliding_rope_theta != 0) out["sliding_rope_theta"] = h.sliding_rope_theta;
  if (h.experts > 0) {
    out["experts"] = h.experts;
    out["experts_used"] = h.experts_used;
    out["expert_width"] = h.expert_width;
  }
  return out;
}

json::object TokenizerJson(const text::TokenizerData& t) {
  static constexpr const char* kKinds[] = {"none", "sentencepiece", "byte-bpe"};
  json::object out{{"kind", kKinds[static_cast<size_t>(t.kind)]},
                   {"tokens", t.tokens.size()},
                   {"add_bos", t.add_bos},
                   {"add_eos", t.add_eos}};
  if (!t.merges.empty()) out["merges"] = t.merges.size();
  if (t.kind == text::TokenizerData::Kind::kByteBpe) out["pre"] = t.pre;
  const auto add_special = [&](const char* name, const std::optional<int32_t>& id) {
    if (!id) return;
    out[name] = *id;
    if (*id >= 0 && static_cast<size_t>(*id) < t.tokens.size())
      out[std::string(name) + "_text"] = t.tokens[static_cast<size_t>(*id)].text;
  };
  add_special("bos", t.bos);
  add_special("eos", t.eos);
  if (!t.more_ends.empty()) {
    json::array ends;
    for (const int32_t id : text::EndIds(t))
      ends.push_back({{"id", id}, {"text", t.tokens[static_cast<size_t>(id)].text}});
    out["ends"] = std::move(ends);
  }
  add_special("unknown", t.unknown);
  add_special("padding", t.padding);
  out["chat_template"] = !t.chat_template.empty();
  return out;
}

json::object SamplingJson(const SamplingDefaults& sampling) {
  json::object out;
  if (sampling.samples) out["do_sample"] = *sampling.samples;
  for (const SamplingNumber& number : kSamplingNumbers)
    if (const auto& value = sampling.*number.value) out[number.hf] = Plain(*value);
  if (sampling.top_k) out[kTopKHf] = *sampling.top_k;
  return out;
}

// A value on one line; floats without noise.
std::string Inline(const json::value& value) {
  if (value.is_string()) return Shown(View(value.get_string()));
  if (value.is_double()) return fmt::format("{:g}", value.get_double());
  if (value.is_array() && value.get_array().size() < 5 &&
      std::ranges::all_of(value.get_array(), [](const json::value& v) { return v.is_number(); })) {
    std::string text;
    for (const json::value& v : value.get_array()) text += (text.empty() ? "" : " x ") + Inline(v);
    return text;
  }
  return Shown(json::serialize(value), std::numeric_limits<size_t>::max());
}

bool IsTable(const json::value& value) {
  return value.is_array() && !value.get_array().empty() && value.get_array().front().is_object();
}

std::string RowsText(const json::array& rows, const std::string& indent) {
  std::vector<std::string> keys;
  for (const auto& field : rows.front().get_object()) keys.emplace_back(field.key());
  std::vector<size_t> widths;
  for (const std::string& key : keys) {
    size_t width = key.size();
    for (const json::value& row : rows)
      width = std::max(width, Inline(row.get_object().at(key)).size());
    widths.push_back(width);
  }
  std::string text;
  const auto line = [&](const auto& cell) {
    text += indent;
    for (size_t i = 0; i < keys.size(); ++i)
      text +=
          i + 1 < keys.size() ? fmt::format("{:<{}}  ", cell(keys[i]), widths[i]) : cell(keys[i]);
    text += '\n';
  };
  line([](const std::string& key) { return key; });
  for (const json::value& row : rows)
    line([&](const std::string& key) { return Inline(row.get_object().at(key)); });
  return text;
}

void Render(const json::object& object, const std::string& indent, std::string& text) {
  for (const auto& field : object) {
    const std::string key = Shown(View(field.key()));
    if (field.value().is_object()) {
      text += fmt::format("{}{}:\n", indent, key);
      Render(field.value().get_object(), indent + "  ", text);
    } else if (IsTable(field.value())) {
      text +=
          fmt::format("{}{}:\n{}", indent, key, RowsText(field.value().get_array(), indent + "  "));
    } else {
      text += fmt::format("{}{}: {}\n", indent, key, Inline(field.value()));
    }
  }
}

}  // namespace

text::ChatTemplate ChatTemplateOf(const text::TokenizerData& tokenizer) {
  const auto text = [&](const std::optional<int32_t>& id) {
    return id && *id >= 0 && static_cast<size_t>(*id) < tokenizer.tokens.size()
               ? tokenizer.tokens[static_cast<size_t>(*id)].text
               : "";
  };
  std::string_view with_tools;
  for (const auto& [name, template_text] : tokenizer.named_templates)
    if (name == "tool_use") with_tools = template_text;
  return text::ChatTemplate::Read(tokenizer.chat_template,
                                  {text(tokenizer.bos), text(tokenizer.eos), tokenizer.add_bos},
                                  with_tools);
}

json::object ChatJson(const text::TokenizerData& t) {
  const text::ChatTemplate chat = ChatTemplateOf(t);
  const std::string_view state = Name(chat.state());
  json::object out{{"template", json::string_view(state.data(), state.size())}};
  if (chat.state() == text::ChatTemplate::State::kUnknown) out["why"] = chat.why();
  if (chat.state() == text::ChatTemplate::State::kKnown) {
    out["drops_system"] = chat.drops_system();
    out["tools"] = chat.takes_tools();
  }
  if (const std::string warning = chat.Warning(); !warning.empty()) out["warning"] = warning;
  return out;
}

json::object DescribeModel(const ModelSource& source) {
  const ModelDescription& model = source.description();
  json::array tensors, attachments;
  uint64_t bytes = 0;
  for (const SourceTensor& t : model.tensors) {
    json::array shape;
    if (t.dims > 2) shape.push_back(t.matrices);
    if (t.dims > 1) shape.push_back(t.rows / t.matrices);
    shape.push_back(t.cols);
    const auto size = static_cast<uint64_t>(t.rows * RowBytes(t.dtype, t.cols));
    json::object tensor{
        {"name", t.name}, {"dtype", Info(t.dtype).name}, {"shape", shape}, {"bytes", size}};
    if (!t.packed.empty()) tensor["quantized"] = t.packed;
    tensors.push_back(std::move(tensor));
    bytes += size;
  }
  for (const Attachment& a : source.attachments()) attachments.emplace_back(a.name);
  json::object out{{"kind", "model"},
                   {"format", source.format()},
                   {"name", model.name},
                   {"architecture", model.family->name},
                   {"parameters", model.Parameters()},
                   {"weight_bytes", bytes},
                   {"hyperparameters", HyperJson(model.hyper)},
                   {"tokenizer", TokenizerJson(model.tokenizer)},
                   {"chat", ChatJson(model.tokenizer)}};
  if (json::object sampling = SamplingJson(model.sampling); !sampling.empty())
    out["sampling"] = std::move(sampling);
  out["attachments"] = std::move(attachments);
  out["tensors"] = std::move(tensors);
  return out;
}

json::object NeedJson(const MemoryNeed& need) {
  return {{"bytes", need.total()},     {"weight_bytes", need.weights},
          {"cache_bytes", need.cache}, {"buffer_bytes", need.buffers},
          {"context", need.context},   {"kv_type", need.kv_type},
          {"text", DescribeNeed(need)}};
}

json::object DescribeManifest(const v1::Manifest& manifest) {
  json::array files;
  for (const v1::ArtifactFile& file : manifest.files())
    files.push_back({{"path", file.path()}, {"size", file.size()}, {"chunks", file.chunks_size()}});
  json::object out{{"kind", "artifact"},
                   {"manifest_digest", ManifestDigest(manifest).hex()},
                   {"format", manifest.target().format()},
                   {"recipe", manifest.target().recipe()},
                   {"architecture", manifest.source().architecture()},
                   {"parameters", manifest.source().parameters()},
                   {"source_digest", ToHex(AsBytes(manifest.source().digest()))},
                   {"bytes", ArtifactBytes(manifest)},
                   {"files", files}};
  const v1::Memory memory = MemoryOf(manifest);
  if (const auto need = NeedOf(memory, 0, ""); need.ok() && need->total() > 0) {
    out["memory_bytes"] = need->total();
    out["needs"] = NeedJson(*need);
    if (memory.model_context() > 0)
      out["needs"].as_object()["model_context"] = memory.model_context();
    // Of all layers; those with a window stop at that.
    for (const v1::KvCache& cache : memory.caches()) {
      json::value& bytes = out["needs"].as_object()["cache_bytes_per_token_" + cache.type()];
      bytes = cache.bytes_per_token() + (bytes.is_null() ? 0 : bytes.as_uint64());
    }
  }
  if (manifest.target().changes_size() > 0)
    out["changes"] =
        json::array(manifest.target().changes().begin(), manifest.target().changes().end());
  if (!manifest.target().importance_digest().empty())
    out["importance_digest"] = ToHex(AsBytes(manifest.target().importance_digest()));
  return out;
}

std::string Serialized(json::object object) {
  json::value value(std::move(object));
  MakeValid(value);
  return json::serialize(value) + "\n";
}

std::string Readable(const json::object& object) {
  std::string text;
  Render(object, "", text);
  return text;
}

}  // namespace quantfleet::cli
