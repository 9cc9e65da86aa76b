#include "pipeline/stage/choose_fold.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>

#include "pipeline/family/fold_sites.h"
#include "pipeline/stage/row_sample.h"
#include "pipeline/stage/sample_error.h"
#include "pipeline/stage/workers.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::pipeline {
namespace {

// What errors are measured in, whatever is made: folds help four bits alike, and the choice does
// not depend on a command's other targets.
constexpr DType kMeasure = DType::kQ4_0;
// Rows that are rounded, of all of a site's consumers together, and experts whose rows they are.
constexpr int64_t kRows = 96, kExperts = 8;
// Powers of E[x^2] are eighths of x's, by square roots, which are the same everywhere: 0 to 5/8.
constexpr int kPowers = 6;
// Norms and scales are halves in most targets.
constexpr float kMostScale = 64.f, kLeastPart = 1e-6f;

// Powers of each number's size, each centered, `kPowers - 1` of them from the second on; empty
// where nothing is known.
std::vector<std::vector<float>> ScalesOf(const std::vector<float>& squares) {
  double sum = 0;
  for (const float square : squares) sum += square;
  const auto mean = static_cast<float>(sum / static_cast<double>(squares.size()));
  if (!(mean > 0.f) || !std::isfinite(mean)) return {};
  std::vector<std::vector<float>> scales;
  for (int power = 1; power < kPowers; ++power) {
    std::vector<float>& of = scales.emplace_back();
    for (const float square : squares) {
      const float root =
          std::sqrt(std::sqrt(std::sqrt(std::sqrt(std::max(square / mean, kLeastPart)))));
      float scale = 1.f;
      for (int i = 0; i < power; ++i) scale *= root;
      of.push_back(scale);
    }
    const auto [least, most] = std::ranges::minmax_element(of);
    const float center = std::sqrt(*least * *most);
    for (float& scale : of) scale = std::clamp(scale / center, 1.f / kMostScale, kMostScale);
  }
  return scales;
}

class SiteMeasure {
 public:
  SiteMeasure(const ModelSource& source, const Importance& importance, const SecondMoments* moments,
              const FoldSite& site)
      : source_(source), importance_(importance), moments_(moments), site_(site) {}

  // The scales of least error; empty: the site stays as it is.
  absl::StatusOr<std::vector<float>> Choose() {
    const ModelDescription& model = source_.description();
    for (const std::vector<uint32_t>* pieces : {&site_.producers, &site_.consumers})
      for (const uint32_t piece : *pieces)
        if (IsQuantized(model.tensors[model.pieces[piece].tensor])) return std::vector<float>();
    const std::vector<float> squares = Squares();
    if (squares.empty()) return std::vector<float>();
    std::vector<std::vector<float>> scales = ScalesOf(squares);
    std::vector<uint32_t> measured = Measured();
    std::ranges::sort(measured, {},
                      [&](uint32_t piece) { return std::pair(InputOf(piece), piece); });
    if (scales.empty() || measured.empty()) return std::vector<float>();
    std::vector<double> errors(kPowers, 0);
    for (const uint32_t piece : measured)
      QF_RETURN_IF_ERROR(
          Measure(piece, kRows / static_cast<int64_t>(measured.size()), scales, errors));
    size_t best = 0;
    for (size_t power = 1; power < errors.size(); ++power)
      if (errors[power] < errors[best]) best = power;
    return best == 0 ? std::vector<float>() : std::move(scales[best - 1]);
  }

  // Memory that choosing takes.
  static uint64_t MemoryFor(const ModelDescription& model, const FoldSite& site, bool feedback) {
    const int64_t cols = model.pieces[site.consumers.front()].cols;
    return (feedback ? ColumnFactor::Bytes(cols) + ProductErrorBytes(kRows, cols) : 0) +
           static_cast<uint64_t>(kRows * cols) * 5 * sizeof(float);
  }

