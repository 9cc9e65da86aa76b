#include "pipeline/stage/executor.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "common/base/fail_point.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/family/family.h"
#include "pipeline/stage/geometry.h"
#include "pipeline/stage/plan_chunks.h"
#include "pipeline/stage/slab_worker.h"
#include "pipeline/stage/workers.h"

namespace quantfleet::pipeline {
namespace {

class Execution {
 public:
  Execution(const ModelSource& source, const Plan& plan, ChunkSink& sink,
            const ExecutorOptions& options, std::vector<PieceJob> jobs)
      : source_(source),
        plan_(plan),
        sink_(sink),
        options_(options),
        jobs_(std::move(jobs)),
        buffers_(BuffersFor(plan, jobs_)),
        factors_(plan.calibration.moments.get()),
        records_(plan.slabs.size()) {
    progress_.slabs_total = plan.slabs.size();
    progress_.bytes_total = plan.source_bytes;
    for (const TargetPlan& target : plan.targets) digests_.emplace_back(target.chunks.size());
  }

  absl::StatusOr<ExecutorResult> Run() {
    QF_ASSIGN_OR_RETURN(const int workers, Workers());
    factors_.SetSlots(FactorSlots(workers));
    QF_RETURN_IF_ERROR(StoreFixed());
    RunWorkers(workers, [this] { Work(); });
    if (!failure_.ok()) return failure_;
    return Result();
  }

 private:
  absl::StatusOr<int> Workers() const {
    const uint64_t each = WorkerBytes(), shared = FactorBytes(jobs_);
    if (options_.memory_bytes < each + shared)
      return InvalidArgument("a memory budget of {} is too small: this plan needs at least {}{}",
                             HumanBytes(options_.memory_bytes), HumanBytes(each + shared),
                             shared == 0 ? "" : ", or another rounding than feedback");
    const uint64_t fit = (options_.memory_bytes - shared) / each;
    const auto wanted = static_cast<uint64_t>(ThreadsWanted(options_.threads));
    return static_cast<int>(
        std::min<uint64_t>({fit, wanted, std::max<uint64_t>(plan_.slabs.size(), 1)}));
  }

  uint64_t WorkerBytes() const {
    return buffers_.total() + sink_.scratch_bytes() + source_.scratch_bytes();
  }

  // Factors at a time: one for each worker, as far as memory goes, which is one at least.
  size_t FactorSlots(int workers) const {
    const uint64_t each = FactorBytes(jobs_),
                   of_workers = WorkerBytes() * static_cast<uint64_t>(workers);
    if (each == 0) return 0;
    return static_cast<size_t>(std::clamp<uint64_t>((options_.memory_bytes - of_workers) / each, 1,
                                                    static_cast<uint64_t>(workers)));
  }

  bool Stopped() const {
    return failed_.load(std::memory_order_relaxed) || options_.stop.stop_requested();
  }

  // Headers and attachments: known bytes, stored again by each run, since chunks are named by
  // content.
  absl::Status StoreFixed() {
    for (uint32_t t = 0; t < plan_.targets.size(); ++t) {
      const TargetPlan& target = plan_.targets[t];
      for (uint32_t c = 0; c < target.chunks.size(); ++c) {
        const PlannedChunk& chunk = target.chunks[c];
        if (chunk.piece >= 0) continue;
        if (options_.stop.stop_requested()) return Cancelled("stopped");
        const ByteSpan plain = FixedOf(target.layout.files[chunk.file], chunk);
        digests_[t][c] = HashBytes(plain);
        QF_RETURN_IF_ERROR(Annotate(sink_.Store(t, chunk, digests_[t][c], plain, 1),
                                    target.layout.files[chunk.file].path));
        progress_.bytes_written += chunk.size;
      }
    }
    return absl::OkStatus();
  }

  static ByteSpan FixedOf(const OutputFile& file, const PlannedChunk& chunk) {
    for (const FixedBytes& fixed : file.fixed)
      if (chunk.offset >= fixed.offset &&
          chunk.offset + chunk.size <= fixed.offset + fixed.bytes.size())
        return AsBytes(fixed.bytes).subspan(chunk.offset - fixed.offset, chunk.size);
    return {};
  }

  // A thread's whole life; no exception leaves it.
  void Work() {
    try {
      SlabWorker worker(source_, plan_, jobs_, buffers_, factors_, sink_,
                        [this] { return Stopped(); });
      for (size_t slab = next_++; slab < plan_.slabs.size(); slab = next_++) {
        if (options_.stop.stop_requested()) return Fail(slab, Cancelled("stopped"));
        if (failed_) return;
        if (absl::Status status = Handle(worker, slab); !status.ok()) return Fail(slab, status);
      }
    } catch (const std::bad_alloc&) {
      Fail(plan_.slabs.size(),
           ResourceExhausted("out of memory: use a smaller memory budget or fewer threads"));
    } catch (const std::exception& error) {
      Fail(plan_.slabs.size(), Internal("quantizing failed: {}", error.what()));
    }
  }

