#include "engine/decode/weights.h"

#include "pipeline/family/shapes.h"

namespace quantfleet::engine {
namespace {

using pipeline::ModelDescription;
using pipeline::Piece;
using pipeline::Role;

class Mapper {
 public:
  Mapper(const ModelDescription& model, ByteSpan file,
         const std::function<uint64_t(size_t)>& file_offset, const VectorOps& ops)
      : model_(model), file_(file), file_offset_(file_offset), ops_(ops) {}

  absl::StatusOr<Matrix> Map(Role role, int layer, int64_t rows, int64_t cols) const {
    QF_ASSIGN_OR_RETURN(const Piece* piece, Require(role, layer));
    return MapPiece(*piece, rows, cols);
  }

  // A vector as a matrix of a row for each expert.
  absl::StatusOr<Matrix> ByExpert(Role role, int layer, int64_t experts, int64_t each) const {
    QF_ASSIGN_OR_RETURN(const Piece* piece, Require(role, layer));
    Piece rows = *piece;
    if (rows.cols == experts * each) rows.rows = experts, rows.cols = each;
    if (!IsFloat(model_.tensors.at(piece->tensor).dtype))
      return InvalidArgument("tensor {}: {} must be floats", TensorName(*piece), Name(role));
    return MapPiece(rows, experts, each);
  }

  absl::StatusOr<std::vector<float>> Vector(Role role, int layer, int64_t size) const {
    QF_ASSIGN_OR_RETURN(const Piece* piece, Require(role, layer));
    // A 1-D piece of a fused tensor counts columns: as rows of one element, both kinds are cut
    // alike.
    Piece column = *piece;
    if (column.dims == 1) column.rows = piece->cols, column.cols = 1;
    if (column.cols != 1 || !IsFloat(model_.tensors.at(piece->tensor).dtype))
      return InvalidArgument("tensor {}: {} must be a vector of floats", TensorName(*piece),
                             Name(role));
    QF_ASSIGN_OR_RETURN(const Matrix matrix, MapPiece(column, size, 1));
    std::vector<float> values(static_cast<size_t>(size));
    matrix.decode(matrix.data, size, values.data());
    return values;
  }

 private:
  std::string_view TensorName(const Piece& piece) const {
    return model_.tensors.at(piece.tensor).name;
  }

  absl::StatusOr<const Piece*> Require(Role role, int layer) const {
    const Piece* piece = model_.Find(role, layer);
    if (piece == nullptr || piece->tensor >= model_.tensors.size())
      return InvalidArgument("the model has no {} for layer {}", Name(role), layer);
    return piece;
  }

  absl::StatusOr<Matrix> MapPiece(const Piece& piece, int64_t rows, int64_t cols) const {
    const std::string_view name = TensorName(piece);
    const pipeline::DType type = model_.tensors[piece.tensor].dtype;
    const int64_t experts = piece.expert < 0 ? 1 : model_.hyper.experts;
    if (piece.rows * experts != rows || piece.cols != cols) {
      return InvalidArgument("tensor {}: {} is {} x {}, but the hyperparameters require {} x {}",
                             name, Name(piece.role), piece.rows, piece.cols, rows, cols);
    }
    if (ops_.row_dot(type) == nullptr || ops_.row_decode(type) == nullptr)
      return Unimplemented("tensor {}: this build does not support {} weights", name,
                           Info(type).name);
    if (!Divides(type, cols))
      return InvalidArgument(
          "tensor {}: rows of {} elements are not a multiple of the block size {}", name, cols,
          Info(type).name);
    Matrix matrix{.rows = rows,
                  .cols = cols,
                  .row_bytes = RowBytes(type, cols),
                  .dot = ops_.row_dot(type),
                  .decode = ops_.row_decode(type),
                  .type = type};
    const auto row_bytes = static_cast<uint64_t>(matrix.row_bytes);
    const auto before = CheckedMul(static_cast<uint64_t>(piece.first_row), row_bytes);
    const auto size = CheckedMul(static_cast<uint64_t>(rows), row_bytes);
    const auto begin = before ? CheckedAdd(file_offset_(piece.tensor), *before) : std::nullopt;
    const auto end = begin && size ? CheckedAdd(*begin, *size) : std::nullopt;
    if (piece.first_row < 0 || !end || *end > file_.size())
      return DataLoss("tensor {}: {} reaches beyond the file's {} bytes: download the file again",
                      name, Name(piece.role), file_.size());
    matrix.data = file_.data() + *begin;
    return matrix;
  }

