#include "pipeline/format/registry/dequantized_source.h"

#include <algorithm>
#include <map>

#include "pipeline/family/validate.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/registry/registry.h"
#include "pipeline/model/whole_rows.h"

namespace quantfleet::pipeline {
namespace {

using Values = StoredTensor::Values;

std::optional<DType> FloatOf(Values values) {
  if (values == Values::kF32) return DType::kF32;
  if (values == Values::kF16) return DType::kF16;
  if (values == Values::kBF16) return DType::kBF16;
  return std::nullopt;
}

// Finds each tensor of the model among what the files hold.
class DequantizedOpener {
 public:
  DequantizedOpener(FileSystem& files, const fs::path& folder, const StoredWeights& spelling)
      : files_(files), folder_(folder), spelling_(spelling) {}

  ModelDescription description;
  std::vector<DequantizedWeight> weights;  // by description.tensors
  std::vector<std::unique_ptr<File>> opened;

  absl::Status Run(const std::vector<std::string>& paths, const ModelDescription& model) {
    QF_ASSIGN_OR_RETURN(stored_, spelling_.list(files_, folder_, paths));
    for (const StoredTensor& tensor : stored_) by_name_.emplace(tensor.name, &tensor);
    description = model;
    description.tensors.clear();
    const auto name_of = [&](Role role, int layer, int expert) {
      return spelling_.name_of(model, role, layer, expert);
    };
    for (const OutputTensor& tensor : FusePieces(model, name_of)) {
      QF_RETURN_IF_ERROR(Take(tensor));
      int64_t at = 0;
      for (const uint32_t p : tensor.pieces) {
        Piece& piece = description.pieces[p];
        piece.tensor = description.tensors.size() - 1;
        piece.first_row = at;
        piece.step = 1;
        piece.order = RowOrder::kHf;
        piece.lacks = LackOf(*model.family, spelling_.values, piece.role);
        at += piece.dims == 1 ? piece.cols : piece.rows;
      }
    }
    return Validate(description);
  }

 private:
  using Weight = DequantizedWeight;
  using Region = DequantizedWeight::Region;

  const StoredTensor* Find(const OutputTensor& weight, std::string_view suffix) const {
    const size_t stem = weight.name.size() - spelling_.cut.size();
    const auto it = by_name_.find(weight.name.substr(0, stem) + std::string(suffix));
    return it == by_name_.end() ? nullptr : it->second;
  }

  static absl::Status Bad(const StoredTensor& tensor, std::string_view what) {
    return DataLoss("{}: tensor '{}' ({}): {}; download the artifact again", tensor.file,
                    tensor.name, tensor.type, what);
  }

  absl::StatusOr<Region> Open(const StoredTensor& tensor) {
    const auto [it, is_new] = open_.emplace(tensor.file, nullptr);
    if (is_new) {
      QF_ASSIGN_OR_RETURN(auto file, files_.Open(folder_ / tensor.file, OpenMode::kOutside));
      it->second = opened.emplace_back(std::move(file)).get();
    }
    return Region{it->second, tensor.offset};
  }

  absl::Status Take(const OutputTensor& tensor) {
    const StoredTensor* scales = tensor.dims == 1 ? nullptr : Find(tensor, spelling_.scales);
    Weight weight;
    DType dtype = DType::kF32;
    if (scales != nullptr) {
      QF_RETURN_IF_ERROR(TakeCodes(tensor, *scales, weight));
    } else {
      QF_RETURN_IF_ERROR(TakeFloats(tensor, weight, dtype));
    }
    weights.push_back(weight);
    // Of several roles' experts it is no stack of like matrices.
    const bool stack = tensor.dims < 3 || tensor.roles.size() == 1;
    description.tensors.push_back({tensor.name, dtype, tensor.rows, tensor.cols,
                                   stack ? tensor.dims : 2, stack ? tensor.matrices : 1});
    return absl::OkStatus();
  }

