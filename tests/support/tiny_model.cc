#include "tests/support/tiny_model.h"

#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>

#include "common/base/bytes.h"
#include "pipeline/family/shapes.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::testing {
namespace {

using pipeline::DType;
using pipeline::Family;

const Family& FamilyNamed(std::string_view name) {
  const Family* family = pipeline::FindFamily(name);
  if (family == nullptr) throw std::runtime_error(fmt::format("there is no family '{}'", name));
  return *family;
}

struct Weight {
  std::string name;
  int64_t rows, cols;
  bool flat;
};

// Whether it is so or not, of a family without a head of its own.
bool IsTied(const Family& family, const TinyModelOptions& o) {
  return o.tied || FindTensor(family, pipeline::Role::kOutputHead) == nullptr;
}

// The tensors of a checkpoint, as the family's description has them.
std::vector<Weight> Weights(const Family& family, const TinyModelOptions& o) {
  pipeline::Hyperparameters h;
  h.hidden = o.hidden, h.intermediate = o.intermediate, h.layers = o.layers, h.vocab = o.vocab;
  h.heads = o.heads, h.kv_heads = o.kv_heads;
  h.head_dim = o.head_dim > 0 ? o.head_dim : o.hidden / o.heads;
  h.tied_embeddings = IsTied(family, o);
  h.context = o.context, h.token_types = 2;
  h.experts = o.experts, h.experts_used = o.experts_used;
  h.expert_width =
      family.experts && family.experts->width.hf.empty() ? o.intermediate : o.expert_width;
  std::vector<Weight> weights;
  for (const auto& [role, layer, expert] : CanonicalPieces(family, h, /*optional=*/false)) {
    const pipeline::Shape shape = ShapeOf(h, role);
    std::string name = Info(role).of_expert
                           ? TensorName(family, pipeline::Dialect::kHf, role, layer, expert)
                           : HoldingTensorName(family, pipeline::Dialect::kHf, role, layer);
    if (!weights.empty() && weights.back().name == name) {
      weights.back().rows += shape.rows;
    } else {
      weights.push_back({std::move(name), shape.rows, shape.cols, shape.dims == 1});
    }
  }
  return weights;
}

// Values near those of a trained model: norms around one, rows scaled so that activations keep
// their size.
std::string RandomValues(const Weight& w, DType dtype, std::mt19937_64& engine) {
  const bool norm = w.name.find("norm") != std::string::npos || w.name.ends_with("Norm.weight");
  const float scale = w.flat ? 0.1f : 1.0f / std::sqrt(static_cast<float>(w.cols));
  std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
  for (float& v : values) {
    // The sum of four uniform numbers: close to a normal one, and the same with every standard
    // library.
    float sum = 0;
    const uint64_t bits = engine();
    for (int k = 0; k < 4; ++k)
      sum += static_cast<float>((bits >> (16 * k)) & 0xffff) / 65536.0f - 0.5f;
    v = (norm ? 1.0f : 0.0f) + sum * 1.7f * scale;
  }
  const pipeline::Codec* codec = pipeline::FindCodec(dtype);
  if (codec == nullptr) throw std::runtime_error("no codec for the tiny model's type");
  std::string out(static_cast<size_t>(w.rows * pipeline::RowBytes(dtype, w.cols)), '\0');
  codec->encode(values.data(), w.rows, w.cols, nullptr, reinterpret_cast<std::byte*>(out.data()));
  return out;
}

// BERT's stages, on letters and pairs of letters.
std::string TinyWordPiece(int64_t vocab) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const std::string letters = "etaoinshrdlucmfywgpbvkxqjz";
  for (const char c : letters) {
    tokens.push_back(std::string(1, c));
    tokens.push_back("##" + std::string(1, c));
  }
  for (const char* mark : {".", ",", "!", "'"}) tokens.emplace_back(mark);
  for (const char a : letters)
    for (const char b : letters) tokens.push_back("##" + std::string{a, b});
  tokens.resize(static_cast<size_t>(vocab));
  std::string words, added;
  for (size_t i = 0; i < tokens.size(); ++i)
    words += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", tokens[i], i);
  for (size_t i = 0; i < 5; ++i)
    added += fmt::format(R"({}{{"id":{},"content":"{}","special":true}})", i == 0 ? "" : ",", i,
                         tokens[i]);
  return fmt::format(
      R"({{"added_tokens":[{}],"normalizer":{{"type":"BertNormalizer","clean_text":true,
 "handle_chinese_chars":true,"strip_accents":null,"lowercase":true}},
 "pre_tokenizer":{{"type":"BertPreTokenizer"}},
 "post_processor":{{"type":"BertProcessing","cls":["[CLS]",2],"sep":["[SEP]",3]}},
 "decoder":{{"type":"WordPiece","prefix":"##","cleanup":true}},
 "model":{{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
 "max_input_chars_per_word":100,"vocab":{{{}}}}}}})",
      added, words);
}

