#include "pipeline/format/safetensors/packed_parts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace quantfleet::pipeline {
namespace {

using Method = HfQuantization::Method;
using Packing = CodeMatrix::Packing;
using Scheme = HfQuantization::Scheme;

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kAgain = "download the model again, or use the original model";

// What quantized checkpoints have besides, for activations and caches that are not quantized here.
bool IsOfActivations(std::string_view name) {
  for (const std::string_view suffix :
       {".input_scale", ".input_zero_point", ".input_global_scale", ".activation_scale",
        ".output_scale", ".k_scale", ".v_scale", ".q_scale", ".input_scale_ub"})
    if (name.ends_with(suffix)) return true;
  return false;
}

int64_t RoundedUp(int64_t n, int64_t by) { return (n + by - 1) / by; }

std::string ShapeText(const SafetensorsTensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.shape, ", "));
}

template <typename... Args>
absl::Status Bad(const ShardTensor& part, fmt::format_string<Args...> format, Args&&... args) {
  return InvalidArgument("{}: tensor '{}' ({} {}): {}", part.path, part.tensor.name,
                         part.tensor.dtype_name, ShapeText(part.tensor),
                         fmt::format(format, std::forward<Args>(args)...));
}

class Joiner {
 public:
  Joiner(const HfQuantization& quantization, const std::vector<ShardTensor>& tensors)
      : quantization_(quantization), tensors_(tensors), used_(tensors.size(), false) {
    for (size_t i = 0; i < tensors.size(); ++i) by_name_.emplace(tensors[i].tensor.name, i);
  }

