#include "pipeline/format/mlx/mlx_target.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/layout/embedding_files.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/mlx/mlx_config.h"
#include "pipeline/format/mlx/mlx_stored.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// One tensor of a safetensors file: a part of an output tensor.
struct ShardTensor {
  std::string name;
  std::string_view type;  // "U32"
  std::vector<int64_t> shape;
  Part part;
  DType dtype;
  const OutputTensor* of;  // null: zeros
  uint64_t bytes;
};

// Those of one weight, which stay in one shard.
using Bundle = std::vector<ShardTensor>;

// What -asym asks for is each runtime's own: MLX has a bias where others have a zero point.
DType WithBias(DType type) {
  std::optional<GroupScheme> scheme = GroupSchemeOf(type);
  if (!scheme || scheme->zero != GroupZero::kPoint) return type;
  scheme->zero = GroupZero::kBias;
  return FindGroupType(*scheme).value_or(type);
}

Recipe ForMlx(const Recipe& recipe) {
  Recipe ours = recipe;
  if (recipe.base.empty()) return ours;  // types that somebody named are taken at their word
  ours.body = WithBias(recipe.body);
  ours.head = WithBias(recipe.head);
  return ours;
}

// Of mlx.core.quantize, which knows no other sizes of groups.
bool MlxHolds(DType type) {
  const int64_t group = Info(type).block_elements;
  return HasPart(type, Part::kBiases) && (group == 32 || group == 64 || group == 128);
}

MlxGroups GroupsOf(DType type) { return {CodeBits(type), Info(type).block_elements}; }

// "model.layers.0.mlp.down_proj" of its weight.
std::string ModuleOf(const OutputTensor& weight) {
  constexpr std::string_view kSuffix = ".weight";
  return weight.name.substr(0, weight.name.size() - kSuffix.size());
}

class MlxPlanner {
 public:
  MlxPlanner(const ModelSource& source, const Recipe& recipe, uint64_t shard_bytes)
      : source_(source),
        model_(source.description()),
        recipe_(ForMlx(recipe)),
        shard_bytes_(shard_bytes) {}