  absl::Status Handle(SlabWorker& worker, size_t slab) {
    const uint64_t encoded_before = worker.values_encoded();
    const SlabRecord* recorded = options_.journal ? options_.journal->Find(slab) : nullptr;
    if (recorded) {
      QF_RETURN_IF_ERROR(CheckRecord(slab, *recorded));
      records_[slab] = *recorded;
    } else {
      QF_ASSIGN_OR_RETURN(records_[slab], worker.Process(plan_.slabs[slab]));
      FailPoint("slab-before-record");
      if (options_.journal) QF_RETURN_IF_ERROR(options_.journal->Record(slab, records_[slab]));
      FailPoint("slab-after-record");
    }
    Advance(slab, recorded != nullptr, worker.values_encoded() - encoded_before);
    return absl::OkStatus();
  }

  // A record of another plan must not end in a manifest.
  absl::Status CheckRecord(size_t index, const SlabRecord& record) const {
    const Slab& slab = plan_.slabs[index];
    const PieceJob& job = jobs_[slab.piece];
    const auto pieces_of = [&](int64_t rows) {
      return static_cast<size_t>((slab.rows + rows - 1) / rows);
    };
    size_t chunks = 0;
    for (const PieceEncoding& encoding : job.encodings)
      for (const PieceOutput& output : encoding.outputs) chunks += pieces_of(output.chunk_rows);
    bool fits =
        record.chunks.size() == chunks && record.source_blocks.size() == pieces_of(job.block_rows);
    for (const SlabRecord::Chunk& chunk : record.chunks) {
      fits = fits && chunk.target < plan_.targets.size() &&
             chunk.index < plan_.targets[chunk.target].chunks.size();
      if (!fits) break;
      const PlannedChunk& planned = plan_.targets[chunk.target].chunks[chunk.index];
      fits = planned.piece == static_cast<int32_t>(slab.piece) &&
             planned.first_row >= slab.first_row &&
             planned.first_row + planned.rows <= slab.first_row + slab.rows;
    }
    if (fits) return absl::OkStatus();
    return FailedPrecondition(
        "the record of slab {} does not belong to this plan: start the job again", index);
  }

  void Advance(size_t slab, bool resumed, uint64_t encoded) {
    const std::lock_guard lock(mutex_);
    ++progress_.slabs_done;
    progress_.slabs_resumed += resumed;
    progress_.values_encoded += encoded;
    const auto bytes = static_cast<uint64_t>(plan_.slabs[slab].rows *
                                             jobs_[plan_.slabs[slab].piece].source_row_bytes);
    progress_.bytes_read += bytes;
    if (resumed) progress_.bytes_resumed += bytes;
    for (const SlabRecord::Chunk& chunk : records_[slab].chunks) {
      digests_[chunk.target][chunk.index] = chunk.digest;
      progress_.bytes_written += plan_.targets[chunk.target].chunks[chunk.index].size;
    }
    if (options_.on_progress) options_.on_progress(progress_);
  }

  // Of several errors that of the first slab is reported, and a real one before those that stopping
  // causes.
  void Fail(size_t slab, absl::Status status) {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    const bool better =
        failure_.ok() || (absl::IsCancelled(failure_) && !absl::IsCancelled(status)) ||
        (slab < failed_slab_ && absl::IsCancelled(failure_) == absl::IsCancelled(status));
    if (!better) return;
    failure_ = std::move(status);
    failed_slab_ = slab;
  }

  absl::StatusOr<ExecutorResult> Result() {
    Sha256 source;
    for (const SlabRecord& record : records_)
      for (const Digest& block : record.source_blocks) source.Update(block.span());
    const Digest source_digest = source.Finish();
    if (const auto& calibrated = plan_.calibration.source;
        calibrated && *calibrated != source_digest)
      return FailedPrecondition(
          "the calibration is of another model: its source digest is {}, this model's {}; "
          "calibrate this one",
          calibrated->hex(), source_digest.hex());
    ExecutorResult result{{}, source_digest, progress_, Notes()};
    for (size_t t = 0; t < plan_.targets.size(); ++t)
      result.manifests.push_back(ManifestOf(t, source_digest));
    return result;
  }