  absl::StatusOr<std::vector<CheckpointWeight>> Run() {
    std::map<size_t, CheckpointWeight> packed;  // by codes
    for (size_t i = 0; i < tensors_.size(); ++i) {
      QF_ASSIGN_OR_RETURN(std::optional<CheckpointWeight> weight, Packed(i));
      if (weight) packed.emplace(i, *std::move(weight));
    }
    std::vector<CheckpointWeight> out;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const std::string& name = tensors_[i].tensor.name;
      if (const auto it = packed.find(i); it != packed.end())
        out.push_back(std::move(it->second));
      else if (!used_[i] && !(quantization_.method != Method::kNone && IsOfActivations(name)))
        out.push_back({name, i});
    }
    return out;
  }

 private:
  // The weight whose codes the tensor is; nullopt: it is none's.
  absl::StatusOr<std::optional<CheckpointWeight>> Packed(size_t i) {
    const ShardTensor& codes = tensors_[i];
    const std::string_view name = codes.tensor.name, type = codes.tensor.dtype_name;
    absl::StatusOr<PackedWeight> packed;
    std::string weight;
    const auto stem = [&](std::string_view suffix) {
      return std::string(name.substr(0, name.size() - suffix.size()));
    };
    if (name.ends_with(".qweight")) {
      weight = stem(".qweight") + std::string(kWeight);
      packed = Columns(codes, stem(".qweight"));
    } else if (name.ends_with(".weight_packed")) {
      weight = stem("_packed");
      packed = Compressed(codes, weight);
    } else if (name.ends_with("_blocks") && type == "U8") {
      weight = stem("_blocks");
      packed = Mxfp4(codes, weight);
    } else if (name.ends_with(kWeight) && type == "U32") {
      weight = name;
      packed = Mlx(codes, stem(kWeight));
    } else if (name.ends_with(kWeight) &&
               (type.starts_with("F8_E4M3") || type == "F8_E5M2" || type == "I8")) {
      weight = name;
      packed = Bytes8(codes, weight);
    } else {
      return std::nullopt;
    }
    if (!packed.ok()) return packed.status();
    return CheckpointWeight{std::move(weight), i, *std::move(packed)};
  }

  // --- parts ---

  // Another part, which then belongs to nobody else; null: there is none.
  const ShardTensor* Find(const std::string& name) {
    const auto it = by_name_.find(name);
    if (it == by_name_.end()) return nullptr;
    used_[it->second] = true;
    return &tensors_[it->second];
  }
  absl::StatusOr<const ShardTensor*> Need(const ShardTensor& codes, const std::string& name) {
    const ShardTensor* part = Find(name);
    if (part != nullptr) return part;
    return Bad(codes,
               "it is quantized, but '{}' is missing, without which its values are unknown: {}",
               name, kAgain);
  }
  static absl::Status Shaped(const ShardTensor& part, std::string_view dtype,
                             const std::vector<int64_t>& shape, std::string_view why) {
    if (part.tensor.dtype_name == dtype && part.tensor.shape == shape) return absl::OkStatus();
    return Bad(part, "it must be {} [{}], as {} requires: {}", dtype, fmt::join(shape, ", "), why,
               kAgain);
  }
  static absl::Status TwoDimensions(const ShardTensor& part) {
    if (part.tensor.shape.size() == 2 && part.tensor.size > 0) return absl::OkStatus();
    return Bad(part, "a quantized weight must have two dimensions and must not be empty");
  }

  // Scales or biases of `height` rows of `width`, or as many alone.
  static absl::StatusOr<FloatMatrix> Floats(const ShardTensor& part, int64_t height, int64_t width,
                                            bool exponents = false) {
    const std::optional<FloatMatrix::Type> type = FloatTypeOf(part.tensor.dtype_name);
    const bool is_exponent = type == FloatMatrix::Type::kE8M0;
    if (!type || (exponents && !is_exponent) || (!exponents && part.tensor.dtype_name == "U8"))
      return Bad(part, "scales and biases must be {}", exponents ? "U8" : "F32, F16 or BF16");
    const std::vector<int64_t>& shape = part.tensor.shape;
    if (shape != std::vector{height, width} && !(width == 1 && shape == std::vector{height}) &&
        !(height == 1 && width == 1 && part.tensor.size > 0 && shape.size() < 2))
      return Bad(part, "it must be [{}, {}], as the weight and its groups require: {}", height,
                 width, kAgain);
    return FloatMatrix{part.file, part.tensor.offset, *type, height, width};
  }

  // The columns' groups, where the file has them in another order than one after the other.
  static absl::StatusOr<std::vector<uint32_t>> GroupOf(const ShardTensor& part, int64_t cols,
                                                       int64_t group) {
    QF_RETURN_IF_ERROR(Shaped(part, "I32", {cols}, "a group for each column"));
    std::vector<int32_t> stored(static_cast<size_t>(cols));
    QF_RETURN_IF_ERROR(
        part.file->ReadAt(part.tensor.offset, std::as_writable_bytes(std::span(stored))));
    const int64_t groups = RoundedUp(cols, group);
    bool in_order = true;
    std::vector<uint32_t> out;
    out.reserve(stored.size());
    for (int64_t c = 0; c < cols; ++c) {
      const int32_t g = stored[static_cast<size_t>(c)];
      if (g < 0 || g >= groups)
        return Bad(part, "column {} is in group {}, but there are {} groups: {}", c, g, groups,
                   kAgain);
      in_order = in_order && g == c / group;
      out.push_back(static_cast<uint32_t>(g));
    }
    if (in_order) out.clear();
    return out;
  }

  static absl::Status Contradicts(const ShardTensor& part, std::string_view config) {
    return Bad(part, "its shape contradicts config.json, which says {}: {}", config, kAgain);
  }
  static int64_t GroupSize(const Scheme& scheme, int64_t cols) {
    return scheme.group < 0 ? cols : std::min(scheme.group, cols);
  }

  // --- GPTQ and AWQ: a column for each row of the weight ---

  absl::StatusOr<PackedWeight> Columns(const ShardTensor& codes, const std::string& module) {
    const bool awq = quantization_.method == Method::kAwq;
    if (!awq && quantization_.method != Method::kGptq)
      return Bad(codes,
                 "it is quantized as GPTQ or AWQ do it, but config.json does not say so in "
                 "quantization_config: {}",
                 kAgain);
    QF_RETURN_IF_ERROR(TwoDimensions(codes));
    const Scheme& scheme = quantization_.schemes.front();
    const auto bits = static_cast<int>(scheme.bits);
    QF_ASSIGN_OR_RETURN(const ShardTensor* const scales, Need(codes, module + ".scales"));
    QF_ASSIGN_OR_RETURN(const ShardTensor* const points, Need(codes, module + ".qzeros"));
    PackedWeight w;
    w.turned = true;
    w.values = &UnsignedCodes();
    const std::vector<int64_t>& shape = codes.tensor.shape;
    w.rows = awq ? shape[1] * 8 : shape[1];
    w.cols = awq ? shape[0] : shape[0] * 32 / bits;
    const std::string config = fmt::format("{} bits in groups of {}", bits, scheme.group);
    if (codes.tensor.dtype_name != "I32" || w.cols == 0 || (!awq && shape[0] * 32 % bits != 0))
      return Contradicts(codes, config);
    w.group = GroupSize(scheme, w.cols);
    w.codes = {
        codes.file, codes.tensor.offset, bits, awq ? Packing::kAwq : Packing::kDownColumns, w.cols,
        w.rows,     shape[1] * 4};
    QF_ASSIGN_OR_RETURN(w.scales, Floats(*scales, w.groups(), w.rows));
    const int64_t words = w.rows * bits / 32;
    if (w.rows * bits % 32 != 0)
      return Bad(codes, "its {} columns of {} bits do not fill whole words", w.rows, bits);
    QF_RETURN_IF_ERROR(Shaped(*points, "I32", {w.groups(), words}, config));
    w.points = CodeMatrix{points->file, points->tensor.offset,
                          bits,         awq ? Packing::kAwq : Packing::kAlongRows,
                          w.groups(),   w.rows,
                          words * 4};
    w.point_values = quantization_.zero_points_plus_one ? &OneMoreCodes(bits) : &UnsignedCodes();
    if (const ShardTensor* order = Find(module + ".g_idx")) {
      QF_ASSIGN_OR_RETURN(w.group_of, GroupOf(*order, w.cols, w.group));
    }
    return w;
  }

  // --- compressed-tensors ---

  absl::StatusOr<PackedWeight> Compressed(const ShardTensor& codes, const std::string& weight) {
    if (quantization_.method != Method::kCompressedTensors)
      return Bad(codes,
                 "it is quantized as compressed-tensors does it, but config.json does not "
                 "say so in quantization_config: {}",
                 kAgain);
    QF_RETURN_IF_ERROR(TwoDimensions(codes));
    QF_ASSIGN_OR_RETURN(const ShardTensor* const scales, Need(codes, weight + "_scale"));
    if (codes.tensor.dtype_name == "U8") {  // mxfp4-pack-quantized: two codes a byte
      Find(weight + "_shape");
      if (Find(weight + "_global_scale") != nullptr)
        return Bad(codes, "NVFP4 is not supported: use the original model");
      return FourBitFloats(codes, *scales, codes.tensor.shape[0], codes.tensor.shape[1] * 2);
    }
    QF_ASSIGN_OR_RETURN(const ShardTensor* const shape, Need(codes, weight + "_shape"));
    PackedWeight w;
    QF_RETURN_IF_ERROR(ReadShape(*shape, w.rows, w.cols));
    const int64_t words = codes.tensor.shape[1];
    // config.json may have schemes for several kinds of modules; the sizes tell which it is.
    const Scheme* scheme = nullptr;
    std::string config;
    for (const Scheme& s : quantization_.schemes) {
      config +=
          fmt::format("{}{} bits in groups of {}", config.empty() ? "" : ", or ", s.bits, s.group);
      const int64_t groups = RoundedUp(w.cols, GroupSize(s, w.cols));
      if (scheme == nullptr && RoundedUp(w.cols * s.bits, 32) == words &&
          scales->tensor.shape == std::vector{w.rows, groups})
        scheme = &s;
    }
    if (codes.tensor.dtype_name != "I32" || codes.tensor.shape[0] != w.rows || scheme == nullptr)
      return Bad(codes,
                 "with the shape {} x {} and scales {} it contradicts config.json, which "
                 "says {}: {}",
                 w.rows, w.cols, ShapeText(scales->tensor), config, kAgain);
    const auto bits = static_cast<int>(scheme->bits);
    w.group = GroupSize(*scheme, w.cols);
    w.codes = {codes.file, codes.tensor.offset, bits, Packing::kAlongRows, w.rows, w.cols,
               words * 4};
    QF_ASSIGN_OR_RETURN(w.scales, Floats(*scales, w.rows, w.groups()));
    w.values = &MiddleCodes(bits);
    QF_ASSIGN_OR_RETURN(const ShardTensor* const points,
                        ZeroPoints(codes, weight, scheme->asymmetric));
    if (points != nullptr) {
      const int64_t lines = RoundedUp(w.rows * bits, 32);
      QF_RETURN_IF_ERROR(Shaped(*points, "I32", {lines, w.groups()},
                                fmt::format("{} bits for {} rows", bits, w.rows)));
      // Both have the middle added to them, which their difference has not.
      w.values = w.point_values = &UnsignedCodes();
      w.points =
          CodeMatrix{points->file, points->tensor.offset, bits, Packing::kDownColumns, w.rows,
                     w.groups(),   w.groups() * 4};
    }
    if (const ShardTensor* order = Find(weight + "_g_idx")) {
      QF_ASSIGN_OR_RETURN(w.group_of, GroupOf(*order, w.cols, w.group));
    }
    return w;
  }

  // Null: the weight has none, and need not.
  absl::StatusOr<const ShardTensor*> ZeroPoints(const ShardTensor& codes, const std::string& weight,
                                                bool asymmetric) {
    const std::string name = weight + "_zero_point";
    if (asymmetric) return Need(codes, name);
    return Find(name);
  }

  static absl::Status ReadShape(const ShardTensor& part, int64_t& rows, int64_t& cols) {
    const bool wide = part.tensor.dtype_name == "I64";
    QF_RETURN_IF_ERROR(Shaped(part, wide ? "I64" : "I32", {2}, "rows and columns"));
    if (wide) {
      int64_t shape[2];
      QF_RETURN_IF_ERROR(
          part.file->ReadAt(part.tensor.offset, std::as_writable_bytes(std::span(shape))));
      rows = shape[0], cols = shape[1];
    } else {
      int32_t shape[2];
      QF_RETURN_IF_ERROR(
          part.file->ReadAt(part.tensor.offset, std::as_writable_bytes(std::span(shape))));
      rows = shape[0], cols = shape[1];
    }
    constexpr int64_t kMost = int64_t{1} << 28;
    if (rows >= 1 && cols >= 1 && rows <= kMost && cols <= kMost) return absl::OkStatus();
    return Bad(part, "it says that the weight is {} x {}: {}", rows, cols, kAgain);
  }

  // --- FP8 and bytes: a code is an element of the tensor ---

  absl::StatusOr<PackedWeight> Bytes8(const ShardTensor& codes, const std::string& weight) {
    QF_RETURN_IF_ERROR(TwoDimensions(codes));
    const ShardTensor* scales = Find(weight + "_scale_inv");
    if (scales == nullptr) {
      QF_ASSIGN_OR_RETURN(scales, Need(codes, weight + "_scale"));
    }
    const std::string_view type = codes.tensor.dtype_name;
    PackedWeight w;
    w.rows = codes.tensor.shape[0], w.cols = codes.tensor.shape[1];
    w.values = type == "I8" ? &SignedBytes() : type == "F8_E5M2" ? &E5M2Codes() : &E4M3Codes();
    w.codes = {codes.file, codes.tensor.offset, 8, Packing::kAlongRows, w.rows, w.cols, w.cols};
    w.group = w.cols;
    const std::vector<int64_t>& shape = scales->tensor.shape;
    int64_t height = 1, width = 1;
    if (shape.empty() || shape == std::vector<int64_t>{1} || shape == std::vector<int64_t>{1, 1}) {
      w.scale_rows = w.rows;
    } else if (shape == std::vector{w.rows} || shape == std::vector<int64_t>{w.rows, 1}) {
      height = w.rows;
    } else {
      QF_RETURN_IF_ERROR(BlocksOf(codes, *scales, w));
      height = RoundedUp(w.rows, w.scale_rows), width = w.groups();
    }
    QF_ASSIGN_OR_RETURN(w.scales, Floats(*scales, height, width));
    // config.json may have schemes for several kinds of modules, of which sizes do not tell which.
    const bool asymmetric = !quantization_.schemes.empty() &&
                            std::ranges::all_of(quantization_.schemes, &Scheme::asymmetric);
    QF_ASSIGN_OR_RETURN(const ShardTensor* const points, ZeroPoints(codes, weight, asymmetric));
    if (points != nullptr) {
      if (points->tensor.dtype_name != "I8" || points->tensor.shape != shape)
        return Bad(*points, "it must be I8 {}, as the scales are: {}", ShapeText(scales->tensor),
                   kAgain);
      w.points = CodeMatrix{
          points->file, points->tensor.offset, 8, Packing::kAlongRows, height, width, width};
      w.point_values = &SignedBytes();
    }
    if (const ShardTensor* order = Find(weight + "_g_idx")) {
      QF_ASSIGN_OR_RETURN(w.group_of, GroupOf(*order, w.cols, w.group));
    }
    return w;
  }

  // A scale for each block of rows and columns, or for each group of a row's columns.
  absl::Status BlocksOf(const ShardTensor& codes, const ShardTensor& scales, PackedWeight& w) {
    const std::vector<int64_t>& shape = scales.tensor.shape;
    std::string config;
    const auto fits = [&](int64_t rows, int64_t cols) {
      config += fmt::format("{}blocks of {} x {}", config.empty() ? "" : ", or ", rows, cols);
      return shape == std::vector{RoundedUp(w.rows, rows), RoundedUp(w.cols, cols)};
    };
    if (quantization_.block_rows > 0 && fits(quantization_.block_rows, quantization_.block_cols)) {
      w.scale_rows = quantization_.block_rows;
      w.group = std::min(quantization_.block_cols, w.cols);
      return absl::OkStatus();
    }
    for (const Scheme& scheme : quantization_.schemes)
      if (scheme.group > 0 && fits(1, scheme.group)) {
        w.group = GroupSize(scheme, w.cols);
        return absl::OkStatus();
      }
    return Bad(scales,
               "it does not fit '{}' {}, which needs one scale, or one for each of its {} "
               "rows{}{}: {}",
               codes.tensor.name, ShapeText(codes.tensor), w.rows,
               config.empty() ? "" : ", or what config.json says: ", config, kAgain);
  }

  // --- MLX ---

  absl::StatusOr<PackedWeight> Mlx(const ShardTensor& codes, const std::string& module) {
    if (quantization_.method != Method::kMlx)
      return Bad(codes,
                 "it is quantized as MLX does it, but config.json does not say so in "
                 "quantization: {}",
                 kAgain);
    QF_RETURN_IF_ERROR(TwoDimensions(codes));
    const auto own = quantization_.modules.find(module);
    const Scheme& scheme =
        own == quantization_.modules.end() ? quantization_.schemes.front() : own->second;
    const auto bits = static_cast<int>(scheme.bits);
    QF_ASSIGN_OR_RETURN(const ShardTensor* const scales, Need(codes, module + ".scales"));
    const int64_t words = codes.tensor.shape[1];
    if (words * 32 % bits != 0)
      return Contradicts(codes, fmt::format("{} bits for {}", bits, module));
    PackedWeight w;
    w.rows = codes.tensor.shape[0], w.cols = words * 32 / bits;
    w.group = GroupSize(scheme, w.cols);
    const std::string config =
        fmt::format("{} bits in groups of {} for {}", bits, scheme.group, module);
    if (w.cols % w.group != 0 || scales->tensor.shape != std::vector{w.rows, w.groups()})
      return Bad(*scales, "beside '{}' {} it contradicts config.json, which says {}: {}",
                 codes.tensor.name, ShapeText(codes.tensor), config, kAgain);
    w.codes = {codes.file, codes.tensor.offset, bits, Packing::kAlongRows, w.rows, w.cols,
               words * 4};
    const bool floats = scheme.mode == "mxfp4";
    w.values = floats ? &E2M1Codes() : &UnsignedCodes();
    QF_ASSIGN_OR_RETURN(w.scales, Floats(*scales, w.rows, w.groups(), floats));
    if (floats) return w;
    QF_ASSIGN_OR_RETURN(const ShardTensor* const biases, Need(codes, module + ".biases"));
    QF_ASSIGN_OR_RETURN(w.biases, Floats(*biases, w.rows, w.groups()));
    return w;
  }

  // --- MXFP4 ---

  // A leading dimension is that of experts, whose rows stand one upon the other.
  absl::StatusOr<PackedWeight> Mxfp4(const ShardTensor& codes, const std::string& weight) {
    QF_ASSIGN_OR_RETURN(const ShardTensor* const scales, Need(codes, weight + "_scales"));
    const std::vector<int64_t>& shape = codes.tensor.shape;
    const bool blocks =
        (shape.size() == 3 || shape.size() == 4) && shape.back() == 16 && codes.tensor.size > 0;
    if (!blocks || scales->tensor.shape != std::vector(shape.begin(), shape.end() - 1))
      return Bad(codes,
                 "blocks of 16 bytes with a scale each are required, but the scales are {}: {}",
                 ShapeText(scales->tensor), kAgain);
    const int64_t cols = shape[shape.size() - 2] * 32,
                  rows = static_cast<int64_t>(codes.tensor.size) / (cols / 2);
    QF_ASSIGN_OR_RETURN(PackedWeight w, FourBitFloats(codes, *scales, rows, cols));
    if (shape.size() == 4) w.matrices = shape.front();
    return w;
  }

  absl::StatusOr<PackedWeight> FourBitFloats(const ShardTensor& codes, const ShardTensor& scales,
                                             int64_t rows, int64_t cols) {
    PackedWeight w;
    w.rows = rows, w.cols = cols;
    w.group = 32;
    w.values = &E2M1Codes();
    w.codes = {codes.file, codes.tensor.offset, 4, Packing::kAlongRows, rows, cols, cols / 2};
    const uint64_t want = static_cast<uint64_t>(rows * w.groups());
    const std::string_view type = scales.tensor.dtype_name;
    if ((type != "U8" && type != "F8_E8M0") || scales.tensor.size != want || cols % 32 != 0)
      return Bad(scales, "a byte for each 32 of {} x {} columns is required: {}", rows, cols,
                 kAgain);
    w.scales = {scales.file, scales.tensor.offset, FloatMatrix::Type::kE8M0, rows, w.groups()};
    return w;
  }

  const HfQuantization& quantization_;
  const std::vector<ShardTensor>& tensors_;
  std::vector<bool> used_;  // as a part of another
  std::map<std::string_view, size_t, std::less<>> by_name_;
};

}  // namespace

absl::StatusOr<std::vector<CheckpointWeight>> JoinParts(const HfQuantization& quantization,
                                                        const std::vector<ShardTensor>& tensors) {
  return Joiner(quantization, tensors).Run();
}

}  // namespace quantfleet::pipeline
