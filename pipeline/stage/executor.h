// Runs a plan: reads each slab once, checks and decodes it strip by strip, feeds every target,
// seals chunks.
#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "common/base/digest.h"
#include "pipeline/stage/plan.h"
#include "pipeline/stage/slab_record.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

// Where sealed chunks go. Store is called from worker threads; the chunk is durable when it returns
// OK.
class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  virtual absl::Status Store(size_t target, const PlannedChunk& chunk, const Digest& digest,
                             ByteSpan plain, int element_bytes) = 0;
  // Memory that one Store needs besides the chunk (encoding and compression); counts against the
  // byte budget.
  virtual uint64_t scratch_bytes() const { return uint64_t{10} << 20; }
};

// Remembers finished slabs, so that a killed run can be resumed. Record is called from worker
// threads and is durable on return; Find is called before a slab is read.
class SlabJournal {
 public:
  virtual ~SlabJournal() = default;
  virtual absl::Status Record(size_t slab, const SlabRecord& record) = 0;
  virtual const SlabRecord* Find(size_t slab) const = 0;
};

// bytes_read and bytes_total count bytes of the source, bytes_written plain bytes of chunks;
// resumed slabs count as done.
struct Progress {
  uint64_t slabs_done = 0, slabs_total = 0, slabs_resumed = 0;
  uint64_t bytes_read = 0, bytes_total = 0, bytes_written = 0;
  uint64_t bytes_resumed = 0;  // of bytes_read, those of an earlier run
  // Values that this run encoded: once per element type, however many targets use the codes.
  uint64_t values_encoded = 0;
};

struct ExecutorOptions {
  int threads = 0;  // 0: as many as cores
  // Bounds what is in flight: fewer workers run when it is not enough for all; when it is not
  // enough for one, INVALID_ARGUMENT says how much that needs.
  uint64_t memory_bytes = 512u << 20;
  SlabJournal* journal = nullptr;
  std::function<void(const Progress&)> on_progress =
      {};                     // called from worker threads, one at a time
  std::stop_token stop = {};  // CANCELLED when it fires
};

struct ExecutorResult {
  std::vector<v1::Manifest> manifests;  // one per target
  Digest source_digest;                 // as they name it
  Progress progress;
  std::vector<std::string> notes;  // tensors that were not rounded as was asked: for people
};

// Errors name the tensor. FAILED_PRECONDITION: the source is not the plan's calibrated_source,
// which is known only when all of it was read. On error nothing that was stored is undone: chunks
// are content-addressed, and the caller decides.
absl::StatusOr<ExecutorResult> Execute(const ModelSource& source, const Plan& plan, ChunkSink& sink,
                                       const ExecutorOptions& options);

// The digest that manifests of this source name it by, when nothing is made of it: all its weights
// are read. Of `options` neither a journal nor anything about chunks counts.
absl::StatusOr<Digest> SourceDigestOf(const ModelSource& source, const ExecutorOptions& options);

// A printable, comparable digest of everything that fixes the plan (resume checks it).
Digest PlanDigest(const Plan& plan);

}  // namespace quantfleet::pipeline