  absl::StatusOr<TargetLayout> Run() {
    QF_RETURN_IF_ERROR(Validate(model_));
    QF_RETURN_IF_ERROR(CheckPooling());
    tensors_ = FusePieces(model_, [this](Role role, int layer) {
      return HoldingTensorName(*model_.family, Dialect::kMlx, role, layer);
    });
    for (const OutputTensor& tensor : tensors_) {
      QF_ASSIGN_OR_RETURN(const DType dtype, TypeOf(tensor));
      bundles_.push_back(Store(tensor, dtype));
    }
    std::optional<MlxGroups> common;
    if (!modules_.empty())
      common =
          HasPart(recipe_.body, Part::kBiases) ? GroupsOf(recipe_.body) : modules_.front().groups;
    if (model_.family->encoder) bundles_.push_back(Pooler());
    QF_ASSIGN_OR_RETURN(
        json::object config,
        MlxConfig(model_, FloatType() == DType::kBF16 ? "bfloat16" : "float16", common, modules_));
    QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small,
                        model_.embedding ? EmbeddingFiles(source_, "MLX", std::move(config))
                                         : DecoderFiles(config));
    std::vector<PlannedFile> shards = Shards();
    v1::Memory memory = RuntimeMemory(model_.hyper, WeightBytes(shards), FloatType(),
                                      /*window_only=*/model_.family->mlx_slides);
    return Assemble(std::move(memory), std::move(shards), small, std::move(fallbacks_));
  }

 private:
  absl::Status CheckPooling() const {
    if (!model_.embedding) return absl::OkStatus();
    if (model_.hyper.rope_scaling.kind != RopeScaling::Kind::kNone)
      return Unimplemented(
          "mlx-embeddings, which runs MLX's embedding models, does not scale rotary embeddings: "
          "use a gguf, an onnx or an openvino target");
    if (model_.embedding->pooling == model_.family->mlx_pools) return absl::OkStatus();
    return Unimplemented(
        "mlx-embeddings, which runs MLX's embedding models, has no {} model that pools by '{}': "
        "use a gguf, an onnx or an openvino target",
        model_.family->name, Name(model_.embedding->pooling));
  }

  absl::StatusOr<std::vector<Attachment>> DecoderFiles(const json::object& config) const {
    QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, TokenizerFilesFor(source_, "MLX"));
    QF_RETURN_IF_ERROR(AddGenerationConfig(model_, small));
    small.push_back({"config.json", json::serialize(config) + "\n"});
    std::ranges::copy(source_.attachments(), std::back_inserter(small));
    return small;
  }

  // Of everything that is not quantized. BF16 cannot hold the scales, so beside them all floats are
  // F16.
  DType FloatType() const { return recipe_.body == DType::kBF16 ? DType::kBF16 : DType::kF16; }

  absl::StatusOr<DType> TypeOf(const OutputTensor& tensor) {
    const TargetTensor seen = tensor.Seen();
    if (tensor.dims == 1 || seen.Has(Role::kFfnRouter) || seen.Has(Role::kPositionEmbedding) ||
        seen.Has(Role::kTokenTypes))
      return FloatType();
    const DType asked = recipe_.AskedFor(model_, tensor.Seen(), false);
    if (asked == DType::kF16 || asked == DType::kBF16) return asked;
    if (!MlxHolds(asked))
      return InvalidArgument(
          "tensor '{}': MLX supports f16, bf16, q8_0, q4_1, q4_0 and groups that are symmetric or "
          "have a bias, of 32, 64 or 128 (i4_g64, a4_g64), not {}: use one of them (--tensor-type role:{}=q8_0)",
          tensor.name, Info(asked).name, Name(tensor.roles.front()));
    return FittingType(tensor, asked, fallbacks_, MlxHolds);
  }

  Bundle Store(const OutputTensor& tensor, DType dtype) {
    const auto stored = [&](std::string name, std::string_view type, int64_t cols, Part part) {
      const auto bytes =
          static_cast<uint64_t>(tensor.rows * PartRowBytes(part, dtype, tensor.cols));
      std::vector<int64_t> shape = tensor.shape();
      shape.back() = cols;
      return ShardTensor{std::move(name), type, std::move(shape), part, dtype, &tensor, bytes};
    };
    if (IsFloat(dtype))
      return {stored(tensor.name, dtype == DType::kBF16 ? "BF16" : "F16", tensor.shape().back(),
                     Part::kBlocks)};
    const std::string module = ModuleOf(tensor);
    const MlxGroups groups = GroupsOf(dtype);
    modules_.push_back({module, groups});
    return {stored(tensor.name, "U32", tensor.cols * groups.bits / 32, Part::kCodes),
            stored(module + ".scales", "F16", tensor.cols / groups.size, Part::kScales),
            stored(module + ".biases", "F16", tensor.cols / groups.size, Part::kBiases)};
  }

  // What mlx-embeddings' BERT demands, though no vector comes of it: the product that a classifier
  // has behind the first token's state. It is of zeros.
  Bundle Pooler() const {
    const int64_t hidden = model_.hyper.hidden;
    const std::string_view type = FloatType() == DType::kBF16 ? "BF16" : "F16";
    const auto zeros = [&](const char* name, std::vector<int64_t> shape, int64_t count) {
      return ShardTensor{name,
                         type,
                         std::move(shape),
                         Part::kBlocks,
                         FloatType(),
                         nullptr,
                         static_cast<uint64_t>(2 * count)};
    };
    return {zeros("pooler.dense.weight", {hidden, hidden}, hidden * hidden),
            zeros("pooler.dense.bias", {hidden}, hidden)};
  }

  std::vector<PlannedFile> Shards() const {
    std::vector<std::vector<const Bundle*>> shards;
    uint64_t size = 0, total = 0;
    for (const Bundle& bundle : bundles_) {
      uint64_t bytes = 0;
      for (const ShardTensor& t : bundle) bytes += t.bytes;
      if (shards.empty() || size + bytes > shard_bytes_) {
        shards.emplace_back();
        size = 0;
      }
      shards.back().push_back(&bundle);
      size += bytes;
      total += bytes;
    }
    std::vector<PlannedFile> files;
    json::object where;
    for (size_t s = 0; s < shards.size(); ++s) {
      std::string name = shards.size() == 1 ? "model.safetensors"
                                            : fmt::format("model-{:05}-of-{:05}.safetensors", s + 1,
                                                          shards.size());
      files.push_back(Shard(std::move(name), shards[s], where));
    }
    json::object index{
        {"metadata", {{"total_size", total}, {"total_parameters", model_.Parameters()}}},
        {"weight_map", std::move(where)}};
    files.push_back(WholeFile("model.safetensors.index.json", json::serialize(index) + "\n"));
    return files;
  }

  // Header, then words before halves, so that every tensor lies on a multiple of its elements.
  PlannedFile Shard(std::string path, const std::vector<const Bundle*>& bundles,
                    json::object& where) const {
    std::vector<const ShardTensor*> order;
    for (const bool codes : {true, false}) {
      for (const Bundle* bundle : bundles)
        for (const ShardTensor& t : *bundle)
          if ((t.part == Part::kCodes) == codes) order.push_back(&t);
    }

    json::object header{{"__metadata__", {{"format", "mlx"}}}};
    uint64_t at = 0;
    for (const ShardTensor* t : order) {
      header[t->name] = {{"dtype", t->type},
                         {"shape", json::value_from(t->shape)},
                         {"data_offsets", json::array{at, at + t->bytes}}};
      where[t->name] = path;
      at += t->bytes;
    }
    std::string text = json::serialize(header);
    text.resize(RoundUp(text.size(), 8), ' ');
    const uint64_t length = text.size();
    std::string fixed(AsText(std::as_bytes(std::span(&length, 1))));
    fixed += text;

    PlannedFile out{{std::move(path), fixed.size() + at, {}}, {}};
    at = fixed.size();
    out.file.fixed.push_back({0, std::move(fixed)});
    for (const ShardTensor* t : order) {
      if (t->of != nullptr) {
        Place(*t, at, out.pieces);
      } else {
        out.file.fixed.push_back({at, std::string(t->bytes, '\0')});
        at += t->bytes;
      }
    }
    return out;
  }

  void Place(const ShardTensor& t, uint64_t& at, std::vector<PlacedPiece>& out) const {
    for (const uint32_t p : t.of->pieces) {
      const Piece& piece = model_.pieces[p];
      out.push_back({.piece = p,
                     .file = 0,
                     .offset = at,
                     .dtype = t.dtype,
                     .order = RowOrder::kHf,
                     .padding = 0,
                     .tensor = t.of->name,
                     .part = t.part,
                     .lacks = LackOf(*model_.family, Dialect::kMlx, piece.role)});
      at += static_cast<uint64_t>(piece.rows * PartRowBytes(t.part, t.dtype, piece.cols));
    }
  }

  const ModelSource& source_;
  const ModelDescription& model_;
  const Recipe recipe_;
  const uint64_t shard_bytes_;
  std::vector<OutputTensor> tensors_;
  std::vector<Bundle> bundles_;  // point into tensors_
  std::vector<MlxModule> modules_;
  std::vector<TypeFallback> fallbacks_;
};

}  // namespace

