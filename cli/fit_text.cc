#include "cli/fit_text.h"

#include <algorithm>
#include <boost/json.hpp>

#include "cli/command.h"
#include "cli/progress.h"
#include "engine/calibrate/calibration_folder.h"
#include "engine/calibrate/chunks.h"
#include "engine/calibrate/self_text.h"

namespace quantfleet::cli {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxOriginBytes = uint64_t{1} << 20;

absl::StatusOr<std::vector<int32_t>> Written(engine::RunnableModel& model,
                                             const text::Tokenizer& tokenizer,
                                             const CalibratedText& calibrated,
                                             const FitTextOptions& options) {
  ProgressLine line("write");
  return engine::WriteSelfText(model, tokenizer,
                               {.seed = calibrated.seed + 1,
                                .chunk = options.chunk,
                                .chunks = 2 * options.chunks,
                                .memory_bytes = options.memory_bytes,
                                .stop = options.stop,
                                .on_progress = [&line](int64_t done, int64_t all) {
                                  line.Update(static_cast<uint64_t>(done),
                                              static_cast<uint64_t>(all));
                                }});
}

// The text's chunks that the calibration has not counted.
absl::StatusOr<std::vector<int32_t>> Read(engine::RunnableModel& model,
                                          const text::Tokenizer& tokenizer,
                                          const CalibratedText& calibrated,
                                          const FitTextOptions& options) {
  QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(options.file));
  const bool counted = HashText(text) == calibrated.digest;
  // Its chunks may have been longer, and so fewer of their tokens put in front of the text.
  const int64_t skipped = counted ? calibrated.tokens / options.chunk + 1 : 0;
  auto tokens =
      engine::CutIntoChunks(tokenizer, model.description.tokenizer, text,
                            {.size = options.chunk, .most = skipped + 2 * options.chunks});
  if (!tokens.ok()) return Annotate(tokens.status(), options.file);
  const auto front = std::min(tokens->size(), static_cast<size_t>(skipped * options.chunk));
  tokens->erase(tokens->begin(), tokens->begin() + static_cast<ptrdiff_t>(front));
  if (tokens->empty())
    return InvalidArgument(
        "{} has nothing behind the {} tokens that the calibration was made of: use another text of "
        "its kind",
        options.file, calibrated.tokens);
  return tokens;
}

}  // namespace

absl::StatusOr<CalibratedText> ReadCalibratedText(FileSystem& files, const fs::path& folder) {
  const fs::path path = folder / engine::kCalibrationFile;
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxOriginBytes));
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* root = parsed.if_object();
  const auto find = [&](std::string_view key) {
    return root == nullptr ? nullptr : root->if_contains(key);
  };
  const json::value *name = find("text"), *digest = find("text_digest"), *seed = find("seed"),
                    *tokens = find("tokens");
  if (name == nullptr || !name->is_string() || digest == nullptr || !digest->is_string() ||
      seed == nullptr || !seed->is_number() || tokens == nullptr || !tokens->is_int64())
    return InvalidArgument("{} does not say what text the calibration was made of", path.string());
  CalibratedText out{.text = std::string(name->get_string()),
                     .digest = {},
                     .seed = seed->to_number<uint64_t>(error),
                     .tokens = tokens->get_int64()};
  const auto read = Digest::FromHexText(std::string_view(digest->get_string()));
  if (!read.ok()) return Annotate(read.status(), path.string());
  out.digest = *read;
  return out;
}

absl::StatusOr<FitText> MakeFitText(engine::RunnableModel& model, const CalibratedText& calibrated,
                                    const FitTextOptions& options) {
  QF_ASSIGN_OR_RETURN(const auto tokenizer,
                      text::MakeTokenizer(model.description.tokenizer, model.description.name));
  std::vector<int32_t> tokens;
  if (!options.file.empty()) {
    QF_ASSIGN_OR_RETURN(tokens, Read(model, *tokenizer, calibrated, options));
  } else if (calibrated.text == engine::kSelfText) {
    QF_ASSIGN_OR_RETURN(tokens, Written(model, *tokenizer, calibrated, options));
  } else {
    return InvalidArgument(
        "the calibration was made of {}: give that file, or another text of its kind, by --text",
        calibrated.text);
  }
  Warn(engine::RemarkOn(tokens, model.description.hyper.vocab));
  const auto count = static_cast<int64_t>(tokens.size()) / options.chunk;
  const auto middle = static_cast<ptrdiff_t>((count + 1) / 2 * options.chunk);
  return FitText{.chunk = options.chunk,
                 .measured = {tokens.begin(), tokens.begin() + middle},
                 .judged = {tokens.begin() + middle, tokens.end()}};
}

}  // namespace quantfleet::cli
