#include "pipeline/format/safetensors/write/safetensors_target.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/embedding_files.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/safetensors/write/compressed_config.h"
#include "pipeline/format/safetensors/write/folder_config.h"
#include "pipeline/format/safetensors/write/shards.h"
#include "pipeline/format/safetensors/write/stored_safetensors.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr std::string_view kRuntime = "transformers", kWeight = ".weight";

std::string FileName(const ModelDescription& model, Role role, int layer, int expert) {
  return HoldingTensorName(*model.family, Dialect::kHf, role, layer, expert);
}

// "model.layers.0.mlp.down_proj" of its weight.
std::string ModuleOf(const OutputTensor& weight) {
  return weight.name.substr(0, weight.name.size() - kWeight.size());
}

// Of the symmetric types those whose groups vLLM's kernels know, and whole rows of 8 bits.
bool FolderHolds(DType type) {
  const int64_t group = Info(type).block_elements;
  const bool known = type == DType::kI8_Row || (group >= 32 && group <= 128);
  return HasPart(type, Part::kSignedCodes) && known;
}

class SafetensorsPlanner {
 public:
  SafetensorsPlanner(const ModelSource& source, const Recipe& recipe, uint64_t shard_bytes)
      : source_(source), model_(source.description()), recipe_(recipe), shard_bytes_(shard_bytes) {}

