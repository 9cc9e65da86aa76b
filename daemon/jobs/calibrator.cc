#include "daemon/jobs/calibrator.h"

#include <algorithm>

#include "common/base/fail_point.h"
#include "daemon/fleet/calibration_texts.h"
#include "engine/calibrate/calibrate.h"
#include "engine/calibrate/chunks.h"
#include "engine/calibrate/preparation.h"
#include "pipeline/model/source_sample.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::daemon {
namespace {

using engine::CalibrationFolder;

constexpr int64_t kChunk = 512;  // tokens, or the model's context
constexpr uint64_t kSeed = 1;    // the same text each time
constexpr std::string_view kTexts = "texts";

bool IsSelf(const v1::JobCalibration& calibration) { return calibration.text() == kSelfText; }

// Chunks that memory holds, at most `most`.
int64_t ChunksFor(const pipeline::ModelDescription& model, int64_t chunk, int64_t most,
                  bool second_moments, uint64_t memory_bytes) {
  const engine::PassMemory one = engine::PassMemoryOf(model, chunk, chunk, second_moments);
  const uint64_t rest = one.buffers + one.statistics;
  if (memory_bytes < rest + one.states) return 0;
  return static_cast<int64_t>(
      std::min((memory_bytes - rest) / one.states, static_cast<uint64_t>(most)));
}

// What determines a calibration's files, and nothing else.
std::string FolderNameOf(const std::string& identity, const v1::JobCalibration& calibration,
                         int64_t chunk) {
  const std::string what = fmt::format("{}\n{}\n{}\n{} {} {} {}", identity, calibration.text(),
                                       ToHex(AsBytes(calibration.text_digest())), kSeed,
                                       calibration.tokens(), chunk, calibration.second_moments());
  return HashText(what).hex().substr(0, 32);
}

absl::StatusOr<uint64_t> BytesIn(FileSystem& files, const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    QF_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kRead));
    return file->Size();
  }
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(path));
  uint64_t size = 0;
  for (const std::string& name : names) {
    QF_ASSIGN_OR_RETURN(const uint64_t one, BytesIn(files, path / name));
    size += one;
  }
  return size;
}

}  // namespace

// ---- texts of jobs

fs::path Calibrator::PathOfText(std::string_view raw_digest) const {
  return options_.folder / kTexts / ToHex(AsBytes(raw_digest));
}

absl::Status Calibrator::KeepText(const Digest& digest, std::string_view text) {
  const fs::path path = PathOfText(digest.raw());
  QF_RETURN_IF_ERROR(files_.MakeFolder(path.parent_path()));
  return files_.WriteAtomically(path, AsBytes(text));
}

absl::StatusOr<std::string> Calibrator::TextOf(std::string_view name, std::string_view raw_digest) {
  const auto text = files_.ReadAll(PathOfText(raw_digest), kMaxCalibrationText);
  if (text.ok() && HashText(*text).raw() == raw_digest) return *text;
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  return FailedPrecondition(
      "the calibration text \"{}\" of this job is {}: submit another job with the text", name,
      text.ok() ? "damaged" : "not there any more");
}

// ---- calibrations

