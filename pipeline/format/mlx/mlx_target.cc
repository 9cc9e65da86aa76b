#include "pipeline/format/mlx/mlx_target.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/layout/embedding_files.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/mlx/mlx_config.h"
#include "pipeline/format/safetensors/write/shards.h"
#include "pipeline/format/safetensors/write/stored_safetensors.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

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
    tensors_ = FusePieces(model_, [this](Role role, int layer, int) {
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
        MlxConfig(source_, FloatType() == DType::kBF16 ? "bfloat16" : "float16", common, modules_));
    QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small,
                        model_.embedding ? EmbeddingFiles(source_, "MLX", std::move(config))
                                         : DecoderFiles(config));
    std::vector<PlannedFile> shards = PlanShards(model_, bundles_,
                                                 {.dialect = Dialect::kMlx,
                                                  .writer = "mlx",
                                                  .shard_bytes = shard_bytes_,
                                                  .index_of_one = true});
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
          "have a bias, of 32, 64 or 128 (i4_g64, a4_g64), not {}: use one of them (--tensor-type "
          "role:{}=q8_0)",
          tensor.name, Info(asked).name, Name(tensor.roles.front()));
    return FittingType(tensor, asked, fallbacks_, MlxHolds);
  }

  ShardBundle Store(const OutputTensor& tensor, DType dtype) {
    if (IsFloat(dtype)) return {FloatOf(tensor, dtype)};
    const std::string module = ModuleOf(tensor);
    const MlxGroups groups = GroupsOf(dtype);
    modules_.push_back({module, groups});
    const auto part = [&](std::string name, std::string_view type, int64_t cols, Part which) {
      return PartOf(tensor, std::move(name), type, cols, dtype, which);
    };
    return {part(tensor.name, "U32", tensor.cols * groups.bits / 32, Part::kCodes),
            part(module + ".scales", "F16", tensor.cols / groups.size, Part::kScales),
            part(module + ".biases", "F16", tensor.cols / groups.size, Part::kBiases)};
  }

  // What mlx-embeddings' BERT demands, though no vector comes of it: the product that a classifier
  // has behind the first token's state. It is of zeros.
  ShardBundle Pooler() const {
    const int64_t hidden = model_.hyper.hidden;
    const auto zeros = [&](const char* name, std::vector<int64_t> shape, int64_t count) {
      return ShardPart{.name = name,
                       .type = SafetensorsFloat(FloatType()),
                       .shape = std::move(shape),
                       .known = std::string(static_cast<size_t>(2 * count), '\0')};
    };
    return {zeros("pooler.dense.weight", {hidden, hidden}, hidden * hidden),
            zeros("pooler.dense.bias", {hidden}, hidden)};
  }

  const ModelSource& source_;
  const ModelDescription& model_;
  const Recipe recipe_;
  const uint64_t shard_bytes_;
  std::vector<OutputTensor> tensors_;
  std::vector<ShardBundle> bundles_;  // point into tensors_
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
               const Calibration*) { return PlanMlx(source, recipe); },
    .wider_than_half =
        [](const Recipe&, const Piece& piece) {
          // Norms and biases have the folder's float type, whatever is said of them.
          return piece.dims == 1 ? "use mlx:bf16" : KeepIn("bf16", piece);
        },
    .stored =
        StoredWeights{
            .list = StoredSafetensors,
            .name_of =
                [](const ModelDescription& model, Role role, int layer, int) {
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
