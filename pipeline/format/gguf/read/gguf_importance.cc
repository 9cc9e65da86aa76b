#include "pipeline/format/gguf/read/gguf_importance.h"

#include <cmath>
#include <map>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/file_digest.h"
#include "pipeline/format/gguf/read/gguf_file.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";

class ImportanceReader {
 public:
  ImportanceReader(const File& data, const GgufFile& file) : data_(data), file_(file) {}

  // Each sum has its count and the other way round, whether the model has the tensor or not: else
  // the file is cut.
  absl::Status CheckPairs() const {
    bool any = false;
    for (const GgufTensor& tensor : file_.tensors()) {
      for (const auto& [suffix, other] : {std::pair(kSums, kCounts), {kCounts, kSums}}) {
        if (!tensor.name.ends_with(suffix)) continue;
        any = true;
        const std::string twin =
            tensor.name.substr(0, tensor.name.size() - suffix.size()) + std::string(other);
        if (file_.FindTensor(twin) == nullptr)
          return InvalidArgument("{}: '{}' has no matching '{}'", file_.name(), tensor.name, twin);
      }
    }
    if (!any)
      return InvalidArgument("{}: no tensor has both sums ({}) and counts ({})", file_.name(),
                             kSums, kCounts);
    return absl::OkStatus();
  }

  // Means of a matrix's `cols` columns, of the one at `index` where a tensor holds `matrices`;
  // empty where the file does not name the tensor.
  absl::StatusOr<std::vector<float>> Means(const std::string& tensor, int64_t cols,
                                           bool is_embedding, int64_t index,
                                           int64_t matrices) const {
    const GgufTensor* sums = file_.FindTensor(tensor + std::string(kSums));
    const GgufTensor* counts = file_.FindTensor(tensor + std::string(kCounts));
    if (sums == nullptr || counts == nullptr) return std::vector<float>();
    if (sums->dtype != DType::kF32 || counts->dtype != DType::kF32)
      return InvalidArgument("{}: '{}' and its counts must be F32", file_.name(), sums->name);
    const auto each = static_cast<uint64_t>(cols) * sizeof(float),
               count_of = static_cast<uint64_t>(matrices), at = static_cast<uint64_t>(index);
    const uint64_t length = each * count_of;
    // A looked-up embedding has no columns to multiply with: old files hold something else there.
    if (is_embedding && sums->size != length) return std::vector<float>();
    if (sums->size != length || counts->size != count_of * sizeof(float))
      return InvalidArgument(
          "{}: '{}' has {} values and {} counts, but the model's tensor has {}{} columns and needs "
          "{} count{}: was the file made from another model?",
          file_.name(), sums->name, sums->size / sizeof(float), counts->size / sizeof(float),
          matrices == 1 ? "" : fmt::format("{} x ", matrices), cols, matrices,
          matrices == 1 ? "" : "s");
    std::vector<float> means(static_cast<size_t>(cols));
    float count = 0;
    QF_RETURN_IF_ERROR(
        data_.ReadAt(sums->offset + at * each, std::as_writable_bytes(std::span(means))));
    QF_RETURN_IF_ERROR(data_.ReadAt(counts->offset + at * sizeof(float),
                                    std::as_writable_bytes(std::span(&count, 1))));
    if (!(count >= 0 && count <= static_cast<float>(uint64_t{1} << 53)))
      return InvalidArgument("{}: '{}' is {}, which is not a valid count", file_.name(),
                             counts->name, count);
    for (size_t i = 0; i < means.size(); ++i)
      if (!(means[i] >= 0 && std::isfinite(means[i])))
        return InvalidArgument(
            "{}: '{}' contains {} at column {}: a sum of squares must be finite and not negative",
            file_.name(), sums->name, means[i], i);
    count = std::round(count);
    for (float& mean : means)
      mean = count > 0 ? mean / count : 1.f;  // never used: every column alike
    return means;
  }

