#include "pipeline/format/safetensors/hf_quantization.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "common/base/json.h"
#include "common/base/outside_text.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;
using Method = HfQuantization::Method;
using Scheme = HfQuantization::Scheme;

constexpr std::string_view kUseOriginal = "use the original model in F32, F16 or BF16";

// Of a block or a group.
bool IsSize(int64_t n) { return n >= 1 && n <= (1 << 24); }

absl::Status CheckScheme(const Scheme& scheme, const std::string& where) {
  if (scheme.bits < 1 || scheme.bits > 8)
    return InvalidArgument("{}: {} bits are outside of 1 to 8", where, scheme.bits);
  if (scheme.group != -1 && !IsSize(scheme.group))
    return InvalidArgument("{}: the group size is {}; it must be above 0, or -1 for a whole row",
                           where, scheme.group);
  return absl::OkStatus();
}

// {"group_size": 64, "bits": 4, "mode": "affine"}
absl::StatusOr<Scheme> MlxScheme(const json::object& object, const std::string& where) {
  JsonMembers from(object, where);
  Scheme scheme;
  scheme.mode = from.Text("mode").value_or("affine");
  scheme.bits = from.NeedInteger("bits");
  scheme.group = from.NeedInteger("group_size");
  QF_RETURN_IF_ERROR(from.status());
  if (scheme.mode != "affine" && scheme.mode != "mxfp4")
    return Unimplemented("{}: the mode '{}' is not supported, only affine and mxfp4 are: {}", where,
                         Shown(scheme.mode), kUseOriginal);
  QF_RETURN_IF_ERROR(CheckScheme(scheme, where));
  if (scheme.mode == "mxfp4" && (scheme.bits != 4 || scheme.group != 32))
    return InvalidArgument("{}: mxfp4 has 4 bits in groups of 32, not {} in groups of {}", where,
                           scheme.bits, scheme.group);
  return scheme;
}

// The members of the one object are those of all modules, and of some by their names.
absl::StatusOr<HfQuantization> ReadMlx(const json::object& object, const std::string& where) {
  HfQuantization out{.method = Method::kMlx, .name = "mlx"};
  QF_ASSIGN_OR_RETURN(Scheme scheme, MlxScheme(object, where));
  out.schemes.push_back(std::move(scheme));
  for (const auto& member : object) {
    const json::object* own = member.value().if_object();
    if (own == nullptr) continue;  // false: that module is not quantized, as its tensors say too
    const std::string module(member.key().data(), member.key().size());
    QF_ASSIGN_OR_RETURN(Scheme of_module,
                        MlxScheme(*own, fmt::format("{}: {}", where, Shown(module))));
    out.modules.emplace(module, std::move(of_module));
  }
  return out;
}

absl::StatusOr<HfQuantization> ReadFp8(JsonMembers& from, std::string name) {
  HfQuantization out{.method = Method::kFp8, .name = std::move(name)};
  const std::string format = from.Text("fmt").value_or("e4m3");
  if (format != "e4m3" && format != "e5m2")
    return Unimplemented("{}: FP8 of the kind '{}' is not supported; e4m3 and e5m2 are",
                         from.where(), Shown(format));
  const json::array* block = from.Array("weight_block_size");
  QF_RETURN_IF_ERROR(from.status());
  if (block == nullptr) return out;
  const auto size = [&](size_t i) {
    return i < block->size() && (*block)[i].is_int64() ? (*block)[i].get_int64() : 0;
  };
  out.block_rows = size(0), out.block_cols = size(1);
  if (block->size() != 2 || !IsSize(out.block_rows) || !IsSize(out.block_cols))
    return InvalidArgument("{}: 'weight_block_size' must be two numbers above 0", from.where());
  return out;
}