absl::StatusOr<TargetLayout> PlanMlx(const ModelSource& source, const Recipe& recipe,
                                     uint64_t shard_bytes) {
  return MlxPlanner(source, recipe, shard_bytes).Run();
}

const TargetFormat kMlxFormat = {
    .name = "mlx",
    .recipes = [] { return std::vector<std::string_view>{"fp16", "bf16", "int8", "int4"}; },
    .group_options = true,
    .graph_options = false,
    .plan = [](const ModelSource& source, const Recipe& recipe,
               bool) { return PlanMlx(source, recipe); },
    .wider_than_half =
        [](const Recipe&, const Piece& piece) {
          // Norms and biases have the folder's float type, whatever is said of them.
          return piece.dims == 1 ? "use mlx:bf16" : KeepIn("bf16", piece);
        },
    .stored =
        StoredWeights{
            .list = StoredMlxTensors,
            .name_of =
                [](const ModelDescription& model, Role role, int layer) {
                  return HoldingTensorName(*model.family, Dialect::kMlx, role, layer);
                },
            .cut = ".weight",
            .codes = ".weight",
            .scales = ".scales",
            .zeros = ".biases",
            .with_zeros = GroupZero::kBias,
            .values = Dialect::kMlx,
            .unsigned_have_middle = false,
        },
};

}  // namespace quantfleet::pipeline