  absl::Status TakeFloats(const OutputTensor& tensor, Weight& weight, DType& dtype) {
    const auto it = by_name_.find(tensor.name);
    if (it == by_name_.end())
      return DataLoss("{}: tensor '{}' is not in any of its files: download the artifact again",
                      folder_.string(), tensor.name);
    const StoredTensor& stored = *it->second;
    const std::optional<DType> type = FloatOf(stored.values);
    if (!type) return Bad(stored, "it is not a float type, and it has no scales");
    QF_RETURN_IF_ERROR(CheckBytes(stored, tensor.rows * RowBytes(*type, tensor.cols)));
    dtype = *type;
    QF_ASSIGN_OR_RETURN(weight.values, Open(stored));
    return absl::OkStatus();
  }

  absl::Status TakeCodes(const OutputTensor& tensor, const StoredTensor& scales, Weight& weight) {
    const StoredTensor *codes = Find(tensor, spelling_.codes),
                       *zeros = spelling_.zeros.empty() ? nullptr : Find(tensor, spelling_.zeros);
    if (codes == nullptr) codes = Find(tensor, spelling_.cut);
    if (codes == nullptr) return Bad(scales, "it has no codes to scale");
    QF_ASSIGN_OR_RETURN(weight.rows, RowsOf(tensor, *codes, scales, zeros));
    QF_ASSIGN_OR_RETURN(weight.values, Open(*codes));
    QF_ASSIGN_OR_RETURN(weight.scales, Open(scales));
    if (zeros != nullptr) {
      QF_ASSIGN_OR_RETURN(weight.zeros, Open(*zeros));
    }
    return absl::OkStatus();
  }

  // What the sizes and types of its parts say of a weight, each held against the others.
  absl::StatusOr<CodeRows> RowsOf(const OutputTensor& tensor, const StoredTensor& codes,
                                  const StoredTensor& scales, const StoredTensor* zeros) const {
    CodeRows rows{};
    rows.cols = tensor.cols;
    rows.is_signed = codes.values == Values::kSignedCodes;
    if (!rows.is_signed && codes.values != Values::kUnsignedCodes)
      return Bad(codes, "its type is not a type of codes");
    const auto elements = static_cast<uint64_t>(tensor.rows * tensor.cols);
    rows.bits = codes.bytes == elements ? 8 : 4;
    rows.zero = zeros == nullptr ? GroupZero::kMiddle : spelling_.with_zeros;
    rows.point_stream = spelling_.point_stream;
    if (zeros == nullptr && !rows.is_signed && !spelling_.unsigned_have_middle)
      return Bad(codes, fmt::format("it has unsigned codes without {}", spelling_.zeros));
    if (zeros != nullptr && rows.is_signed)
      return Bad(codes, fmt::format("it has signed codes with {}", spelling_.zeros));

    const std::optional<DType> scale = FloatOf(scales.values);
    if (scale != DType::kF16 && scale != DType::kF32)
      return Bad(scales, "scales must be F16 or F32");
    rows.wide_scales = scale == DType::kF32;
    const uint64_t count = scales.bytes / (rows.wide_scales ? 4 : 2),
                   height = static_cast<uint64_t>(tensor.rows);
    const uint64_t groups = count / height, width = static_cast<uint64_t>(tensor.cols);
    const bool pairs = rows.bits == 4;  // which begin a group
    if (groups == 0 || count % height != 0 || width % groups != 0 ||
        (pairs && width / groups % 2 != 0))
      return Bad(scales, fmt::format("{} scales cannot be divided over {} rows of {}", count,
                                     height, width));
    rows.group = static_cast<int64_t>(width / groups);

    QF_RETURN_IF_ERROR(CheckBytes(codes, tensor.rows * rows.code_bytes()));
    QF_RETURN_IF_ERROR(CheckBytes(scales, tensor.rows * rows.scale_bytes()));
    if (zeros == nullptr) return rows;
    if (zeros->values != (rows.zero == GroupZero::kBias ? Values::kF16 : Values::kUnsignedCodes))
      return Bad(*zeros, "its type is not one for zero points or biases");
    QF_RETURN_IF_ERROR(CheckBytes(*zeros, (tensor.rows * rows.zero_bits() + 7) / 8));
    return rows;
  }

  static absl::Status CheckBytes(const StoredTensor& tensor, int64_t want) {
    if (tensor.bytes == static_cast<uint64_t>(want)) return absl::OkStatus();
    return Bad(tensor,
               fmt::format("it has {} bytes, but the model requires {}", tensor.bytes, want));
  }