absl::StatusOr<HfQuantization> ReadGptq(JsonMembers& from) {
  HfQuantization out{.method = Method::kGptq, .name = "gptq"};
  const Scheme scheme{from.NeedInteger("bits"), from.Integer("group_size").value_or(-1), {}};
  std::string format = from.Text("checkpoint_format").value_or("");
  if (format.empty()) format = from.Text("format").value_or("gptq");
  const json::object* dynamic = from.Object("dynamic");
  QF_RETURN_IF_ERROR(from.status());
  QF_RETURN_IF_ERROR(CheckScheme(scheme, from.where()));
  if (scheme.bits != 2 && scheme.bits != 3 && scheme.bits != 4 && scheme.bits != 8)
    return InvalidArgument("{}: GPTQ has 2, 3, 4 or 8 bits, not {}", from.where(), scheme.bits);
  if (format != "gptq" && format != "gptq_v2")
    return Unimplemented("{}: GPTQ in the layout '{}' is not supported; gptq and gptq_v2 are: {}",
                         from.where(), Shown(format), kUseOriginal);
  if (dynamic != nullptr && !dynamic->empty())
    return Unimplemented("{}: 'dynamic', by which modules differ, is not supported: {}",
                         from.where(), kUseOriginal);
  out.zero_points_plus_one = format == "gptq";
  out.schemes.push_back(scheme);
  return out;
}

absl::StatusOr<HfQuantization> ReadAwq(JsonMembers& from) {
  HfQuantization out{.method = Method::kAwq, .name = "awq"};
  std::optional<int64_t> bits = from.Integer("bits"), group = from.Integer("group_size");
  if (!bits) bits = from.NeedInteger("w_bit");
  if (!group) group = from.Integer("q_group_size");
  const std::string version = from.Text("version").value_or("gemm");
  QF_RETURN_IF_ERROR(from.status());
  const Scheme scheme{*bits, group.value_or(-1), {}};
  QF_RETURN_IF_ERROR(CheckScheme(scheme, from.where()));
  if (scheme.bits != 4 || (version != "gemm" && version != "GEMM"))
    return Unimplemented(
        "{}: AWQ with {} bits in the layout '{}' is not supported, only 4 bits in gemm are: {}",
        from.where(), scheme.bits, Shown(version), kUseOriginal);
  out.schemes.push_back(scheme);
  return out;
}

// "128x128", or [128, 128].
absl::Status ReadBlock(const json::value& value, const std::string& where, HfQuantization& out) {
  int64_t rows = 0, cols = 0;
  if (const json::array* list = value.if_array();
      list != nullptr && list->size() == 2 && (*list)[0].is_int64() && (*list)[1].is_int64()) {
    rows = (*list)[0].get_int64(), cols = (*list)[1].get_int64();
  } else if (value.is_string()) {
    const std::string_view text(value.get_string().data(), value.get_string().size());
    const char* const end = text.data() + text.size();
    const auto [x, error] = std::from_chars(text.data(), end, rows);
    if (error != std::errc() || x == end || *x != 'x' ||
        std::from_chars(x + 1, end, cols).ec != std::errc())
      rows = cols = 0;
  }
  if (!IsSize(rows) || !IsSize(cols))
    return InvalidArgument("{}: 'block_structure' must be two numbers above 0", where);
  out.block_rows = rows, out.block_cols = cols;
  return absl::OkStatus();
}

absl::Status CheckLayout(std::string_view format, const std::string& where) {
  for (const std::string_view known : {"pack-quantized", "float-quantized", "int-quantized",
                                       "naive-quantized", "mxfp4-pack-quantized", "dense"})
    if (format == known) return absl::OkStatus();
  return Unimplemented(
      "{}: the layout '{}' of compressed-tensors is not supported; pack-quantized, "
      "float-quantized, int-quantized, naive-quantized and mxfp4-pack-quantized are: {}",
      where, Shown(format), kUseOriginal);
}