  // Of a tensor of experts whose Means were read, where no token chose the one at `index`: the mean
  // over the tokens of all others; empty where some token did, or none chose any.
  absl::StatusOr<std::vector<float>> StandIn(const std::string& tensor, int64_t cols, int64_t index,
                                             int64_t matrices) const {
    const GgufTensor* sums = file_.FindTensor(tensor + std::string(kSums));
    const GgufTensor* counts = file_.FindTensor(tensor + std::string(kCounts));
    std::vector<float> each(static_cast<size_t>(matrices)), row(static_cast<size_t>(cols));
    QF_RETURN_IF_ERROR(data_.ReadAt(counts->offset, std::as_writable_bytes(std::span(each))));
    std::vector<double> total(row.size());
    double tokens = 0;
    if (std::round(each[static_cast<size_t>(index)]) > 0) return std::vector<float>();
    for (size_t matrix = 0; matrix < each.size(); ++matrix) {
      if (!(std::round(each[matrix]) > 0)) continue;
      QF_RETURN_IF_ERROR(data_.ReadAt(sums->offset + matrix * row.size() * sizeof(float),
                                      std::as_writable_bytes(std::span(row))));
      tokens += std::round(each[matrix]);
      for (size_t i = 0; i < row.size(); ++i) total[i] += row[i];
    }
    if (tokens == 0) return std::vector<float>();
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(total[i] / tokens);
    return row;
  }

 private:
  const File& data_;
  const GgufFile& file_;
};

}  // namespace

absl::StatusOr<Importance> ReadImportance(FileSystem& files, const fs::path& path,
                                          const ModelDescription& model) {
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> data, files.Open(path, OpenMode::kOutside));
  if (!GgufFile::HasMagic(*data))
    return InvalidArgument(
        "{} is not a GGUF file: convert an importance file in llama.cpp's older format with "
        "llama-imatrix --in-file OLD -o NEW.gguf",
        path.string());
  QF_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Read(*data, path.string()));
  QF_ASSIGN_OR_RETURN(const auto type, file.Text("general.type"));
  if (type.value_or("") != "imatrix")
    return InvalidArgument(
        "{} is not an importance file: its general.type is '{}' instead of 'imatrix'", file.name(),
        type.value_or(""));
  const ImportanceReader reader(*data, file);
  QF_RETURN_IF_ERROR(reader.CheckPairs());

  Importance importance;
  QF_ASSIGN_OR_RETURN(importance.digest, DigestOf(*data));
  bool any = false;
  for (const Piece& piece : model.pieces) {
    std::vector<float>& columns = importance.columns.emplace_back();
    if (piece.dims != 2) continue;
    const std::string tensor =
        HoldingTensorName(*model.family, Dialect::kGguf, piece.role, piece.layer);
    const bool is_embedding = piece.role == Role::kTokenEmbedding;
    const bool stacked = StacksExperts(*model.family, Dialect::kGguf, piece.role);
    QF_ASSIGN_OR_RETURN(columns,
                        reader.Means(tensor, piece.cols, is_embedding, stacked ? piece.expert : 0,
                                     stacked ? model.hyper.experts : 1));
    if (stacked && !columns.empty()) {
      QF_ASSIGN_OR_RETURN(std::vector<float> others,
                          reader.StandIn(tensor, piece.cols, piece.expert, model.hyper.experts));
      if (!others.empty())
        importance.stand_ins.emplace(importance.columns.size() - 1, std::move(others));
    }
    any = any || !columns.empty();
    if (!IsHead(model, piece)) continue;
    QF_ASSIGN_OR_RETURN(std::vector<float> of_head,
                        reader.Means(tensor + std::string(kAsHead), piece.cols,
                                     /*is_embedding=*/false, /*index=*/0, /*matrices=*/1));
    if (!of_head.empty())
      importance.stand_ins.emplace(importance.columns.size() - 1, std::move(of_head));
  }
  if (!any)
    return InvalidArgument(
        "{} names none of this {} model's tensors: it was made from another model", file.name(),
        model.family->name);
  return importance;
}

}  // namespace quantfleet::pipeline
