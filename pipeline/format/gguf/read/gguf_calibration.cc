#include "pipeline/format/gguf/read/gguf_calibration.h"

#include <boost/json.hpp>
#include <map>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/file_digest.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/format/gguf/read/gguf_importance.h"
#include "pipeline/model/source_sample.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxOriginBytes = uint64_t{1} << 20, kMaxRangesBytes = uint64_t{64} << 20;
constexpr std::string_view kOriginFile = "calibration.json";
constexpr std::string_view kImportanceFile = "importance.gguf",
                           kMomentsFile = "second_moments.gguf", kRangesFile = "ranges.json",
                           kMoments = ".in_xx", kShared = "quantfleet.shared_inputs";

class GgufSecondMoments : public SecondMoments {
 public:
  static absl::StatusOr<std::shared_ptr<const SecondMoments>> Open(FileSystem& files,
                                                                   const fs::path& path,
                                                                   const ModelDescription& model) {
    auto made = std::make_shared<GgufSecondMoments>();
    QF_ASSIGN_OR_RETURN(made->data_, files.Open(path, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(made->digest_, DigestOf(*made->data_));
    QF_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Read(*made->data_, path.string()));
    QF_ASSIGN_OR_RETURN(const auto type, file.Text("general.type"));
    if (type.value_or("") != "second_moments")
      return InvalidArgument(
          "{} is not a file of second moments: its general.type is '{}' instead of "
          "'second_moments'",
          file.name(), type.value_or(""));
    QF_RETURN_IF_ERROR(made->Index(file, model));
    return std::shared_ptr<const SecondMoments>(std::move(made));
  }

  const Digest& digest() const override { return digest_; }
  int64_t InputOf(size_t piece) const override {
    return piece < of_piece_.size() ? of_piece_[piece] : -1;
  }
  const std::string& NameOf(int64_t input) const override { return inputs_[input].name; }

  absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const override {
    return data_->ReadAt(inputs_[input].offset + first * sizeof(float),
                         std::as_writable_bytes(out));
  }

 private:
  struct Input {
    std::string name;
    uint64_t offset;
  };

  absl::Status Index(const GgufFile& file, const ModelDescription& model) {
    std::map<std::string, std::string, std::less<>> shared;
    QF_ASSIGN_OR_RETURN(const std::vector<std::string>* lines, file.Strings(kShared));
    if (lines != nullptr) {
      for (const std::string& line : *lines) {
        const size_t equals = line.find('=');
        if (equals == std::string::npos)
          return InvalidArgument("{}: {} has '{}', which is not of the form OTHER=NAME",
                                 file.name(), kShared, line);
        shared.emplace(line.substr(0, equals), line.substr(equals + 1));
      }
    }
    std::map<std::string, int64_t, std::less<>> numbers;
    for (const Piece& piece : model.pieces) {
      int64_t& input = of_piece_.emplace_back(-1);
      if (piece.dims != 2) continue;
      std::string name = NameFor(model, piece);
      if (const auto other = shared.find(name); other != shared.end()) name = other->second;
      const GgufTensor* tensor = file.FindTensor(name + std::string(kMoments));
      if (tensor == nullptr) continue;
      const auto cols = static_cast<uint64_t>(piece.cols);
      if (tensor->dtype != DType::kF32 || tensor->size != cols * (cols + 1) / 2 * sizeof(float))
        return InvalidArgument(
            "{}: '{}' has {} bytes of {}, but the model's tensor has {} columns and needs {} "
            "values of f32: was the file made from another model?",
            file.name(), tensor->name, tensor->size, Info(tensor->dtype).name, cols,
            cols * (cols + 1) / 2);
      const auto [it, is_new] = numbers.emplace(tensor->name, static_cast<int64_t>(inputs_.size()));
      if (is_new) inputs_.push_back({tensor->name, tensor->offset});
      input = it->second;
    }
    if (inputs_.empty())
      return InvalidArgument(
          "{} names none of this {} model's tensors: it was made from another model", file.name(),
          model.family->name);
    return absl::OkStatus();
  }

  // Experts have one each.
  static std::string NameFor(const ModelDescription& model, const Piece& piece) {
    std::string name = HoldingTensorName(*model.family, Dialect::kGguf, piece.role, piece.layer);
    if (StacksExperts(*model.family, Dialect::kGguf, piece.role))
      name += fmt::format(".{}", piece.expert);
    return name;
  }

  std::unique_ptr<File> data_;
  Digest digest_;
  std::vector<Input> inputs_;
  std::vector<int64_t> of_piece_;
};

absl::StatusOr<Digest> DigestIn(const json::object& origin, std::string_view key,
                                const fs::path& path) {
  const json::value* value = origin.if_contains(key);
  if (value == nullptr || !value->is_string())
    return InvalidArgument("{} is not a description of a calibration: it names no {}",
                           path.string(), key);
  auto digest = Digest::FromHexText(std::string_view(value->get_string()));
  if (!digest.ok()) return Annotate(digest.status(), path.string());
  return *digest;
}

// The digest of what was calibrated, as the folder says it, once `model` is found to be that as far
// as a sample tells.
absl::StatusOr<std::optional<Digest>> SourceOf(FileSystem& files, const fs::path& folder,
                                               const ModelSource& model) {
  const fs::path path = folder / kOriginFile;
  if (!files.Exists(path)) return std::nullopt;
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxOriginBytes));
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object none, &origin = parsed.is_object() ? parsed.get_object() : none;
  QF_ASSIGN_OR_RETURN(const Digest source, DigestIn(origin, "source_digest", path));
  const json::value* complete = origin.if_contains("complete");
  if (complete == nullptr || !complete->is_bool() || !complete->get_bool())
    return InvalidArgument(
        "{} is not complete: run `quantfleet calibrate` with the same arguments and --resume",
        folder.string());
  if (!origin.contains("source_sample")) return source;
  QF_ASSIGN_OR_RETURN(const Digest expected, DigestIn(origin, "source_sample", path));
  QF_ASSIGN_OR_RETURN(const Digest sample, SourceSampleOf(model));
  if (sample != expected)
    return FailedPrecondition(
        "the calibration in {} is of another model, whose source digest is {}: calibrate this one",
        folder.string(), source.hex());
  return source;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SecondMoments>> OpenSecondMoments(
    FileSystem& files, const fs::path& path, const ModelDescription& model) {
  return GgufSecondMoments::Open(files, path, model);
}

absl::StatusOr<Calibration> OpenCalibration(FileSystem& files, const fs::path& folder,
                                            const ModelSource& model, bool with_moments) {
  Calibration calibration;
  QF_ASSIGN_OR_RETURN(calibration.source, SourceOf(files, folder, model));
  QF_ASSIGN_OR_RETURN(Importance read,
                      ReadImportance(files, folder / kImportanceFile, model.description()));
  calibration.importance = std::make_shared<const Importance>(std::move(read));
  if (const fs::path path = folder / kRangesFile; files.Exists(path)) {
    QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxRangesBytes));
    auto ranges = ParseActivationRanges(text);
    if (!ranges.ok()) return Annotate(ranges.status(), path.string());
    calibration.ranges = std::make_shared<const ActivationRanges>(*std::move(ranges));
  }
  if (!with_moments) return calibration;
  if (!files.Exists(folder / kMomentsFile))
    return InvalidArgument(
        "{} has no {}: calibrate with --second-moments, or choose --rounding search",
        folder.string(), kMomentsFile);
  QF_ASSIGN_OR_RETURN(calibration.moments,
                      OpenSecondMoments(files, folder / kMomentsFile, model.description()));
  return calibration;
}

}  // namespace quantfleet::pipeline
