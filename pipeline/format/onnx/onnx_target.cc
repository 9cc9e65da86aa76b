#include "pipeline/format/onnx/onnx_target.h"

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/onnx/onnx_decoder.h"
#include "pipeline/format/onnx/onnx_encoder.h"
#include "pipeline/format/onnx/onnx_folder.h"
#include "pipeline/format/onnx/onnx_graph.h"
#include "pipeline/format/onnx/onnx_stored.h"
#include "pipeline/format/onnx/qnn_target.h"
#include "pipeline/model/memory_terms.h"

namespace quantfleet::pipeline {
namespace {

absl::StatusOr<DType> TypeOf(const ModelDescription& model, const Recipe& recipe, DType float_type,
                             const OutputTensor& tensor, std::vector<TypeFallback>& fallbacks) {
  if (tensor.dims == 1 || tensor.Seen().Has(Role::kFfnRouter)) return float_type;
  const DType asked = recipe.AskedFor(model, tensor.Seen(), false);
  if (asked == DType::kF32 || asked == DType::kF16) return asked;
  const bool held = Info(asked).family != SchemeFamily::kRow &&
                    (HasPart(asked, Part::kSignedCodes) || HasPart(asked, Part::kZeroPoints));
  if (!held || (recipe.standard_operators && CodeBits(asked) != 8))
    return InvalidArgument(
        "tensor '{}': {} supports {}, not {}: use one of them (--tensor-type role:{}=q8_0)",
        tensor.name, recipe.standard_operators ? "onnx:int8-qdq" : "onnx",
        recipe.standard_operators ? "f32, f16, q8_0 and groups of 8 bits (i8_g64, u8_g64)"
                                  : "f32, f16, q8_0, q4_0 and groups (i4_g64, u4_g64)",
        Info(asked).name, Name(tensor.roles.front()));
  return FittingType(tensor, asked, fallbacks);
}

// What GroupQueryAttention demands of a head: tables of cosines whose width is a multiple of eight
// pairs.
absl::Status CheckRotary(const Hyperparameters& h) {
  if (h.head_dim % 8 == 0 && h.rope_dims % 16 == 0) return absl::OkStatus();
  return Unimplemented(
      "heads of {} with {} rotated dimensions: ONNX Runtime's attention needs head sizes that are "
      "multiples of 8 and rotates only multiples of 16 dimensions; use onnx:int8-qdq or a gguf "
      "target",
      h.head_dim, h.rope_dims);
}

}  // namespace

absl::StatusOr<TargetLayout> PlanOnnx(const ModelSource& source, const Recipe& recipe) {
  ModelDescription model = source.description();
  QF_RETURN_IF_ERROR(Validate(model));
  model.hyper = WithWindows(model.hyper);
  const OnnxFlavour flavour =
      recipe.standard_operators ? OnnxFlavour::kStandard : OnnxFlavour::kMicrosoft;
  const bool embeds = model.embedding.has_value();
  if (flavour == OnnxFlavour::kMicrosoft && !embeds) QF_RETURN_IF_ERROR(CheckRotary(model.hyper));
  QF_ASSIGN_OR_RETURN(const OnnxFolder folder, FolderOf(model, recipe));
  const bool half = recipe.half || recipe.body == DType::kF16;
  const DType float_type = half ? DType::kF16 : DType::kF32;
  const auto name = [&](Role role, int layer, int) { return OnnxName(*model.family, role, layer); };
  std::vector<OnnxTensor> tensors;
  std::vector<TypeFallback> fallbacks;
  for (OutputTensor& tensor : FusePieces(model, name)) {
    QF_ASSIGN_OR_RETURN(const DType dtype, TypeOf(model, recipe, float_type, tensor, fallbacks));
    tensors.push_back({std::move(tensor), dtype});
  }

  onnx::ModelProto proto = EmptyOnnxModel(model.family->encoder ? "encoder" : "decoder",
                                          flavour == OnnxFlavour::kMicrosoft);
  OnnxData data(model, *proto.mutable_graph(), folder.weights, folder.most_bytes);
  // Who asks for floats and quantizes single tensors wants no other rounding than theirs.
  const bool exact = recipe.exact || IsFloat(recipe.body);
  const OnnxParts parts{model, tensors, float_type, flavour, exact, recipe.web};
  if (model.family->encoder) {
    BuildEncoder(parts, *proto.mutable_graph(), data);
  } else {
    QF_RETURN_IF_ERROR(BuildDecoder(parts, *proto.mutable_graph(), data));
  }
  std::vector<PlannedFile> files = data.TakeFiles();
  QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small,
                      SmallFiles(source, model, folder, flavour, files.size()));
  files.push_back(WholeFile(folder.graph, proto.SerializeAsString()));
  v1::Memory memory = RuntimeMemory(model.hyper, WeightBytes(files), float_type);
  return Assemble(std::move(memory), std::move(files), small, std::move(fallbacks));
}

const TargetFormat kOnnxFormat = {
    .name = "onnx",
    .recipes =
        [] {
          return std::vector<std::string_view>{"fp32",      "fp16",     "int8",      "int4",
                                               "qnn-a16w8", "qnn-a8w8", "qnn-a16w4", "int8-qdq"};
        },
    .group_options = true,
    .graph_options = true,
    .plan =
        [](const ModelSource& source, const Recipe& recipe, const Calibration* calibration) {
          if (recipe.activation_bits != 0) return PlanQnn(source, recipe, calibration);
          return PlanOnnx(source, recipe);
        },
    .wider_than_half =
        [](const Recipe& recipe, const Piece& piece) {
          // Rows have no wider type there.
          if (recipe.activation_bits != 0) return std::string("use onnx:int8-qdq");
          // Of fp16 everything has half precision, whatever is said of single tensors.
          if (recipe.body == DType::kF16) return std::string("use onnx:fp32");
          return recipe.half ? "use the recipe without -f16" : KeepIn("f32", piece);
        },
    .stored =
        StoredWeights{
            .list = StoredOnnxTensors,
            .name_of = [](const ModelDescription& model, Role role, int layer,
                          int) { return OnnxName(*model.family, role, layer); },
            .cut = "",
            .codes = ".codes",
            .scales = ".scales",
            .zeros = ".zero_points",
            .with_zeros = GroupZero::kPoint,
            .values = Dialect::kGguf,
            .unsigned_have_middle = true,
        },
};

}  // namespace quantfleet::pipeline