  const ModelDescription& model_;
  const ByteSpan file_;
  const std::function<uint64_t(size_t)>& file_offset_;
  const VectorOps& ops_;
};

// What the family says that a layer has.
absl::StatusOr<LayerWeights> MapLayer(const Mapper& map, const ModelDescription& model, int layer) {
  LayerWeights w;
  for (const pipeline::FamilyTensor& tensor : model.family->tensors) {
    if (!Info(tensor.role).of_layer) continue;
    const bool optional = tensor.presence == pipeline::Presence::kOptional;
    if (optional && model.Find(tensor.role, layer) == nullptr) continue;
    auto [rows, cols, dims] = ShapeOf(model.hyper, tensor.role);
    if (Info(tensor.role).of_expert) rows *= model.hyper.experts;
    if (Info(tensor.role).by_expert) {
      const int64_t experts = model.hyper.experts;
      QF_ASSIGN_OR_RETURN(w.matrix(tensor.role),
                          map.ByExpert(tensor.role, layer, experts, cols / experts));
    } else if (dims == 1) {
      QF_ASSIGN_OR_RETURN(w.vector(tensor.role), map.Vector(tensor.role, layer, cols));
    } else {
      QF_ASSIGN_OR_RETURN(w.matrix(tensor.role), map.Map(tensor.role, layer, rows, cols));
    }
  }
  return w;
}

// What is of no layer, but the two that Weights names.
absl::Status MapOuter(const Mapper& map, const ModelDescription& model, LayerWeights& w) {
  for (const pipeline::FamilyTensor& tensor : model.family->tensors) {
    const auto [rows, cols, dims] = ShapeOf(model.hyper, tensor.role);
    if (Info(tensor.role).of_layer || tensor.role == Role::kTokenEmbedding ||
        tensor.role == Role::kOutputHead)
      continue;
    if (dims == 1) {
      QF_ASSIGN_OR_RETURN(w.vector(tensor.role), map.Vector(tensor.role, -1, cols));
    } else {
      QF_ASSIGN_OR_RETURN(w.matrix(tensor.role), map.Map(tensor.role, -1, rows, cols));
    }
  }
  return absl::OkStatus();
}

// One way to turn pairs for the whole model.
absl::StatusOr<bool> InterleavedRope(const ModelDescription& model) {
  const Piece* first = model.Find(Role::kAttnQ, 0);
  const bool interleaved = first != nullptr && first->order == pipeline::RowOrder::kInterleaved;
  for (const Piece& piece : model.pieces)
    if (Info(piece.role).rotated &&
        (piece.order == pipeline::RowOrder::kInterleaved) != interleaved)
      return InvalidArgument(
          "the rows of {} in layer {} are in a different order from those of layer 0's attn_q",
          Name(piece.role), piece.layer);
  return interleaved;
}

}  // namespace

int64_t BytesPerToken(const Weights& weights, const pipeline::Hyperparameters& hyper) {
  const auto bytes = [](const Matrix& m) { return m.rows * m.row_bytes; };
  int64_t total = weights.embedding.row_bytes + bytes(weights.head);
  for (const LayerWeights& w : weights.layers)
    for (const pipeline::RoleInfo& info : pipeline::Roles()) {
      const int64_t all = bytes(w.matrix(info.role));
      total += info.of_expert && all > 0 ? all / hyper.experts * hyper.experts_used : all;
    }
  return total;
}

absl::StatusOr<Weights> MapWeights(const ModelDescription& model, ByteSpan file,
                                   const std::function<uint64_t(size_t)>& file_offset,
                                   const VectorOps& ops) {
  if (model.family == nullptr) return Internal("a model without a family has no weights");
  const Mapper map(model, file, file_offset, ops);
  const pipeline::Hyperparameters& h = model.hyper;
  Weights w;
  QF_ASSIGN_OR_RETURN(w.interleaved_rope, InterleavedRope(model));
  QF_ASSIGN_OR_RETURN(w.embedding, map.Map(Role::kTokenEmbedding, -1, h.vocab, h.hidden));
  w.family = model.family;
  QF_RETURN_IF_ERROR(MapOuter(map, model, w.outer));
  w.head = w.embedding;
  if (model.Find(Role::kOutputHead) != nullptr) {
    QF_ASSIGN_OR_RETURN(w.head, map.Map(Role::kOutputHead, -1, h.vocab, h.hidden));
  }
  for (int layer = 0; layer < h.layers; ++layer) {
    QF_ASSIGN_OR_RETURN(LayerWeights weights, MapLayer(map, model, layer));
    w.layers.push_back(std::move(weights));
  }
  return w;
}

}  // namespace quantfleet::engine
