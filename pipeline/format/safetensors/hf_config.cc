#include "pipeline/format/safetensors/hf_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "common/base/json.h"
#include "common/base/nearest.h"
#include "common/base/outside_text.h"
#include "pipeline/family/validate.h"
#include "pipeline/format/safetensors/hf_experts.h"
#include "pipeline/model/hf_generation.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

struct KnownClass {
  const Family* family = nullptr;
  const HfClass* is = nullptr;
};

absl::StatusOr<KnownClass> FindClass(JsonMembers& config) {
  std::string name;
  const json::array* classes = config.Array("architectures");
  if (classes != nullptr && !classes->empty() && classes->front().is_string()) {
    const json::string& text = classes->front().get_string();
    name.assign(text.data(), text.size());
  } else {
    name = config.Text("model_type").value_or("");
  }
  QF_RETURN_IF_ERROR(config.status());
  if (name.empty())
    return InvalidArgument("{}: neither 'architectures' nor 'model_type' names the model's class",
                           config.where());
  std::vector<std::string_view> supported;
  for (const Family* family : Families()) {
    for (const HfClass& known : family->classes) {
      if (name == known.name || name == known.model_type) return KnownClass{family, &known};
      supported.push_back(known.name);
    }
  }
  return Unimplemented(
      "{}: the architecture '{}' is not supported; the nearest that is supported is {}; all: {}",
      config.where(), Shown(name), NearestName(name, supported), fmt::join(supported, ", "));
}

std::vector<float> Floats(JsonMembers& from, std::string_view key) {
  std::vector<float> values;
  const json::array* array = from.Array(key);
  if (array == nullptr) return values;
  for (const json::value& v : *array) {
    boost::system::error_code error;
    values.push_back(static_cast<float>(v.to_number<double>(error)));
    if (error)
      from.Fail(
          InvalidArgument("{}: '{}' contains something that is not a number", from.where(), key));
  }
  return values;
}

absl::Status ReadLongRope(JsonMembers& from, const Family& family, Hyperparameters& h) {
  if (!family.long_rope)
    return Unimplemented("{}: LongRoPE is supported only for {}", from.where(),
                         FamilyNames(&Family::long_rope));
  RopeScaling& rope = h.rope_scaling;
  rope.kind = RopeScaling::Kind::kLongRope;
  rope.long_factors = Floats(from, "long_factor");
  rope.short_factors = Floats(from, "short_factor");
  // One scale for both sets of factors, as GGUF has it.
  const auto long_scale = from.Number("long_mscale"), short_scale = from.Number("short_mscale");
  if (long_scale != short_scale)
    return Unimplemented(
        "{}: 'long_mscale' is {} and 'short_mscale' is {}; only one scale for both is supported",
        from.where(), long_scale ? fmt::format("{}", *long_scale) : "absent",
        short_scale ? fmt::format("{}", *short_scale) : "absent");
  // Newer writers put it beside the factors.
  if (const auto original = from.Integer("original_max_position_embeddings"))
    h.original_context = *original;
  QF_RETURN_IF_ERROR(from.status());
  if (h.original_context < 2)
    return InvalidArgument(
        "{}: LongRoPE needs an 'original_max_position_embeddings' of at least 2, not {}",
        from.where(), h.original_context);
  const auto given = long_scale ? long_scale : from.Number("attention_factor");
  rope.attention_factor =
      given ? static_cast<float>(*given) : LongRopeAttentionFactor(h.context, h.original_context);
  return absl::OkStatus();
}

absl::Status ReadLlama3(JsonMembers& from, Hyperparameters& h) {
  RopeScaling& rope = h.rope_scaling;
  rope.kind = RopeScaling::Kind::kLlama3;
  rope.factor = static_cast<float>(from.NeedNumber("factor"));
  rope.low_freq_factor = static_cast<float>(from.NeedNumber("low_freq_factor"));
  rope.high_freq_factor = static_cast<float>(from.NeedNumber("high_freq_factor"));
  h.original_context = from.NeedInteger("original_max_position_embeddings");
  return absl::OkStatus();
}