  absl::StatusOr<TargetLayout> Run() {
    QF_RETURN_IF_ERROR(Validate(model_));
    tensors_ = FusePieces(model_, [this](Role role, int layer, int expert) {
      return FileName(model_, role, layer, expert);
    });
    for (const OutputTensor& tensor : tensors_) {
      QF_ASSIGN_OR_RETURN(const DType dtype, TypeOf(tensor));
      QF_RETURN_IF_ERROR(CheckBeside(tensor, dtype));
      bundles_.push_back(Store(tensor, dtype));
    }
    QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small, SmallFiles());
    std::vector<PlannedFile> shards = PlanShards(model_, bundles_,
                                                 {.dialect = Dialect::kHf,
                                                  .writer = "pt",
                                                  .shard_bytes = shard_bytes_,
                                                  .index_of_one = false});
    v1::Memory memory = RuntimeMemory(model_.hyper, WeightBytes(shards), FloatType());
    return Assemble(std::move(memory), std::move(shards), small, std::move(fallbacks_));
  }

 private:
  // Of everything that is not quantized, and what runtimes calculate in. BF16 cannot hold the
  // scales, so beside them all floats are F16.
  DType FloatType() const { return IsFloat(recipe_.body) ? recipe_.body : DType::kF16; }

  absl::StatusOr<DType> TypeOf(const OutputTensor& tensor) {
    if (tensor.dims == 3)
      return Unimplemented(
          "tensor '{}': in a folder of floats the experts of a {} model stand with rows as "
          "columns, "
          "which is not supported: use an mlx, an onnx or a gguf target",
          tensor.name, model_.family->name);
    const TargetTensor seen = tensor.Seen();
    if (tensor.dims == 1 || seen.Has(Role::kFfnRouter) || seen.Has(Role::kPositionEmbedding) ||
        seen.Has(Role::kTokenTypes))
      return FloatType();
    const DType asked = recipe_.AskedFor(model_, seen, false);
    if (IsFloat(asked)) return asked;
    if (!FolderHolds(asked))
      return InvalidArgument(
          "tensor '{}': safetensors folders hold f32, f16, bf16, i8_row, q4_0, q8_0 and groups "
          "that "
          "are symmetric (i4_g128, i8_g64), not {}: use one of them (--tensor-type role:{}=q8_0)",
          tensor.name, Info(asked).name, Name(tensor.roles.front()));
    if (model_.embedding)
      return Unimplemented(
          "tensor '{}': models that make embeddings are written in floats alone: use "
          "safetensors:f16, or an onnx, an openvino or an mlx target",
          tensor.name);
    // Rows are looked up in it, which no runtime does with codes.
    if (seen.Has(Role::kTokenEmbedding)) {
      fallbacks_.push_back({tensor.name, asked, FloatType()});
      return FloatType();
    }
    return FittingType(tensor, asked, fallbacks_, FolderHolds);
  }

  // In one folder either all products round activations too, or none.
  absl::Status CheckBeside(const OutputTensor& tensor, DType dtype) const {
    const auto is_row = [](DType type) { return Info(type).family == SchemeFamily::kRow; };
    if (IsFloat(dtype) || modules_.empty() || is_row(dtype) == is_row(modules_.front().type))
      return absl::OkStatus();
    return InvalidArgument(
        "tensor '{}': {} cannot stand in one folder with {}, which '{}' has: use a float type for "
        "one of them (--tensor-type role:{}=f16)",
        tensor.name, Info(dtype).name, Info(modules_.front().type).name, modules_.front().path,
        Name(tensor.roles.front()));
  }

  ShardBundle Store(const OutputTensor& tensor, DType dtype) {
    const bool product = tensor.dims == 2 && !tensor.Seen().Has(Role::kTokenEmbedding);
    if (IsFloat(dtype)) {
      if (product) floats_.push_back(ModuleOf(tensor));
      return {FloatOf(tensor, dtype)};
    }
    modules_.push_back({ModuleOf(tensor), dtype});
    const int64_t groups = tensor.cols / BlockElements(dtype, tensor.cols);
    ShardPart scales = PartOf(tensor, tensor.name + "_scale", "F16", groups, dtype, Part::kScales);
    if (Info(dtype).family == SchemeFamily::kRow)
      return {PartOf(tensor, tensor.name, "I8", tensor.cols, dtype, Part::kSignedCodes),
              std::move(scales)};
    const int64_t shape[] = {tensor.rows, tensor.cols};
    return {PartOf(tensor, tensor.name + "_packed", "I32", tensor.cols * CodeBits(dtype) / 32,
                   dtype, Part::kCodes),
            std::move(scales),
            {.name = tensor.name + "_shape",
             .type = "I64",
             .shape = {2},
             .known = std::string(AsText(std::as_bytes(std::span(shape))))}};
  }

  // Of the recipe where it is among them.
  DType Common() const {
    const auto is_body = [this](const CompressedModule& m) { return m.type == recipe_.body; };
    return std::ranges::any_of(modules_, is_body) ? recipe_.body : modules_.front().type;
  }

  absl::StatusOr<std::vector<Attachment>> SmallFiles() {
    std::optional<json::object> quantization;
    if (!modules_.empty()) {
      // A tied head is a product as well, whose weight is the embedding.
      if (model_.hyper.tied_embeddings) floats_.emplace_back("lm_head");
      quantization = CompressedConfig(modules_, Common(), floats_);
    }
    QF_ASSIGN_OR_RETURN(json::object config, FolderConfig(source_, FloatType(), quantization));
    if (model_.embedding) return EmbeddingFiles(source_, kRuntime, std::move(config));
    QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, TokenizerFilesFor(source_, kRuntime));
    QF_RETURN_IF_ERROR(AddGenerationConfig(model_, small));
    small.push_back({"config.json", json::serialize(config) + "\n"});
    std::ranges::copy(source_.attachments(), std::back_inserter(small));
    return small;
  }

  const ModelSource& source_;
  const ModelDescription& model_;
  const Recipe& recipe_;
  const uint64_t shard_bytes_;
  std::vector<OutputTensor> tensors_;
  std::vector<ShardBundle> bundles_;  // point into tensors_
  std::vector<CompressedModule> modules_;
  std::vector<std::string> floats_;  // modules that stay as they are
  std::vector<TypeFallback> fallbacks_;
};

}  // namespace

absl::StatusOr<TargetLayout> PlanSafetensors(const ModelSource& source, const Recipe& recipe,
                                             uint64_t shard_bytes) {
  return SafetensorsPlanner(source, recipe, shard_bytes).Run();
}

const TargetFormat kSafetensorsFormat = {
    .name = "safetensors",
    .recipes =
        [] {
          return std::vector<std::string_view>{"f32",   "f16",       "bf16",     "w8a8",
                                               "w4a16", "w4a16-g64", "w4a16-g32"};
        },
    .group_options = false,  // a recipe's name says its groups
    .graph_options = false,
    .plan = [](const ModelSource& source, const Recipe& recipe,
               const Calibration*) { return PlanSafetensors(source, recipe); },
    // Runtimes calculate in one float type, whatever the file has a tensor in.
    .wider_than_half = [](const Recipe&,
                          const Piece&) { return std::string("use safetensors:bf16"); },
    .stored =
        StoredWeights{
            .list = StoredSafetensors,
            .name_of = FileName,
            .cut = "",
            .codes = "_packed",
            .scales = "_scale",
            .zeros = "",
            .with_zeros = GroupZero::kMiddle,
            .values = Dialect::kHf,
            .unsigned_have_middle = true,
        },
};

}  // namespace quantfleet::pipeline
