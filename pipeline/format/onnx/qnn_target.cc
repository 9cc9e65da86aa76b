#include "pipeline/format/onnx/qnn_target.h"

#include <algorithm>
#include <limits>

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/onnx/onnx_graph.h"
#include "pipeline/format/onnx/qnn_config.h"
#include "pipeline/format/onnx/qnn_decoder.h"
#include "pipeline/model/memory_terms.h"
#include "pipeline/model/tokenizer_files.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

// Of the cache, which every step attends to as a whole, and of a step of the prompt.
constexpr int64_t kMostContext = 2048, kWindow = 64;
// Less than GenAI's 2 windows there is no use for.
constexpr int64_t kLeastContext = 2 * kWindow;

using QnnVectors = std::map<std::pair<Role, int>, std::vector<float>>;

absl::Status CheckModel(const ModelDescription& model) {
  const char* what = model.family->experts             ? "mixtures of experts"
                     : model.embedding                 ? "embedding models"
                     : model.Find(Role::kAttnSinks, 0) ? "models with attention sinks"
                                                       : nullptr;
  if (what != nullptr)
    return Unimplemented("{} models: the graphs for QNN do not express {}; use onnx:int8-qdq",
                         model.family->name, what);
  if (model.hyper.context < kLeastContext)
    return InvalidArgument("a context of {} tokens is too short for graphs that take {} at once",
                           model.hyper.context, kWindow);
  return absl::OkStatus();
}

absl::StatusOr<DType> QnnTypeOf(const ModelDescription& model, const Recipe& recipe,
                                const OutputTensor& tensor, std::vector<TypeFallback>& fallbacks) {
  const DType asked = recipe.AskedFor(model, tensor.Seen(), false);
  const bool is_embedding = tensor.Seen().Has(Role::kTokenEmbedding);
  if (Info(asked).family != SchemeFamily::kRow || (is_embedding && asked != DType::kI8_Row))
    return InvalidArgument(
        "tensor '{}': onnx:{} supports {}, not {}: use it (--tensor-type role:{}=i8_row)",
        tensor.name, recipe.name, is_embedding ? "i8_row" : "i8_row and i4_row", Info(asked).name,
        Name(tensor.roles.front()));
  const DType taken = Divides(asked, tensor.cols) ? asked : DType::kI8_Row;
  if (taken != asked) fallbacks.push_back({tensor.name, asked, taken});
  return taken;
}

// A norm or a bias, with what its file leaves out, in Hugging Face's order.
absl::StatusOr<std::vector<float>> ReadVector(const ModelSource& source, const Piece& piece) {
  const ModelDescription& model = source.description();
  const SourceTensor& tensor = model.tensors[piece.tensor];
  const auto each = static_cast<size_t>(RowBytes(tensor.dtype, 1));
  const auto size = static_cast<size_t>(piece.cols), step = static_cast<size_t>(piece.step);
  Bytes raw(((size - 1) * step + 1) * each);
  QF_RETURN_IF_ERROR(
      Annotate(source.Read(piece.tensor, static_cast<uint64_t>(piece.first_row) * each, raw),
               fmt::format("tensor '{}'", tensor.name)));
  std::vector<float> values(size);
  const auto head = static_cast<size_t>(model.hyper.head_dim);
  const bool turned = piece.order != RowOrder::kHf && Info(piece.role).rotated;
  for (size_t i = 0; i < size; ++i) {
    // Row h * d/2 + i of a head is 2i + h where they are interleaved.
    const size_t in_head = i % head,
                 from = turned ? i - in_head + in_head % (head / 2) * 2 + in_head / (head / 2) : i;
    FindCodec(tensor.dtype)->decode(raw.data() + from * step * each, 1, &values[i]);
    values[i] += piece.lacks;
  }
  if (const int64_t bad = FindNonFinite(values.data(), std::ssize(values)); bad >= 0)
    return InvalidArgument("tensor '{}' contains {} at element {}: download the model again",
                           tensor.name, values[static_cast<size_t>(bad)], bad);
  return values;
}