absl::Status ReadYarn(JsonMembers& from, Hyperparameters& h) {
  RopeScaling& rope = h.rope_scaling;
  rope.kind = RopeScaling::Kind::kYarn;
  rope.factor = static_cast<float>(from.NeedNumber("factor"));
  rope.beta_fast = static_cast<float>(from.Number("beta_fast").value_or(32));
  rope.beta_slow = static_cast<float>(from.Number("beta_slow").value_or(1));
  h.original_context = from.NeedInteger("original_max_position_embeddings");
  for (const std::string_view key : {"attention_factor", "mscale", "mscale_all_dim"})
    if (from.Any(key) != nullptr)
      return Unimplemented("{}: '{}' is not supported", from.where(), key);
  if (from.Bool("truncate").value_or(true))
    return Unimplemented("{}: only YaRN with 'truncate' false is supported", from.where());
  return from.status();
}

// Stands beside rope_theta, wherever that stands.
absl::Status ReadPartialRotary(JsonMembers& from, Hyperparameters& h) {
  const auto partial = from.Number("partial_rotary_factor");
  if (!partial) return from.status();
  if (!(*partial > 0 && *partial <= 1))
    return InvalidArgument("{}: partial_rotary_factor is {}; it must be above 0 and at most 1",
                           from.where(), *partial);
  h.rope_dims = static_cast<int64_t>(*partial * static_cast<double>(h.head_dim));
  return from.status();
}

absl::Status ReadRope(JsonMembers& config, const Family& family, Hyperparameters& h) {
  // Newer writers keep theta and scaling together under rope_parameters.
  const json::object* object = config.Object("rope_parameters");
  if (object == nullptr) object = config.Object("rope_scaling");
  h.rope_theta = static_cast<float>(config.Number("rope_theta").value_or(10000.0));
  if (object == nullptr) return absl::OkStatus();
  // By kind of layer, where there are two.
  if (const json::value* full = object->if_contains("full_attention"); full && full->is_object())
    object = &full->get_object();
  JsonMembers from(*object, config.where() + ": rope_scaling");
  if (const auto theta = from.Number("rope_theta")) h.rope_theta = static_cast<float>(*theta);
  QF_RETURN_IF_ERROR(ReadPartialRotary(from, h));
  std::string type = from.Text("rope_type").value_or("");
  if (type.empty()) type = from.Text("type").value_or("default");
  if (type == "longrope" || type == "su") {
    QF_RETURN_IF_ERROR(ReadLongRope(from, family, h));
  } else if (type == "llama3") {
    QF_RETURN_IF_ERROR(ReadLlama3(from, h));
  } else if (type == "linear") {
    h.rope_scaling.kind = RopeScaling::Kind::kLinear;
    h.rope_scaling.factor = static_cast<float>(from.NeedNumber("factor"));
  } else if (type == "yarn" && family.yarn) {
    QF_RETURN_IF_ERROR(ReadYarn(from, h));
  } else if (type != "default") {
    return Unimplemented(
        "{}: the type '{}' is not supported; supported are default, linear, longrope and llama3",
        from.where(), type);
  }
  return from.status();
}

