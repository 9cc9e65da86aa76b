// Measures what the weights of a job's model are multiplied with, so that its codes can be chosen
// by what they do (docs/quality.md). A calibration is a folder, named by what determines it: a job
// that was killed goes on behind its last layer, and jobs of the same model, text and options share
// it. The worker's thread.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/model/source.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class Calibrator {
 public:
  // Tokens that are read where there are as many and memory holds them, and those without which
  // feedback makes things worse: then codes are chosen by search.
  static constexpr int64_t kTokens = 10'240, kLeastForFeedback = 4'096;

  struct Options {
    fs::path folder;  // of all calibrations, and of texts that came with jobs
    int threads = 0;
    uint64_t memory_bytes = 0;
  };
  Calibrator(FileSystem& files, const Clock& clock, Options options)
      : files_(files), clock_(clock), options_(std::move(options)) {}

  // ---- texts of jobs, by their digest
  absl::Status KeepText(const Digest& digest, std::string_view text);
  // FAILED_PRECONDITION: it is not there any more, or damaged; `name` is for the message.
  absl::StatusOr<std::string> TextOf(std::string_view name, std::string_view raw_digest);

  // ---- calibrations
  struct Model {
    const pipeline::ModelSource& source;
    const pipeline::ModelFiles& files;
    std::string identity;  // of the files: the same has the same weights
  };
  struct Planned {
    v1::JobCalibration calibration;    // with all that was open decided
    std::vector<int32_t> tokens = {};  // none, where the model writes them
    int64_t chunk = 0;
    std::vector<std::string> notes = {};  // for people
  };
  // What `wish` leaves open: how many tokens are read, and whether second moments are measured,
  // which `feedback` asks for. INVALID_ARGUMENT, UNIMPLEMENTED, RESOURCE_EXHAUSTED: this model
  // cannot be calibrated, or not in so little memory.
  absl::StatusOr<Planned> Plan(const Model& model, const v1::JobCalibration& wish, bool feedback);

  // How far a step is: copying the model, writing a text, the pass.
  using Tell = std::function<void(uint64_t done, uint64_t all)>;
  // The folder of the calibration, which may be there already. Of a job that knows the files'
  // digests, others are thrown away and made again.
  absl::StatusOr<fs::path> Make(const Model& model, const Planned& planned,
                                const std::stop_token& stop, const Tell& tell);

  fs::path FolderOf(const v1::JobCalibration& calibration) const {
    return options_.folder / calibration.folder();
  }
  // Removes all calibrations but those folders, and all texts but those digests. Bytes that this
  // frees, or would.
  absl::StatusOr<uint64_t> Collect(const std::set<std::string>& folders,
                                   const std::set<std::string>& raw_text_digests, bool dry_run);

 private:
  absl::Status Run(const Model& model, const Planned& planned, const std::stop_token& stop,
                   const Tell& tell);
  fs::path PathOfText(std::string_view raw_digest) const;

  FileSystem& files_;
  const Clock& clock_;
  const Options options_;
};

}  // namespace quantfleet::daemon