  FileSystem& files_;
  const fs::path& folder_;
  const StoredWeights& spelling_;
  std::vector<StoredTensor> stored_;
  std::map<std::string, const StoredTensor*, std::less<>> by_name_;
  std::map<std::string, const File*, std::less<>> open_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DequantizedSource>> DequantizedSource::Open(
    FileSystem& files, const fs::path& folder, const std::vector<std::string>& paths,
    std::string_view format, const ModelDescription& model) {
  const TargetFormat* made_as = FindFormat(format);
  if (made_as == nullptr || !made_as->stored)
    return Unimplemented("reading the codes of format '{}' is not supported", format);
  DequantizedOpener opener(files, folder, *made_as->stored);
  QF_RETURN_IF_ERROR(opener.Run(paths, model));
  std::unique_ptr<DequantizedSource> source(new DequantizedSource);
  source->format_ = std::string(format);
  source->description_ = std::move(opener.description);
  source->weights_ = std::move(opener.weights);
  source->files_ = std::move(opener.opened);
  for (const std::string& path : paths) {
    QF_ASSIGN_OR_RETURN(const int64_t modified, files.ModifiedAt(folder / path));
    source->fingerprint_.text += fmt::format("{} {}\n", path, modified);
  }
  return source;
}

absl::Status DequantizedSource::Read(size_t tensor, uint64_t offset, MutableBytes out) const {
  if (tensor >= weights_.size()) return OutOfRange("there is no tensor {}", tensor);
  const SourceTensor& t = description_.tensors[tensor];
  const auto size = static_cast<uint64_t>(t.rows * RowBytes(t.dtype, t.cols));
  if (offset > size || out.size() > size - offset)
    return OutOfRange("reading beyond the end of tensor {}", t.name);
  const DequantizedWeight& weight = weights_[tensor];
  return Annotate(weight.rows ? Decode(weight, offset, out)
                              : weight.values.file->ReadAt(weight.values.offset + offset, out),
                  fmt::format("tensor '{}'", t.name));
}

// Whole rows are decoded, a few hundred KiB of them at a time.
absl::Status DequantizedSource::Decode(const DequantizedWeight& weight, uint64_t offset,
                                       MutableBytes out) const {
  constexpr uint64_t kBytesAtOnce = 256 << 10;
  const CodeRows& as = *weight.rows;
  const auto row_bytes = static_cast<uint64_t>(RowBytes(DType::kF32, as.cols));
  Bytes codes, scales, zeros;
  std::vector<float> values;
  const auto make = [&](int64_t first, int64_t count) -> absl::StatusOr<ByteSpan> {
    // Whole bytes, in the first and last of which there may be bits of other rows.
    const auto fetch = [&](const DequantizedWeight::Region& from, int64_t row_bits,
                           Bytes& into) -> absl::Status {
      const int64_t begin = first * row_bits / 8, end = ((first + count) * row_bits + 7) / 8;
      into.resize(static_cast<size_t>(end - begin));
      if (into.empty()) return absl::OkStatus();
      return from.file->ReadAt(from.offset + static_cast<uint64_t>(begin), into);
    };
    QF_RETURN_IF_ERROR(fetch(weight.values, 8 * as.code_bytes(), codes));
    QF_RETURN_IF_ERROR(fetch(weight.scales, 8 * as.scale_bytes(), scales));
    QF_RETURN_IF_ERROR(fetch(weight.zeros, as.zero_bits(), zeros));
    values.resize(static_cast<size_t>(count * as.cols));
    DecodeCodeRows(as, codes.data(), scales.data(), zeros.data(), first, count, values.data());
    return std::as_bytes(std::span(values));
  };
  return CopyFromWholeRows(row_bytes, static_cast<int64_t>(kBytesAtOnce / row_bytes), offset, out,
                           make);
}

void DequantizedSource::Release(size_t tensor, uint64_t offset, uint64_t size) const {
  if (tensor >= weights_.size()) return;
  const DequantizedWeight& weight = weights_[tensor];
  if (!weight.rows) weight.values.file->DropCache(weight.values.offset + offset, size);
  // Codes are a fraction of what is made of them: they may stay.
}

}  // namespace quantfleet::pipeline