  std::vector<std::string> Notes() const {
    std::vector<std::string> notes = factors_.Notes();
    const auto name = [&](std::string_view what, const auto& concerns) {
      std::string names;
      int count = 0;
      for (const PieceJob& job : jobs_)
        if (std::ranges::any_of(job.encodings,
                                [&](const PieceEncoding& e) { return concerns(job, e); }) &&
            ++count <= 3)
          names += fmt::format("{}'{}'", count == 1 ? "" : ", ", job.tensor->name);
      if (count > 0)
        notes.push_back(fmt::format("{}: {}{}", what, names,
                                    count > 3 ? fmt::format(" and {} more", count - 3) : ""));
    };
    name("chosen by no token of the calibration, and rounded by what the other experts were given",
         [&](const PieceJob& job, const PieceEncoding& e) {
           const auto& all = plan_.calibration.importance;
           if (e.importance == nullptr || all == nullptr ||
               IsHead(source_.description(), *job.piece))
             return false;
           const auto it = all->stand_ins.find(static_cast<size_t>(&job - jobs_.data()));
           return it != all->stand_ins.end() && it->second.data() == e.importance;
         });
    name("without second moments, and so without feedback",
         [](const PieceJob& job, const PieceEncoding& e) {
           return e.wants_feedback && !e.feeds_back && RoundsTo(job, e.dtype, e.added) != nullptr;
         });
    name("of a type that is only rounded to the nearest",
         [](const PieceJob& job, const PieceEncoding& e) {
           return e.wants_feedback && !IsFloat(e.dtype) && e.dtype != job.tensor->dtype &&
                  RoundsTo(job, e.dtype, e.added) == nullptr;
         });
    return notes;
  }

  v1::Manifest ManifestOf(size_t index, const Digest& source_digest) const {
    const TargetPlan& target = plan_.targets[index];
    v1::Manifest manifest;
    manifest.set_format_version(1);
    manifest.mutable_source()->set_digest(source_digest.raw());
    manifest.mutable_source()->set_architecture(std::string(source_.description().family->name));
    manifest.mutable_source()->set_parameters(
        static_cast<uint64_t>(source_.description().Parameters()));
    manifest.mutable_target()->set_format(target.spec.format);
    manifest.mutable_target()->set_recipe(target.spec.recipe);
    for (std::string& clause : target.spec.clauses())
      manifest.mutable_target()->add_changes(std::move(clause));
    if (const Importance* importance = plan_.ImportanceFor(target.spec))
      manifest.mutable_target()->set_importance_digest(importance->digest.raw());
    // As changes of the recipe: agents that do not know a field of its own refuse the manifest.
    if (target.spec.rounding != Rounding::kNearest)
      manifest.mutable_target()->add_changes(RoundingChange(Name(target.spec.rounding)));
    if (const SecondMoments* moments = plan_.MomentsFor(target.spec))
      manifest.mutable_target()->add_changes(
          fmt::format("second-moments={}", moments->digest().hex()));
    if (target.layout.ranges)
      manifest.mutable_target()->add_changes(fmt::format("ranges={}", target.layout.ranges->hex()));
    if (plan_.fold) manifest.mutable_target()->add_changes(FoldChange(plan_.fold->digest));
    for (const OutputFile& file : target.layout.files) {
      v1::ArtifactFile& out = *manifest.add_files();
      out.set_path(file.path);
      out.set_size(file.size);
    }
    for (size_t c = 0; c < target.chunks.size(); ++c) {
      v1::Chunk& chunk =
          *manifest.mutable_files(static_cast<int>(target.chunks[c].file))->add_chunks();
      chunk.set_digest(digests_[index][c].raw());
      chunk.set_size(target.chunks[c].size);
    }
    *manifest.mutable_requirements()->mutable_memory() = target.layout.memory;
    if (source_.description().embedding) manifest.set_kind(v1::Manifest::KIND_EMBEDDING_MODEL);
    return manifest;
  }

  const ModelSource& source_;
  const Plan& plan_;
  ChunkSink& sink_;
  const ExecutorOptions& options_;
  const std::vector<PieceJob> jobs_;
  const WorkerBuffers buffers_;
  ColumnFactors factors_;

  std::vector<SlabRecord> records_;  // each written by the worker that took the slab
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;  // guards what follows, while workers run
  std::vector<std::vector<Digest>> digests_;
  Progress progress_;
  absl::Status failure_;
  size_t failed_slab_ = 0;
};

}  // namespace

absl::StatusOr<ExecutorResult> Execute(const ModelSource& source, const Plan& plan, ChunkSink& sink,
                                       const ExecutorOptions& options) {
  QF_ASSIGN_OR_RETURN(std::vector<PieceJob> jobs, JobsOf(source.description(), plan));
  return Execution(source, plan, sink, options, std::move(jobs)).Run();
}

absl::StatusOr<Digest> SourceDigestOf(const ModelSource& source, const ExecutorOptions& options) {
  class NoSink final : public ChunkSink {
   public:
    absl::Status Store(size_t, const PlannedChunk&, const Digest&, ByteSpan, int) override {
      return Internal("a chunk of no target");
    }
    uint64_t scratch_bytes() const override { return 0; }
  } sink;
  QF_ASSIGN_OR_RETURN(const Plan plan, PlanFromLayouts(source.description(), {}));
  QF_ASSIGN_OR_RETURN(const ExecutorResult result, Execute(source, plan, sink, options));
  return result.source_digest;
}

}  // namespace quantfleet::pipeline