std::string_view SafetensorsName(DType dtype) {
  return dtype == DType::kF32 ? "F32" : dtype == DType::kF16 ? "F16" : "BF16";
}

// One safetensors file, written tensor by tensor.
void WriteShard(const std::filesystem::path& path, std::span<const Weight> weights, DType dtype,
                std::mt19937_64& engine) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  int64_t at = 0;
  for (const Weight& w : weights) {
    const int64_t end = at + w.rows * pipeline::RowBytes(dtype, w.cols);
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}{}],"data_offsets":[{},{}]}})", w.name,
                          SafetensorsName(dtype), w.flat ? "" : fmt::format("{},", w.rows), w.cols,
                          at, end);
    at = end;
  }
  header += "}";
  header.resize(RoundUp(header.size(), 8), ' ');
  std::ofstream out(path, std::ios::binary);
  out << SafetensorsBytes(header, "");
  for (const Weight& w : weights) out << RandomValues(w, dtype, engine);
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

void WriteShards(const std::filesystem::path& dir, const std::vector<Weight>& weights,
                 const TinyModelOptions& o) {
  std::mt19937_64 engine(o.seed);
  if (o.shards <= 1) return WriteShard(dir / "model.safetensors", weights, o.dtype, engine);
  std::string map;
  const auto shards = static_cast<size_t>(o.shards);
  const size_t per = (weights.size() + shards - 1) / shards;
  for (size_t s = 0; s < shards; ++s) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards);
    const size_t begin = std::min(s * per, weights.size()),
                 n = std::min(per, weights.size() - begin);
    WriteShard(dir / name, std::span(weights).subspan(begin, n), o.dtype, engine);
    for (size_t i = begin; i < begin + n; ++i)
      map += fmt::format("{}\"{}\": \"{}\"", map.empty() ? "" : ", ", weights[i].name, name);
  }
  WriteFile(dir / "model.safetensors.index.json",
            fmt::format(R"({{"metadata": {{}}, "weight_map": {{{}}}}})", map));
}

// Protobuf's wire format, as much as a ModelProto needs.
std::string Varint(uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  return out + static_cast<char>(v);
}
std::string Number(int field, int64_t v) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(static_cast<uint64_t>(v));
}
std::string Blob(int field, std::string_view bytes) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(bytes.size()) + std::string(bytes);
}
std::string Float(int field, float v) {
  std::string out = Varint(static_cast<uint64_t>(field) << 3 | 5);
  return out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

}  // namespace

void WriteFile(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  if (!(out << bytes).flush()) throw std::runtime_error("cannot write " + path.string());
}

void WriteTinyAdapter(const std::filesystem::path& dir, std::string_view module, int64_t rows,
                      int64_t cols, float value) {
  constexpr int64_t kRank = 2;
  const int64_t a = kRank * cols * 4, b = rows * kRank * 4;
  std::string data(static_cast<size_t>(a + b), '\0');
  for (size_t at = 0; at < data.size(); at += sizeof value)
    std::memcpy(data.data() + at, &value, sizeof value);
  std::filesystem::create_directories(dir);
  WriteFile(dir / "adapter_config.json",
            fmt::format(R"({{"peft_type": "LORA", "r": {}, "lora_alpha": 4, "bias": "none",
                             "base_model_name_or_path": "some/base"}})",
                        kRank));
  WriteFile(dir / "adapter_model.safetensors",
            SafetensorsBytes(fmt::format(R"({{
  "base_model.model.{0}.lora_A.weight": {{"dtype":"F32","shape":[{1},{2}],"data_offsets":[0,{3}]}},
  "base_model.model.{0}.lora_B.weight":
    {{"dtype":"F32","shape":[{4},{1}],"data_offsets":[{3},{5}]}}}})",
                                         module, kRank, cols, a, rows, a + b),
                             data));
}

std::string SafetensorsBytes(std::string_view header_json, std::string_view data) {
  const uint64_t size = header_json.size();
  std::string out(reinterpret_cast<const char*>(&size), sizeof size);
  return out.append(header_json).append(data);
}