 private:
  // Of the numbers: of heads that share one the mean.
  std::vector<float> Squares() const {
    for (const uint32_t piece : site_.consumers) {
      const float* means = importance_.Of(piece);
      if (means == nullptr) continue;
      std::vector<float> squares(static_cast<size_t>(site_.width), 0.f);
      for (int64_t c = 0; c < source_.description().pieces[piece].cols; ++c)
        squares[site_.NumberOf(c)] += means[c];
      return squares;
    }
    return {};
  }

  // Consumers that four bits hold; a router stays as it is.
  std::vector<uint32_t> Measured() const {
    const ModelDescription& model = source_.description();
    const int64_t step = std::max<int64_t>(model.hyper.experts / kExperts, 1);
    std::vector<uint32_t> measured;
    for (const uint32_t index : site_.consumers) {
      const Piece& piece = model.pieces[index];
      if (piece.role == Role::kFfnRouter || piece.cols % Info(kMeasure).block_elements != 0)
        continue;
      if (site_.expert < 0 && piece.expert > 0 && piece.expert % step != 0) continue;
      if (importance_.Of(index) != nullptr) measured.push_back(index);
    }
    return measured;
  }

  absl::Status Measure(uint32_t index, int64_t wanted,
                       const std::vector<std::vector<float>>& scales, std::vector<double>& errors) {
    QF_ASSIGN_OR_RETURN(const RowSample sample, SampleRows(source_, index, wanted));
    QF_RETURN_IF_ERROR(TakeFactor(InputOf(index), sample.cols));
    for (size_t power = 0; power < errors.size(); ++power)
      errors[power] +=
          Lost(sample, importance_.Of(index), power == 0 ? nullptr : &scales[power - 1]) *
          static_cast<double>(sample.of) / static_cast<double>(sample.rows);
    return absl::OkStatus();
  }

  int64_t InputOf(uint32_t piece) const {
    return moments_ == nullptr ? -1 : moments_->InputOf(piece);
  }

  // One for all that share the input; none where its moments do not allow feedback, which the pass
  // tells of.
  absl::Status TakeFactor(int64_t input, int64_t cols) {
    if (input == factor_input_) return absl::OkStatus();
    factor_.reset();
    factor_input_ = input;
    if (input < 0) return absl::OkStatus();
    divided_.assign(static_cast<size_t>(cols), 1.f);
    auto built = ColumnFactor::Build(cols, [&](uint64_t first, std::span<float> out) {
      return moments_->Read(input, first, out);
    });
    if (absl::IsFailedPrecondition(built.status())) return absl::OkStatus();
    if (!built.ok()) return Annotate(built.status(), fmt::format("'{}'", moments_->NameOf(input)));
    factor_ = *std::move(built);
    return absl::OkStatus();
  }

  // What the rows' products lose with columns multiplied by `scales`; null: as they are.
  double Lost(const RowSample& sample, const float* importance, const std::vector<float>* scales) {
    const int64_t rows = sample.rows, cols = sample.cols;
    const auto scale = [&](int64_t c) {
      return scales == nullptr ? 1.f : (*scales)[site_.NumberOf(c)];
    };
    std::vector<float> scaled(sample.values), weights(static_cast<size_t>(cols));
    for (int64_t c = 0; c < cols; ++c) {
      weights[c] = importance[c] / scale(c) / scale(c);
      for (int64_t r = 0; r < rows; ++r) scaled[r * cols + c] *= scale(c);
    }
    Bytes blocks(static_cast<size_t>(rows * RowBytes(kMeasure, cols)));
    rounder_.Search(*FindBlockGrid(kMeasure), scaled.data(), rows, cols, weights.data(),
                    blocks.data());
    if (factor_) {
      std::vector<float> by(static_cast<size_t>(cols));
      for (int64_t c = 0; c < cols; ++c) by[c] = scale(c) / divided_[c], divided_[c] = scale(c);
      factor_->DivideInput(by);
      rounder_.FeedBack(*FindBlockGrid(kMeasure), *factor_, scaled.data(), rows, cols,
                        blocks.data());
    }
    std::vector<float> difference(scaled.size());
    FindCodec(kMeasure)->decode(blocks.data(), rows * cols, difference.data());
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = scaled[i] - difference[i];
    return factor_ ? ProductError(difference, cols, importance, &*factor_)
                   : ProductError(difference, cols, weights.data(), nullptr);
  }