absl::StatusOr<Calibrator::Planned> Calibrator::Plan(const Model& model,
                                                     const v1::JobCalibration& wish,
                                                     bool feedback) {
  const pipeline::ModelDescription& description = model.source.description();
  Planned planned{.calibration = wish};
  v1::JobCalibration& calibration = planned.calibration;
  planned.chunk = std::min<int64_t>(kChunk, description.hyper.context);
  const int64_t chunk = planned.chunk;
  // Refuses models of a kind that has no layers to measure.
  QF_RETURN_IF_ERROR(engine::CostOf(description, chunk, chunk, false, UINT64_MAX).status());
  QF_ASSIGN_OR_RETURN(const auto tokenizer,
                      text::MakeTokenizer(description.tokenizer, description.name));
  if (IsSelf(calibration) && description.embedding)
    return InvalidArgument("{} makes embeddings and writes no text", description.name);

  const bool decided = calibration.tokens() > 0;
  const int64_t wanted =
      decided ? static_cast<int64_t>(calibration.tokens()) : (kTokens + chunk - 1) / chunk * chunk;
  if (!decided) calibration.set_second_moments(feedback);
  const auto fit = [&] {
    return chunk * ChunksFor(description, chunk, wanted / chunk, calibration.second_moments(),
                             options_.memory_bytes);
  };
  int64_t tokens = fit();
  const auto leave_feedback = [&](const std::string& why) {
    planned.notes.push_back(fmt::format(
        "{}, and feedback needs at least {}: codes are chosen by search", why, kLeastForFeedback));
    calibration.set_second_moments(false);
    tokens = fit();
  };
  if (!decided && calibration.second_moments() && tokens < kLeastForFeedback)
    leave_feedback(fmt::format("a memory budget of {} holds {} tokens with their second moments",
                               HumanBytes(options_.memory_bytes), tokens));
  if (tokens == 0 || (decided && tokens < wanted))
    return ResourceExhausted("calibrating takes more than a memory budget of {} for {} tokens",
                             HumanBytes(options_.memory_bytes), decided ? wanted : chunk);
  if (tokens < wanted)
    planned.notes.push_back(
        fmt::format("calibrated on {} tokens instead of {}: a memory budget of {} holds no more",
                    tokens, wanted, HumanBytes(options_.memory_bytes)));
  if (!IsSelf(calibration)) {
    QF_ASSIGN_OR_RETURN(const std::string text,
                        TextOf(calibration.text(), calibration.text_digest()));
    const engine::ChunkOptions cut{.size = chunk, .most = tokens / chunk};
    QF_ASSIGN_OR_RETURN(planned.tokens,
                        engine::CutIntoChunks(*tokenizer, description.tokenizer, text, cut));
    tokens = static_cast<int64_t>(planned.tokens.size());
    if (!decided && calibration.second_moments() && tokens < kLeastForFeedback)
      leave_feedback(fmt::format("the text \"{}\" has {} tokens", calibration.text(), tokens));
    tokens = static_cast<int64_t>(planned.tokens.size());
    if (const std::string remark = engine::RemarkOn(planned.tokens, description.hyper.vocab);
        !remark.empty())
      planned.notes.push_back(
          fmt::format("calibration text \"{}\": {}", calibration.text(), remark));
  }
  calibration.set_tokens(static_cast<uint64_t>(tokens));
  calibration.set_folder(FolderNameOf(model.identity, calibration, chunk));
  return planned;
}

absl::StatusOr<fs::path> Calibrator::Make(const Model& model, const Planned& planned,
                                          const std::stop_token& stop, const Tell& tell) {
  const fs::path folder = FolderOf(planned.calibration);
  absl::Status made = Run(model, planned, stop, tell);
  // Begun by another version of the program, or damaged.
  if (absl::IsFailedPrecondition(made)) {
    QF_RETURN_IF_ERROR(files_.RemoveTree(folder));
    made = Run(model, planned, stop, tell);
  }
  QF_RETURN_IF_ERROR(made);
  return folder;
}