absl::Status ReadSizes(JsonMembers& config, const Family& family, Hyperparameters& h) {
  h.hidden = config.NeedInteger("hidden_size");
  h.intermediate = config.NeedInteger("intermediate_size");
  h.layers = config.NeedInteger("num_hidden_layers");
  h.heads = config.NeedInteger("num_attention_heads");
  h.kv_heads = config.Integer("num_key_value_heads").value_or(h.heads);
  h.vocab = config.NeedInteger("vocab_size");
  h.context = config.NeedInteger("max_position_embeddings");
  h.original_context = config.Integer("original_max_position_embeddings").value_or(h.context);
  h.norm_epsilon = static_cast<float>(config.NeedNumber(family.epsilon.hf));
  h.tied_embeddings = config.Bool("tie_word_embeddings").value_or(family.tied_by_default);
  if (family.encoder) {
    h.tied_embeddings = true;  // there is no head
    h.token_types = config.Integer("type_vocab_size").value_or(2);
  }
  for (const FamilyScalar& scalar : family.scalars)
    h.*scalar.value = static_cast<float>(scalar.where_absent && !config.Any(scalar.name.hf)
                                             ? *scalar.where_absent
                                             : config.NeedNumber(scalar.name.hf));
  const auto head_dim = config.Integer("head_dim");
  QF_RETURN_IF_ERROR(config.status());
  if (head_dim) {
    h.head_dim = *head_dim;
  } else if (h.heads > 0 && h.hidden % h.heads == 0) {
    h.head_dim = h.hidden / h.heads;
  } else {
    return InvalidArgument(
        "{}: num_attention_heads ({}) does not divide hidden_size ({}), and there is no head_dim",
        config.where(), h.heads, h.hidden);
  }
  h.rope_dims = h.head_dim;
  return ReadPartialRotary(config, h);
}

bool HasScalar(const Family& family, std::string_view hf_name) {
  return std::ranges::any_of(family.scalars,
                             [&](const FamilyScalar& scalar) { return scalar.name.hf == hf_name; });
}