  const ModelSource& source_;
  const Importance& importance_;
  const SecondMoments* moments_;
  const FoldSite& site_;
  Rounder rounder_;
  // Of the input that was measured last, whose columns are divided by `divided_`.
  std::optional<ColumnFactor> factor_ = {};
  int64_t factor_input_ = -1;
  std::vector<float> divided_ = {};
};

class Choice {
 public:
  Choice(const ModelSource& source, const Importance& importance, const SecondMoments* moments,
         const FoldOptions& options)
      : source_(source),
        importance_(importance),
        moments_(moments),
        options_(options),
        sites_(FoldSitesOf(source.description())),
        scales_(sites_.size()) {}

  absl::StatusOr<std::shared_ptr<const Fold>> Run() {
    QF_ASSIGN_OR_RETURN(const int workers, Workers());
    RunWorkers(workers, [this] { Work(); });
    if (!failure_.ok()) return failure_;
    return std::make_shared<const Fold>(FoldBy(source_.description(), sites_, scales_));
  }

 private:
  absl::StatusOr<int> Workers() const {
    uint64_t each = 1;
    for (const FoldSite& site : sites_)
      each =
          std::max(each, SiteMeasure::MemoryFor(source_.description(), site, moments_ != nullptr));
    each += source_.scratch_bytes();
    if (options_.memory_bytes < each)
      return ResourceExhausted("a memory budget of {} is too small: choosing folds needs {}",
                               HumanBytes(options_.memory_bytes), HumanBytes(each));
    const auto wanted = static_cast<uint64_t>(ThreadsWanted(options_.threads));
    return static_cast<int>(std::min<uint64_t>(
        {options_.memory_bytes / each, wanted, std::max<uint64_t>(sites_.size(), 1)}));
  }

  // A thread's whole life; no exception leaves it.
  void Work() {
    try {
      for (size_t at = next_++; at < sites_.size() && !failed_; at = next_++) {
        if (options_.stop.stop_requested()) return Fail(at, Cancelled("stopped"));
        auto chosen = SiteMeasure(source_, importance_, moments_, sites_[at]).Choose();
        if (!chosen.ok()) return Fail(at, Annotate(chosen.status(), NameOf(sites_[at])));
        scales_[at] = *std::move(chosen);
        const std::lock_guard lock(mutex_);
        ++done_;
        if (options_.on_progress) options_.on_progress(done_, sites_.size());
      }
    } catch (const std::bad_alloc&) {
      Fail(sites_.size(), ResourceExhausted("out of memory: use fewer threads"));
    } catch (const std::exception& error) {
      Fail(sites_.size(), Internal("choosing folds failed: {}", error.what()));
    }
  }

  // Of several errors that of the first site is reported.
  void Fail(size_t site, absl::Status status) {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    if (!failure_.ok() && failed_site_ <= site) return;
    failure_ = std::move(status);
    failed_site_ = site;
  }

  const ModelSource& source_;
  const Importance& importance_;
  const SecondMoments* moments_;
  const FoldOptions& options_;
  const std::vector<FoldSite> sites_;
  std::vector<std::vector<float>> scales_;  // each written by the worker that took the site
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;  // guards what follows, while workers run
  uint64_t done_ = 0;
  absl::Status failure_;
  size_t failed_site_ = 0;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Fold>> ChooseFold(const ModelSource& source,
                                                       const Calibration& calibration,
                                                       const FoldOptions& options) {
  return Choice(source, *calibration.importance, calibration.moments.get(), options).Run();
}

}  // namespace quantfleet::pipeline