absl::Status Calibrator::Run(const Model& model, const Planned& planned,
                             const std::stop_token& stop, const Tell& tell) {
  const v1::JobCalibration& calibration = planned.calibration;
  const pipeline::ModelDescription& description = model.source.description();
  const auto opened = CalibrationFolder::Open(files_, FolderOf(calibration), {.resume = true});
  if (absl::IsAlreadyExists(opened.status())) return absl::OkStatus();
  QF_RETURN_IF_ERROR(opened.status());
  CalibrationFolder& folder = **opened;

  engine::RunnableSourceOptions reading{.resume = true};
  reading.execution = {.threads = options_.threads,
                       .memory_bytes = options_.memory_bytes,
                       .on_progress =
                           [&](const pipeline::Progress& progress) {
                             tell(progress.bytes_read, progress.bytes_total);
                           },
                       .stop = stop};
  QF_ASSIGN_OR_RETURN(
      const engine::RunnableSource runnable,
      engine::MakeRunnable(files_, model.source, model.files, folder.scratch(), reading));
  QF_ASSIGN_OR_RETURN(
      engine::RunnableModel loaded,
      engine::RunnableModel::Load(runnable.gguf, {.threads = options_.threads,
                                                  .context = planned.chunk,
                                                  .kv_type = pipeline::DType::kF32}));
  engine::CalibrationOrigin origin;
  origin.source = runnable.digest;
  QF_ASSIGN_OR_RETURN(origin.sample, pipeline::SourceSampleOf(model.source));
  origin.architecture = description.family->name;
  origin.text = calibration.text();
  origin.tokens = static_cast<int64_t>(calibration.tokens());
  origin.chunk = planned.chunk;
  origin.second_moments = calibration.second_moments();
  const uint64_t weights = engine::LayersBytes(description);
  std::vector<int32_t> tokens = planned.tokens;
  if (IsSelf(calibration)) {
    origin.seed = kSeed;
    QF_ASSIGN_OR_RETURN(const auto tokenizer,
                        text::MakeTokenizer(description.tokenizer, description.name));
    const uint64_t taken =
        engine::PassMemoryOf(description, planned.chunk, planned.chunk, false).buffers;
    const auto all = static_cast<uint64_t>(origin.tokens);
    const engine::SelfTextOptions writing{
        .seed = kSeed,
        .chunk = planned.chunk,
        .chunks = origin.tokens / planned.chunk,
        .memory_bytes = options_.memory_bytes > taken ? options_.memory_bytes - taken : 0,
        .stop = stop,
        .on_progress = [&](int64_t done, int64_t) {
          tell(weights * static_cast<uint64_t>(done) / all, weights);
        }};
    QF_ASSIGN_OR_RETURN(
        tokens, engine::WriteOrFindSelfText(files_, loaded, *tokenizer, folder, origin.source,
                                            /*resume=*/true, writing));
  }
  origin.tokens_digest = HashBytes(std::as_bytes(std::span(tokens)));
  origin.text_digest = origin.tokens_digest;
  if (!IsSelf(calibration)) {
    QF_ASSIGN_OR_RETURN(origin.text_digest, Digest::FromRaw(calibration.text_digest()));
  }
  const engine::CalibrationOptions pass{.stop = stop,
                                        .on_progress = [&](const engine::CalibrationProgress& p) {
                                          tell(weights * p.done / p.all, weights);
                                        }};
  return engine::Calibrate(loaded, folder, origin, tokens, clock_, pass).status();
}

absl::StatusOr<uint64_t> Calibrator::Collect(const std::set<std::string>& folders,
                                             const std::set<std::string>& raw_text_digests,
                                             bool dry_run) {
  uint64_t freed = 0;
  const auto remove = [&](const fs::path& path) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const uint64_t size, BytesIn(files_, path));
    freed += size;
    return dry_run ? absl::OkStatus() : files_.RemoveTree(path);
  };
  if (!files_.Exists(options_.folder)) return freed;
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(options_.folder));
  for (const std::string& name : names)
    if (name != kTexts && !folders.contains(name))
      QF_RETURN_IF_ERROR(remove(options_.folder / name));
  const fs::path texts = options_.folder / kTexts;
  if (!files_.Exists(texts)) return freed;
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> kept, files_.List(texts));
  for (const std::string& name : kept) {
    const auto digest = Digest::FromHexText(name);
    if (!digest.ok() || !raw_text_digests.contains(digest->raw()))
      QF_RETURN_IF_ERROR(remove(texts / name));
  }
  return freed;
}

}  // namespace quantfleet::daemon
