#include "pipeline/stage/fold.h"

#include <utility>

namespace quantfleet::pipeline {
namespace {

class FoldedMoments final : public SecondMoments {
 public:
  static absl::StatusOr<std::shared_ptr<const SecondMoments>> Of(
      std::shared_ptr<const SecondMoments> moments, const Fold& fold) {
    auto made = std::make_shared<FoldedMoments>();
    std::vector<bool> known;
    for (size_t piece = 0; piece < fold.pieces.size(); ++piece) {
      const int64_t input = moments->InputOf(piece);
      if (input < 0) continue;
      const auto at = static_cast<size_t>(input);
      if (at >= known.size()) known.resize(at + 1), made->factors_.resize(at + 1);
      const Fold::Factors& factors = fold.pieces[piece].columns;
      if (known[at] && made->factors_[at] != factors)
        return InvalidArgument(
            "'{}' is shared by weights that have no input in common: was the file made from "
            "another model?",
            moments->NameOf(input));
      known[at] = true;
      made->factors_[at] = factors;
    }
    made->moments_ = std::move(moments);
    return std::shared_ptr<const SecondMoments>(std::move(made));
  }

  const Digest& digest() const override { return moments_->digest(); }
  int64_t InputOf(size_t piece) const override { return moments_->InputOf(piece); }
  const std::string& NameOf(int64_t input) const override { return moments_->NameOf(input); }

  absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const override {
    QF_RETURN_IF_ERROR(moments_->Read(input, first, out));
    const Fold::Factors& of = factors_[static_cast<size_t>(input)];
    if (of == nullptr) return absl::OkStatus();
    const std::vector<float>& factors = *of;
    uint64_t row = 0;
    while ((row + 1) * (row + 2) / 2 <= first) ++row;
    uint64_t column = first - row * (row + 1) / 2;
    for (float& value : out) {
      value = value / factors[row] / factors[column];
      if (++column > row) ++row, column = 0;
    }
    return absl::OkStatus();
  }

 private:
  std::shared_ptr<const SecondMoments> moments_;
  std::vector<Fold::Factors> factors_;  // by input
};

std::shared_ptr<const Importance> FoldedImportance(const Importance& importance, const Fold& fold) {
  auto folded = std::make_shared<Importance>(importance);
  for (size_t piece = 0; piece < folded->columns.size(); ++piece) {
    const Fold::Factors& factors = FactorsOf(&fold, piece).columns;
    std::vector<float>& means = folded->columns[piece];
    if (factors == nullptr || means.empty()) continue;
    for (size_t c = 0; c < means.size(); ++c) means[c] = means[c] / (*factors)[c] / (*factors)[c];
  }
  return folded;
}

}  // namespace

Fold FoldBy(const ModelDescription& model, const std::vector<FoldSite>& sites,
            const std::vector<std::vector<float>>& scales) {
  Fold fold;
  fold.sites = sites.size();
  fold.pieces.resize(model.pieces.size());
  Sha256 hash;
  hash.Update(AsBytes("quantfleet fold 1\n"));
  for (size_t at = 0; at < sites.size(); ++at) {
    if (scales[at].empty()) continue;
    ++fold.folded;
    hash.Update(AsBytes(NameOf(sites[at]) + "\n"));
    hash.Update(std::as_bytes(std::span(scales[at])));
    std::vector<float> rows, columns;
    for (const float scale : scales[at]) rows.push_back(1.f / scale);
    const int64_t cols = model.pieces[sites[at].consumers.front()].cols;
    for (int64_t c = 0; c < cols; ++c) columns.push_back(scales[at][sites[at].NumberOf(c)]);
    const auto of_rows = std::make_shared<const std::vector<float>>(std::move(rows)),
               of_columns = std::make_shared<const std::vector<float>>(std::move(columns));
    for (const uint32_t piece : sites[at].producers) fold.pieces[piece].rows = of_rows;
    for (const uint32_t piece : sites[at].consumers) fold.pieces[piece].columns = of_columns;
  }
  fold.digest = hash.Finish();
  return fold;
}

void ApplyFold(const Fold::OfPiece& factors, float lacks, int64_t row, int64_t rows, int64_t cols,
               float* values) {
  for (int64_t r = 0; r < rows; ++r, values += cols) {
    const float of_row = factors.rows ? (*factors.rows)[static_cast<size_t>(row + r)] : 1.f;
    for (int64_t c = 0; c < cols; ++c) {
      const float of_column = factors.columns ? (*factors.columns)[static_cast<size_t>(c)] : 1.f;
      values[c] = (values[c] + lacks) * of_column * of_row - lacks;
    }
  }
}

absl::StatusOr<Calibration> Folded(const Calibration& calibration, const Fold& fold) {
  Calibration folded = calibration;
  folded.ranges = nullptr;
  if (calibration.importance != nullptr)
    folded.importance = FoldedImportance(*calibration.importance, fold);
  if (calibration.moments != nullptr) {
    QF_ASSIGN_OR_RETURN(folded.moments, FoldedMoments::Of(calibration.moments, fold));
  }
  return folded;
}

}  // namespace quantfleet::pipeline