absl::StatusOr<HfQuantization> ReadCompressed(JsonMembers& from) {
  HfQuantization out{.method = Method::kCompressedTensors, .name = "compressed-tensors"};
  const std::string format = from.Text("format").value_or("dense");
  const json::object* groups = from.Object("config_groups");
  for (const std::string_view other : {"sparsity_config", "transform_config"}) {
    const json::object* object = from.Object(other);
    if (object == nullptr || object->empty()) continue;
    const json::value* kind = object->if_contains("format");
    if (kind != nullptr && kind->is_string() && kind->get_string() == "dense") continue;
    return Unimplemented("{}: '{}' is not supported: {}", from.where(), other, kUseOriginal);
  }
  QF_RETURN_IF_ERROR(from.status());
  if (groups == nullptr) return InvalidArgument("{}: 'config_groups' is missing", from.where());
  if (format != "mixed-precision") QF_RETURN_IF_ERROR(CheckLayout(format, from.where()));
  for (const auto& member : *groups) {
    const std::string where =
        fmt::format("{}: config_groups: {}", from.where(),
                    Shown(std::string_view(member.key().data(), member.key().size())));
    if (!member.value().is_object()) return InvalidArgument("{} must be an object", where);
    JsonMembers group(member.value().get_object(), where);
    if (const auto own = group.Text("format")) QF_RETURN_IF_ERROR(CheckLayout(*own, where));
    const json::object* object = group.Object("weights");
    QF_RETURN_IF_ERROR(group.status());
    if (object == nullptr) continue;
    JsonMembers weights(*object, where + ": weights");
    const Scheme scheme{.bits = weights.Integer("num_bits").value_or(8),
                        .group = weights.Integer("group_size").value_or(-1),
                        .asymmetric = !weights.Bool("symmetric").value_or(true)};
    const json::value* block = weights.Any("block_structure");
    QF_RETURN_IF_ERROR(weights.status());
    QF_RETURN_IF_ERROR(CheckScheme(scheme, weights.where()));
    if (block != nullptr) QF_RETURN_IF_ERROR(ReadBlock(*block, weights.where(), out));
    out.schemes.push_back(scheme);
  }
  return out;
}

}  // namespace

absl::StatusOr<HfQuantization> ParseHfQuantization(const json::object& config,
                                                   const std::string& file) {
  JsonMembers members(config, file);
  const json::object* mlx = members.Object("quantization");
  const json::object* object = members.Object("quantization_config");
  // A name that older writers of compressed-tensors have.
  if (object == nullptr) object = members.Object("compression_config");
  QF_RETURN_IF_ERROR(members.status());
  if (mlx != nullptr) return ReadMlx(*mlx, file + ": quantization");
  if (object == nullptr) return HfQuantization{};
  const std::string where = file + ": quantization_config";
  JsonMembers from(*object, where);
  const std::string method = from.Text("quant_method").value_or("");
  QF_RETURN_IF_ERROR(from.status());
  if (method.empty() && object->contains("group_size")) return ReadMlx(*object, where);
  if (method == "fp8" || method == "fbgemm_fp8") return ReadFp8(from, method);
  if (method == "modelopt") {
    const std::string kind = from.Text("quant_algo").value_or("");
    if (kind == "FP8") return ReadFp8(from, method);
    return Unimplemented("{}: '{}' of modelopt is not supported, only FP8 is: {}", where,
                         Shown(kind), kUseOriginal);
  }
  if (method == "compressed-tensors") return ReadCompressed(from);
  if (method == "gptq") return ReadGptq(from);
  if (method == "awq") return ReadAwq(from);
  if (method == "mxfp4")
    return HfQuantization{.method = Method::kMxfp4, .name = "mxfp4", .schemes = {{4, 32, {}}}};
  return Unimplemented(
      "{}: the method '{}' is not supported; fp8, fbgemm_fp8, modelopt's FP8, compressed-tensors, "
      "gptq, awq, mxfp4 and MLX's are: {}",
      where, Shown(method), kUseOriginal);
}

}  // namespace quantfleet::pipeline