// What changes the arithmetic in ways that we do not follow.
absl::Status RefuseUnsupported(JsonMembers& config, const Family& family) {
  // Gemma's class goes by the second where that is there.
  for (const std::string_view key : {"hidden_act", "hidden_activation"}) {
    const std::optional<std::string> activation = config.Text(key);
    if (activation && std::ranges::find(family.hidden_act, *activation) == family.hidden_act.end())
      return Unimplemented("{}: {} '{}' is not supported for {}; only {} is", config.where(), key,
                           Shown(*activation), family.name, fmt::join(family.hidden_act, " or "));
  }
  for (const std::string_view key : {"use_sliding_window", "use_bidirectional_attention"})
    if (config.Bool(key).value_or(false))
      return Unimplemented("{}: {} is not supported", config.where(), key);
  for (const std::string_view key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (config.Any(key) != nullptr && !HasScalar(family, key))
      return Unimplemented("{}: {} is not supported for {}", config.where(), key, family.name);
  const std::string positions = config.Text("position_embedding_type").value_or("absolute");
  if (family.encoder && positions != "absolute")
    return Unimplemented("{}: position_embedding_type '{}' is not supported; only absolute is",
                         config.where(), Shown(positions));
  if (family.encoder && config.Bool("is_decoder").value_or(false))
    return Unimplemented("{}: is_decoder is not supported for {}", config.where(), family.name);
  return config.status();
}

// A file says 1 of layers that turn. Other layers than the family's would need another word in
// GGUF, which has none.
absl::Status CheckUnturnedLayers(JsonMembers& config, const Family& family, int64_t layers) {
  if (family.unturned_every == 0) return absl::OkStatus();
  const json::array* turned = config.Array("no_rope_layers");
  const int64_t every = config.Integer("no_rope_layer_interval").value_or(family.unturned_every);
  QF_RETURN_IF_ERROR(config.status());
  bool as_ours = turned != nullptr ? turned->size() == static_cast<uint64_t>(layers)
                                   : every == family.unturned_every;
  for (size_t i = 0; as_ours && turned != nullptr && i < turned->size(); ++i)
    as_ours = (*turned)[i].is_int64() &&
              ((*turned)[i].get_int64() != 0) == TurnsLayer(family, static_cast<int64_t>(i));
  if (as_ours) return absl::OkStatus();
  return Unimplemented(
      "{}: only models of {} in which every {}th layer is without rotary embedding are supported, "
      "but no_rope_layers or no_rope_layer_interval says otherwise",
      config.where(), family.name, family.unturned_every);
}

// Where layers with a window are is a rule of their number in every runtime: lists have to follow
// one.
absl::StatusOr<int64_t> FullEvery(JsonMembers& config, const Family& family, int64_t layers) {
  std::optional<int64_t> every;
  for (const std::string_view key : {"sliding_window_pattern", "_sliding_window_pattern"})
    if (!every) every = config.Integer(key);
  const json::array* types = config.Array("layer_types");
  QF_RETURN_IF_ERROR(config.status());
  if (types == nullptr) return every.value_or(family.full_every);
  std::vector<bool> full;
  for (const json::value& type : *types) {
    if (!type.is_string() ||
        (type.get_string() != "full_attention" && type.get_string() != "sliding_attention"))
      return Unimplemented(
          "{}: layer_types must be a list of 'full_attention' and 'sliding_attention'",
          config.where());
    full.push_back(type.get_string() == "full_attention");
  }
  if (static_cast<int64_t>(full.size()) != layers)
    return InvalidArgument("{}: layer_types has {} entries, but num_hidden_layers is {}",
                           config.where(), full.size(), layers);
  const std::optional<int64_t> period = PeriodOf(full, every.value_or(family.full_every));
  if (period) return *period;
  return Unimplemented(
      "{}: only models of {} in which every n-th layer has full attention are supported, but "
      "layer_types says otherwise",
      config.where(), family.name);
}

// Which layers see a window alone, and how those turn.
absl::Status ReadSlidingLayers(JsonMembers& config, const Family& family, Hyperparameters& h) {
  if (family.full_every == 0) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(h.full_every, FullEvery(config, family, h.layers));
  if (h.full_every < 1)
    return InvalidArgument("{}: sliding_window_pattern is {}; it must be at least 1",
                           config.where(), h.full_every);
  if (h.sliding_window == 0 || h.full_every == 1) {
    h.full_every = h.sliding_window = 0;
    return absl::OkStatus();
  }
  if (family.sliding_rope_theta == 0) return absl::OkStatus();
  std::optional<double> theta = config.Number("rope_local_base_freq");
  if (const json::object* rope = config.Object("rope_parameters"); rope && !theta)
    if (const json::value* sliding = rope->if_contains("sliding_attention");
        sliding && sliding->is_object()) {
      JsonMembers from(sliding->get_object(), config.where() + ": sliding_attention");
      theta = from.Number("rope_theta");
      QF_RETURN_IF_ERROR(from.status());
    }
  h.sliding_rope_theta = theta ? static_cast<float>(*theta) : family.sliding_rope_theta;
  return config.status();
}

// What scores are divided by is a rule of the sizes in GGUF's runtimes, which have no key for it.
absl::Status ReadQueryScalar(JsonMembers& config, const Family& family, Hyperparameters& h) {
  if (std::ranges::find(family.config_members, ConfigMember::kQueryScalar) ==
      family.config_members.end())
    return absl::OkStatus();
  const int64_t ours = QueryScalar(family, h);
  const double scalar = config.Number("query_pre_attn_scalar").value_or(static_cast<double>(ours));
  QF_RETURN_IF_ERROR(config.status());
  if (scalar != static_cast<double>(ours))
    return Unimplemented(
        "{}: query_pre_attn_scalar is {}; for a {} model of these sizes only {} is supported, "
        "because GGUF has no key for it",
        config.where(), scalar, family.name, ours);
  h.attention_scale = AttentionScaleOf(family, h);
  return absl::OkStatus();
}

absl::Status ReadSlidingWindow(JsonMembers& config, Window kind, Hyperparameters& h) {
  const int64_t window = config.Integer("sliding_window").value_or(0);
  switch (kind) {
    case Window::kIgnored:
      break;
    case Window::kInAttention:
      h.sliding_window = window;
      break;
    case Window::kEndsContext:
      if (window <= 0 || window >= h.context) break;
      h.windowed_context = h.context;
      h.context = h.original_context = window;
      break;
  }
  return config.status();
}

// As vLLM reads them.
absl::Status ReadMatryoshka(JsonMembers& config, HfConfig& out) {
  out.any_dimensions = config.Bool("is_matryoshka").value_or(false);
  const json::array* list = config.Array("matryoshka_dimensions");
  QF_RETURN_IF_ERROR(config.status());
  if (list == nullptr) return absl::OkStatus();
  out.any_dimensions = false;
  for (const json::value& entry : *list) {
    if (!entry.is_int64() || entry.get_int64() < 1 || entry.get_int64() > out.hyper.hidden)
      return InvalidArgument(
          "{}: matryoshka_dimensions must be a list of numbers from 1 to hidden_size ({})",
          config.where(), out.hyper.hidden);
    out.dimensions.push_back(entry.get_int64());
  }
  return absl::OkStatus();
}

// The first, where there are several.
std::optional<int64_t> TokenId(JsonMembers& config, std::string_view key) {
  const json::value* value = config.Any(key);
  if (value == nullptr) return std::nullopt;
  if (const json::array* ids = value->if_array())
    return ids->empty() || !ids->front().is_int64() ? std::nullopt
                                                    : std::optional(ids->front().get_int64());
  return config.Integer(key);
}

// The members that count: the text part's where the model does more, then the whole's, then what
// the class means where neither says.
absl::StatusOr<json::object> Flat(const json::object& whole, const HfClass& known,
                                  std::string_view file) {
  json::object flat;
  const auto add = [&](const json::object& more) {
    for (const auto& [key, value] : more) flat.emplace(key, value);
  };
  if (known.text_part) {
    const json::value* text = whole.if_contains("text_config");
    if (text == nullptr || !text->is_object())
      return InvalidArgument("{}: a {} needs the object 'text_config'", file, known.name);
    add(text->get_object());
  }
  add(whole);
  QF_ASSIGN_OR_RETURN(const json::object defaults, ParseJsonObject(known.config_defaults, file));
  add(defaults);
  return flat;
}

}  // namespace