absl::StatusOr<QnnVectors> ReadVectors(const ModelSource& source) {
  QnnVectors vectors;
  for (const Piece& piece : source.description().pieces) {
    if (piece.dims != 1) continue;
    QF_ASSIGN_OR_RETURN(vectors[std::pair(piece.role, piece.layer)], ReadVector(source, piece));
  }
  return vectors;
}

absl::StatusOr<std::vector<Attachment>> QnnFiles(const ModelSource& source, int64_t context) {
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small,
                      TokenizerFilesFor(source, "ONNX Runtime GenAI"));
  QF_RETURN_IF_ERROR(AddGenerationConfig(source.description(), small));
  small.push_back({"genai_config.json", QnnConfig(source.description(), context, kWindow)});
  std::ranges::copy(source.attachments(), std::back_inserter(small));
  return small;
}

// A graph as a file, and the weights' file that it names, which is the same for each.
absl::StatusOr<PlannedFile> AddGraph(const QnnParts& parts, const char* name, int64_t tokens,
                                     std::vector<PlannedFile>& files) {
  onnx::ModelProto proto = EmptyOnnxModel(name, /*microsoft=*/false);
  OnnxData data(parts.model, *proto.mutable_graph(), "model.onnx.data",
                std::numeric_limits<uint64_t>::max());
  QF_RETURN_IF_ERROR(BuildQnnDecoder(parts, tokens, *proto.mutable_graph(), data));
  files.push_back(WholeFile(fmt::format("{}.onnx", name), proto.SerializeAsString()));
  return data.TakeFiles().front();
}

}  // namespace

absl::StatusOr<TargetLayout> PlanQnn(const ModelSource& source, const Recipe& recipe,
                                     const Calibration* calibration) {
  ModelDescription model = source.description();
  QF_RETURN_IF_ERROR(Validate(model));
  model.hyper = WithWindows(model.hyper);
  QF_RETURN_IF_ERROR(CheckModel(model));
  if (calibration == nullptr || calibration->ranges == nullptr)
    return InvalidArgument(
        "onnx:{} needs to know within what activations are: run `quantfleet calibrate --ranges` "
        "and give its folder by --calibration",
        recipe.name);
  std::vector<OnnxTensor> tensors;
  std::vector<TypeFallback> fallbacks;
  const auto name = [&](Role role, int layer, int) { return QnnName(*model.family, role, layer); };
  for (OutputTensor& tensor : FusePieces(model, name)) {
    if (tensor.dims == 1) continue;
    QF_ASSIGN_OR_RETURN(const DType dtype, QnnTypeOf(model, recipe, tensor, fallbacks));
    tensors.push_back({std::move(tensor), dtype});
  }
  QF_ASSIGN_OR_RETURN(const QnnVectors vectors, ReadVectors(source));
  const int64_t context = std::min(model.hyper.context, kMostContext) / kWindow * kWindow;
  const QnnParts parts{model,  tensors, vectors, *calibration->ranges, recipe.activation_bits,
                       context};
  std::vector<PlannedFile> files;
  QF_ASSIGN_OR_RETURN(PlannedFile weights, AddGraph(parts, kContextGraph, kWindow, files));
  QF_RETURN_IF_ERROR(AddGraph(parts, kIteratorGraph, 1, files).status());
  files.push_back(std::move(weights));
  QF_ASSIGN_OR_RETURN(const std::vector<Attachment> small, QnnFiles(source, context));
  Hyperparameters sizes = model.hyper;
  sizes.context = context;
  v1::Memory memory = RuntimeMemory(sizes, WeightBytes(files), DType::kI8_Row);
  // The graph has the scales.
  memory.mutable_caches(0)->set_bytes_per_token(
      static_cast<uint64_t>(2 * sizes.layers * sizes.kv_heads * sizes.head_dim));
  QF_ASSIGN_OR_RETURN(TargetLayout layout,
                      Assemble(std::move(memory), std::move(files), small, std::move(fallbacks)));
  layout.ranges = calibration->ranges->digest;
  return layout;
}

}  // namespace quantfleet::pipeline
