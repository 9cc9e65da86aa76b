// A calibration as a folder: what a model's layers are multiplied with on a text, and what it was
// made from (docs/quality.md).
//
//   importance.gguf      sums of each input's columns and of their squares
//   second_moments.gguf  X^T X of each input, where asked for
//   ranges.json          within what each activation is, where asked for
//   calibration.json     the model's digest, the text, and how far it is
//
// What is done lies in a hidden folder beside them until all of it is: a layer counts once its
// record is there, whose digests cover what belongs to it, so that a run that was killed resumes
// behind its last layer. One process at a time, and one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "engine/calibrate/layer_pass.h"
#include "pipeline/format/gguf/write/statistics_files.h"

namespace quantfleet::engine {

inline constexpr std::string_view kCalibrationFile = "calibration.json";
inline constexpr std::string_view kImportanceFile = "importance.gguf";
inline constexpr std::string_view kSecondMomentsFile = "second_moments.gguf";
inline constexpr std::string_view kRangesFile = "ranges.json";

inline constexpr std::string_view kSelfText = "self";  // written by the model

// What a calibration is made from; the same has the same files.
struct CalibrationOrigin {
  Digest source;             // of the model, as manifests have it
  Digest sample;             // of a sample of its weights (pipeline/model/source_sample.h)
  std::string architecture;  // its family
  std::string text;          // kSelfText, or the name of the file
  Digest text_digest;        // of the file's bytes; of "self" that of its tokens
  Digest tokens_digest;      // of all chunks
  uint64_t seed = 0;         // of "self"
  int64_t tokens = 0, chunk = 0;
  bool second_moments = false;
  bool ranges = false;

  Digest digest() const;
};

class CalibrationFolder {
 public:
  struct Options {
    bool replace = false;  // whatever is there
    bool resume = false;   // go on with what an earlier run has done
  };
  // Makes the folder and locks it. ALREADY_EXISTS: it holds a whole calibration;
  // FAILED_PRECONDITION: another process writes it, or it holds something else.
  static absl::StatusOr<std::unique_ptr<CalibrationFolder>> Open(FileSystem& files, fs::path path,
                                                                 Options options);

  // Whether the disk of `path`, which need not exist, has room for so many bytes.
  // RESOURCE_EXHAUSTED: it has not.
  static absl::Status CheckRoom(FileSystem& files, const fs::path& path, uint64_t bytes);

  // For what is of use until the calibration is whole; Finish removes it.
  fs::path scratch() const { return path_ / ".calibrating"; }
  const fs::path& path() const { return path_; }

  // Now the files can be begun, or resumed: the layers that are done. FAILED_PRECONDITION: what
  // there is to resume was made from another model, or from another text.
  absl::StatusOr<int> Begin(const pipeline::ModelDescription& model,
                            const CalibrationOrigin& origin);
  // The states behind the layers that Begin told of, if there are any.
  std::vector<float> TakeStates() { return std::move(states_); }

  absl::Status Keep(int layer, const std::vector<InputStatistics>& statistics,
                    std::vector<ActivationRange> ranges, std::span<const float> states);
  // All layers are kept: shows the files.
  absl::Status Finish();

 private:
  struct Record;

  CalibrationFolder(FileSystem& files, fs::path path, Options options)
      : files_(files), path_(std::move(path)), options_(options) {}
  absl::Status CheckOrigin(const CalibrationOrigin& origin) const;
  absl::Status Clear();
  absl::Status LayOutMoments(const pipeline::ModelDescription& model);
  absl::Status WriteStatus(bool complete);
  // nullopt: it is not there, not whole, or of something else.
  absl::StatusOr<std::optional<Record>> Load(const pipeline::ModelDescription& model,
                                             int layer) const;
  // Into states_; false: they are not whole.
  absl::StatusOr<bool> LoadStates(const Record& record);
  // Their digest.
  absl::StatusOr<Digest> WriteMoments(const std::vector<InputStatistics>& statistics);
  fs::path RecordPath(int layer) const { return scratch() / fmt::format("layer-{}", layer); }
  fs::path StatesPath(int layer) const { return scratch() / fmt::format("states-{}", layer); }

  FileSystem& files_;
  const fs::path path_;
  const Options options_;
  std::unique_ptr<FileLock> lock_;
  std::string status_;  // calibration.json as it was found; empty: there was none
  CalibrationOrigin origin_;
  int layers_ = 0, done_ = 0;
  std::vector<pipeline::ColumnStatistics> tensors_;  // of the layers that are done
  std::vector<ActivationRange> ranges_;              // of these too
  std::optional<Digest> ranges_digest_;              // of the file, once it is shown
  std::vector<float> states_;
  std::optional<pipeline::SecondMomentsLayout> layout_;
  std::unique_ptr<File> moments_;
};

}  // namespace quantfleet::engine
