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
  for (const FamilyScalar& scalar : family.scalars)
    h.*scalar.value = static_cast<float>(config.NeedNumber(scalar.name.hf));
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

// What changes the arithmetic in ways that we do not follow.
absl::Status RefuseUnsupported(JsonMembers& config, const Family& family) {
  // Gemma's class goes by the second where that is there.
  for (const std::string_view key : {"hidden_act", "hidden_activation"}) {
    const std::optional<std::string> activation = config.Text(key);
    if (activation && std::ranges::find(family.hidden_act, *activation) == family.hidden_act.end())
      return Unimplemented("{}: {} '{}' is not supported for {}; only {} is", config.where(), key,
                           Shown(*activation), family.name, fmt::join(family.hidden_act, " or "));
  }
  if (config.Bool("use_sliding_window").value_or(false))
    return Unimplemented("{}: use_sliding_window is not supported", config.where());
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

absl::Status ReadSlidingWindow(JsonMembers& config, Window kind, Hyperparameters& h) {
  const int64_t window = config.Integer("sliding_window").value_or(0);
  switch (kind) {
    case Window::kIgnored:
      break;
    case Window::kInAttention:
      h.sliding_window = window;
      break;
    case Window::kEndsContext:
      if (window > 0 && window < h.context) h.context = h.original_context = window;
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

}  // namespace

absl::StatusOr<HfConfig> ParseHfConfig(std::string_view text, std::string_view file) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, file));
  JsonMembers config(object, std::string(file));
  QF_ASSIGN_OR_RETURN(const KnownClass known, FindClass(config));
  HfConfig out;
  out.family = known.family;
  out.beside_adapters = known.is->beside_adapters;
  QF_RETURN_IF_ERROR(RefuseUnsupported(config, *known.family));
  QF_ASSIGN_OR_RETURN(out.quantization, ParseHfQuantization(object, std::string(file)));
  QF_RETURN_IF_ERROR(ReadSizes(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(ReadExperts(config, *known.family, out.hyper));
  QF_RETURN_IF_ERROR(CheckUnturnedLayers(config, *known.family, out.hyper.layers));
  QF_RETURN_IF_ERROR(ReadSlidingWindow(config, known.is->window, out.hyper));
  QF_RETURN_IF_ERROR(ReadRope(config, *known.family, out.hyper));
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