std::vector<SpmPiece> TinySpmPieces(int64_t vocab) {
  std::vector<SpmPiece> pieces{{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  for (int b = 0; b < 256; ++b) pieces.push_back({fmt::format("<0x{:02X}>", b), 0, 6});
  float score = 0;
  const auto add = [&](std::string text) {
    if (static_cast<int64_t>(pieces.size()) < vocab)
      pieces.push_back({std::move(text), score -= 1, 1});
  };
  const std::string space = "\xe2\x96\x81", letters = "etaoinshrdlucmfywgpbvkxqjz.,";
  add(space + "t");
  add("he");
  add(space + "the");
  add("in");
  add(space + "a");
  add(space);
  for (const char c : letters) add(std::string(1, c));
  for (const char a : letters)
    for (const char b : letters)
      if (const std::string pair{a, b}; pair != "he" && pair != "in") add(pair);
  for (int64_t i = 0; static_cast<int64_t>(pieces.size()) < vocab; ++i)
    add(fmt::format("{}word{}", space, i));
  return pieces;
}

std::string SpmModelBytes(const std::vector<SpmPiece>& pieces, const SpmOptions& o) {
  std::string out;
  for (const SpmPiece& p : pieces)
    out += Blob(1, Blob(1, p.text) + Float(2, p.score) + Number(3, p.type));
  out += Blob(2, Number(3, o.model_type) + Number(35, 1) + Number(40, o.unknown) +
                     Number(41, o.bos) + Number(42, o.eos) + Number(43, o.padding));
  return out + Blob(3, Blob(1, "identity") + Number(3, o.add_dummy_prefix) + Number(4, 0));
}

std::string TinyConfig(std::string_view family, const TinyModelOptions& o) {
  const Family& as = FamilyNamed(family);
  const pipeline::HfClass& hf = as.classes.front();
  std::string text = fmt::format(
      R"({{"architectures": ["{}"], "model_type": "{}", "hidden_size": {}, "intermediate_size": {},
 "num_hidden_layers": {}, "num_attention_heads": {}, "num_key_value_heads": {}, "vocab_size": {},
 "max_position_embeddings": {}, "{}": 1e-05, "rope_theta": 10000.0, "rope_scaling": {},
 "hidden_act": "{}", "tie_word_embeddings": {}, "bos_token_id": 1, "eos_token_id": 2)",
      hf.name, hf.model_type, o.hidden, o.intermediate, o.layers, o.heads, o.kv_heads, o.vocab,
      o.context, as.epsilon.hf, o.rope_scaling, as.hidden_act.front(), IsTied(as, o));
  double scalar = 0.4;  // each another
  for (const pipeline::FamilyScalar& s : as.scalars)
    text += fmt::format(", \"{}\": {}", s.name.hf, scalar), scalar += 0.3;
  if (as.experts) {
    text += fmt::format(
        ", \"{}\": {}, \"{}\": {}, \"norm_topk_prob\": true, \"attention_bias\": true, "
        "\"lm_head_bias\": true",
        as.experts->count.hf, o.experts, as.experts->used.hf, o.experts_used);
    if (!as.experts->width.hf.empty())
      text += fmt::format(", \"{}\": {}", as.experts->width.hf, o.expert_width);
  }
  if (as.full_every > 0) text += ", \"sliding_window\": 8";
  const int64_t head_dim = o.head_dim > 0 ? o.head_dim : o.hidden / o.heads;
  const bool has_defaults = hf.config_defaults != "{}";  // which are of published sizes
  if (o.head_dim > 0 || has_defaults) text += fmt::format(", \"head_dim\": {}", head_dim);
  if (has_defaults) text += fmt::format(", \"query_pre_attn_scalar\": {}", head_dim);
  return text + o.extra_config + "}\n";
}

void WritePooling(const std::filesystem::path& dir, std::string_view flag) {
  std::filesystem::create_directories(dir / "1_Pooling");
  WriteFile(dir / "modules.json",
            R"([{"path":"","type":"sentence_transformers.models.Transformer"},
 {"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}])");
  WriteFile(dir / "1_Pooling/config.json", fmt::format("{{\"{}\":true}}", flag));
}

void WriteTinyModel(const std::filesystem::path& dir, std::string_view family,
                    const TinyModelOptions& options) {
  std::filesystem::create_directories(dir);
  WriteFile(dir / "config.json", TinyConfig(family, options));
  if (FamilyNamed(family).encoder) {
    WritePooling(dir, "pooling_mode_mean_tokens");
    WriteFile(dir / "tokenizer.json", TinyWordPiece(options.vocab));
    WriteFile(dir / "LICENSE", "Public domain: random numbers.\n");
    return WriteShards(dir, Weights(FamilyNamed(family), options), options);
  }
  WriteFile(
      dir / "tokenizer.model",
      SpmModelBytes(TinySpmPieces(options.vocab - static_cast<int64_t>(options.added.size()))));
  std::string added;
  const int64_t first = options.vocab - static_cast<int64_t>(options.added.size());
  for (size_t i = 0; i < options.added.size(); ++i)
    added += fmt::format(R"({}"{}": {{"content": "{}", "special": true}})", i ? ", " : "",
                         first + static_cast<int64_t>(i), options.added[i]);
  WriteFile(
      dir / "tokenizer_config.json",
      fmt::format(
          R"({{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": false,
 "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": "{{{{ messages }}}}",
 "added_tokens_decoder": {{{}}}}})",
          added));
  if (!options.generation_config.empty())
    WriteFile(dir / "generation_config.json", options.generation_config);
  WriteFile(dir / "LICENSE", "Public domain: random numbers.\n");
  WriteShards(dir, Weights(FamilyNamed(family), options), options);
}

}  // namespace quantfleet::testing