absl::StatusOr<HfConfig> ParseHfConfig(std::string_view text, std::string_view file) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, file));
  JsonMembers whole(object, std::string(file));
  QF_ASSIGN_OR_RETURN(const KnownClass known, FindClass(whole));
  QF_ASSIGN_OR_RETURN(const json::object flat, Flat(object, *known.is, file));
  JsonMembers config(flat, std::string(file));
  HfConfig out;
  out.family = known.family;
  out.text_part = known.is->text_part;
  out.beside_adapters = known.is->beside_adapters;
  QF_RETURN_IF_ERROR(RefuseUnsupported(config, *known.family));
  QF_ASSIGN_OR_RETURN(out.quantization, ParseHfQuantization(object, std::string(file)));
  QF_RETURN_IF_ERROR(ReadSizes(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(ReadExperts(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(CheckUnturnedLayers(config, *known.family, out.hyper.layers));
  QF_RETURN_IF_ERROR(ReadSlidingWindow(config, known.is->window, out.hyper));
  QF_RETURN_IF_ERROR(ReadSlidingLayers(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(ReadQueryScalar(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(ReadRope(config, *known.family, out.hyper));
  // Which of several scalings such a model would take beyond its window, nobody has published.
  if (out.hyper.rope_scaling.kind != RopeScaling::Kind::kNone) out.hyper.windowed_context = 0;
  out.bos = TokenId(config, "bos_token_id");
  out.ends = ReadTokenIds(config, "eos_token_id", out.hyper.vocab);
  out.padding = TokenId(config, "pad_token_id");
  QF_RETURN_IF_ERROR(ReadMatryoshka(config, out));
  out.headless = known.is->headless;
  const std::string path = config.Text("_name_or_path").value_or("");
  out.published_name = PublishableName(std::string_view(path).substr(path.find_last_of('/') + 1));
  QF_RETURN_IF_ERROR(config.status());
  QF_RETURN_IF_ERROR(Annotate(ValidateHyperparameters(*out.family, out.hyper), file));
  return out;
}

}  // namespace quantfleet::pipeline
