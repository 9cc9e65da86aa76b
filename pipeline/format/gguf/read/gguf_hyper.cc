#include "pipeline/format/gguf/read/gguf_hyper.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/nearest.h"
#include "pipeline/format/gguf/read/gguf_names.h"

namespace quantfleet::pipeline {
namespace {

// Reads keys below the architecture's prefix; remembers the first error, so that reading stays a
// list.
class Keys {
 public:
  Keys(const GgufFile& file, const Family& family) : file_(file), prefix_(family.name) {}

  std::optional<int64_t> Integer(std::string_view key) { return Take(file_.Integer(Full(key))); }
  std::optional<double> Float(std::string_view key) { return Take(file_.Float(Full(key))); }
  std::optional<std::string> Text(std::string_view key) { return Take(file_.Text(Full(key))); }

  // An array of bools, one per layer; nullptr where the key is absent or another thing.
  const GgufArray* Array(std::string_view key) {
    const GgufKv* kv = file_.Find(Full(key));
    return kv == nullptr ? nullptr : std::get_if<GgufArray>(&kv->value);
  }

  int64_t NeedInteger(std::string_view key) {
    const auto value = Integer(key);
    if (!value) Missing(key);
    return value.value_or(0);
  }
  float NeedFloat(std::string_view key) {
    const auto value = Float(key);
    if (!value) Missing(key);
    return static_cast<float>(value.value_or(0));
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string Full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  void Missing(std::string_view key) {
    if (status_.ok()) status_ = InvalidArgument("{}: key '{}' is missing", file_.name(), Full(key));
  }
  template <typename T>
  std::optional<T> Take(absl::StatusOr<std::optional<T>> result) {
    if (result.ok()) return *std::move(result);
    if (status_.ok()) status_ = result.status();
    return std::nullopt;
  }

  const GgufFile& file_;
  const std::string_view prefix_;
  absl::Status status_;
};

absl::Status ReadScaling(const GgufFile& file, Keys& keys, const Family& family,
                         RopeScaling& rope) {
  const std::string type = keys.Text("rope.scaling.type").value_or("none");
  if (type == "linear") {
    rope.kind = RopeScaling::Kind::kLinear;
    rope.factor = static_cast<float>(keys.Float("rope.scaling.factor").value_or(1));
  } else if (type == "yarn" && family.yarn) {
    rope.kind = RopeScaling::Kind::kYarn;
    rope.factor = static_cast<float>(keys.Float("rope.scaling.factor").value_or(1));
    rope.beta_fast = static_cast<float>(keys.Float("rope.scaling.yarn_beta_fast").value_or(32));
    rope.beta_slow = static_cast<float>(keys.Float("rope.scaling.yarn_beta_slow").value_or(1));
  } else if (type == "longrope") {
    rope.kind = RopeScaling::Kind::kLongRope;
  } else if (type != "none") {
    return Unimplemented(
        "{}: rope scaling '{}' is not supported; supported are none, linear, longrope and llama3's "
        "frequency factors",
        file.name(), type);
  }
  if (const auto factor = keys.Float("rope.scaling.attn_factor"))
    rope.attention_factor = static_cast<float>(*factor);
  return absl::OkStatus();
}

// Every how many layers one has full attention. As a list it says of each layer whether it slides.
absl::StatusOr<int64_t> FullEvery(const GgufFile& file, Keys& keys, const Family& family,
                                  int64_t layers) {
  constexpr std::string_view kKey = "attention.sliding_window_pattern";
  const GgufArray* slides = keys.Array(kKey);
  if (slides == nullptr) return keys.Integer(kKey).value_or(family.full_every);
  if (slides->element != GgufType::kBool || static_cast<int64_t>(slides->raw.size()) != layers)
    return InvalidArgument("{}: key '{}.{}' must be a number or a list of {} bools", file.name(),
                           family.name, kKey, layers);
  std::vector<bool> full;
  for (const char slide : slides->raw) full.push_back(slide == 0);
  const std::optional<int64_t> period = PeriodOf(full, family.full_every);
  if (period) return *period;
  return Unimplemented(
      "{}: only models of {} in which every n-th layer has full attention are supported, but key "
      "'{}.{}' says otherwise",
      file.name(), family.name, family.name, kKey);
}

// Which layers see a window alone, and how those turn.
absl::Status ReadSlidingLayers(const GgufFile& file, Keys& keys, const Family& family,
                               Hyperparameters& h) {
  if (family.full_every == 0) return absl::OkStatus();
  if (h.sliding_window == 0) h.sliding_window = family.default_window;
  QF_ASSIGN_OR_RETURN(h.full_every, FullEvery(file, keys, family, h.layers));
  if (h.full_every < 1)
    return InvalidArgument(
        "{}: key '{}.attention.sliding_window_pattern' is {}; it must be at "
        "least 1",
        file.name(), family.name, h.full_every);
  if (h.sliding_window == 0 || h.full_every == 1) {
    h.full_every = h.sliding_window = 0;
  } else if (family.sliding_rope_theta != 0) {
    h.sliding_rope_theta = static_cast<float>(
        keys.Float("rope.freq_base_swa").value_or(double{family.sliding_rope_theta}));
  }
  return absl::OkStatus();
}

int64_t RowsOf(const GgufFile& file, std::string_view name) {
  const GgufTensor* tensor = file.FindTensor(name);
  return tensor == nullptr ? 0 : tensor->dims[1];
}

}  // namespace

absl::StatusOr<const Family*> ReadFamily(const GgufFile& file) {
  QF_ASSIGN_OR_RETURN(const auto name, file.Text("general.architecture"));
  if (!name)
    return InvalidArgument("{}: general.architecture is missing: this is not a model", file.name());
  if (const Family* family = FindFamily(*name)) return family;
  std::vector<std::string_view> supported;
  for (const Family* family : Families()) supported.push_back(family->name);
  return Unimplemented(
      "{}: the architecture '{}' is not supported; the nearest that is supported is {}; all: {}",
      file.name(), *name, NearestName(*name, supported), FamilyNames());
}

absl::StatusOr<Hyperparameters> ReadHyperparameters(const GgufFile& file, const Family& family) {
  Keys keys(file, family);
  Hyperparameters h;
  h.context = keys.NeedInteger("context_length");
  h.hidden = keys.NeedInteger("embedding_length");
  h.layers = keys.NeedInteger("block_count");
  h.intermediate = keys.NeedInteger("feed_forward_length");
  h.heads = keys.NeedInteger("attention.head_count");
  h.norm_epsilon = keys.NeedFloat(family.epsilon.gguf);
  for (const FamilyScalar& scalar : family.scalars)
    h.*scalar.value = scalar.where_absent
                          ? static_cast<float>(
                                keys.Float(scalar.name.gguf).value_or(double{*scalar.where_absent}))
                          : keys.NeedFloat(scalar.name.gguf);
  h.kv_heads = keys.Integer("attention.head_count_kv").value_or(h.heads);
  h.head_dim = keys.Integer("attention.key_length").value_or(h.heads > 0 ? h.hidden / h.heads : 0);
  const int64_t value_length = keys.Integer("attention.value_length").value_or(h.head_dim);
  h.rope_dims = keys.Integer("rope.dimension_count").value_or(h.head_dim);
  h.rope_theta = static_cast<float>(keys.Float("rope.freq_base").value_or(10000.0));
  h.sliding_window = keys.Integer("attention.sliding_window").value_or(0);
  h.original_context = keys.Integer("rope.scaling.original_context_length").value_or(h.context);
  if (family.experts) {
    h.experts = keys.NeedInteger(family.experts->count.gguf);
    h.experts_used = keys.NeedInteger(family.experts->used.gguf);
    const std::string_view width = family.experts->width.gguf;
    h.expert_width = width.empty() ? h.intermediate : keys.NeedInteger(width);
  }
  const std::string embedding = TensorName(family, Dialect::kGguf, Role::kTokenEmbedding);
  h.vocab = RowsOf(file, embedding);
  if (family.encoder)
    h.token_types = RowsOf(file, TensorName(family, Dialect::kGguf, Role::kTokenTypes));
  QF_RETURN_IF_ERROR(ReadScaling(file, keys, family, h.rope_scaling));
  QF_RETURN_IF_ERROR(ReadSlidingLayers(file, keys, family, h));
  if (family.wide_scores_layers > 0) h.attention_scale = AttentionScaleOf(family, h);
  QF_RETURN_IF_ERROR(keys.status());
  if (h.vocab == 0) return InvalidArgument("{}: tensor '{}' is missing", file.name(), embedding);
  if (value_length != h.head_dim)
    return Unimplemented("{}: value heads of {} dimensions with key heads of {} are not supported",
                         file.name(), value_length, h.head_dim);
  return h;
}

absl::StatusOr<std::optional<EmbeddingUse>> ReadEmbedding(const GgufFile& file,
                                                          const Family& family) {
  Keys keys(file, family);
  const int64_t number = keys.Integer(kPoolingKey).value_or(0);
  QF_RETURN_IF_ERROR(keys.status());
  if (number == 0) return std::optional<EmbeddingUse>();
  const auto* known = std::ranges::find_if(
      kPoolingNumbers, [&](const auto& one) { return int64_t{one.number} == number; });
  if (known == std::end(kPoolingNumbers))
    return Unimplemented(
        "{}: {}.{} is {}; supported are 1 (mean), 2 (cls) and 3 (last): rerankers are not "
        "supported",
        file.name(), family.name, kPoolingKey, number);
  EmbeddingUse use{.pooling = known->pooling};
  QF_ASSIGN_OR_RETURN(const auto dimensions, file.Integers(kDimensionsKey));
  QF_ASSIGN_OR_RETURN(const auto any, file.Bool(kAnyDimensionsKey));
  if (dimensions) use.dimensions.assign(dimensions->begin(), dimensions->end());
  use.any_dimensions = any.value_or(false);
  return std::optional(std::move(use));
}

absl::StatusOr<SamplingDefaults> ReadSampling(const GgufFile& file) {
  SamplingDefaults out;
  for (const SamplingNumber& number : kSamplingNumbers) {
    QF_ASSIGN_OR_RETURN(const auto value, file.Float(number.gguf));
    if (!value) continue;
    QF_ASSIGN_OR_RETURN(out.*number.value,
                        CheckSamplingNumber(number, *value, file.name(), number.gguf));
  }
  QF_ASSIGN_OR_RETURN(const auto top_k, file.Integer(kTopKGguf));
  if (top_k) {
    QF_ASSIGN_OR_RETURN(out.top_k, CheckTopK(*top_k, file.name(), kTopKGguf));
  }
  if (out.temperature || out.top_k || out.top_p || out.min_p) out.samples = true;
  Normalize(out);
  return out;
}

}  // namespace quantfleet::pipeline
