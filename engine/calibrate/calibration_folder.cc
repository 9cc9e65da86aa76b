#include "engine/calibrate/calibration_folder.h"

#include <algorithm>
#include <boost/json.hpp>

namespace quantfleet::engine {
namespace {

namespace json = boost::json;

constexpr std::string_view kRecordMagic = "quantfleet calibration layer 3\n";

template <typename T>
void AppendValue(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Takes apart what AppendValue and its like put together; the bytes have their digest.
class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : bytes_(bytes) {}
  std::string_view Take(size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  uint32_t Number() { return Load<uint32_t>(AsBytes(Take(sizeof(uint32_t))).data()); }
  uint64_t Wide() { return Load<uint64_t>(AsBytes(Take(sizeof(uint64_t))).data()); }
  Digest Hash() { return Digest::FromRaw(Take(Digest::kSize)).value_or(Digest()); }
  std::vector<float> Floats(size_t count) {
    std::vector<float> values(count);
    const std::string_view raw = Take(count * sizeof(float));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

 private:
  std::string_view bytes_;
};

std::vector<float> AsFloats(std::span<const double> values) {
  std::vector<float> floats;
  floats.reserve(values.size());
  for (const double value : values) floats.push_back(static_cast<float>(value));
  return floats;
}

std::vector<pipeline::ColumnStatistics> ColumnsOf(const InputStatistics& one) {
  std::vector<pipeline::ColumnStatistics> tensors;
  for (const std::string& name : one.input.names)
    tensors.push_back({name,
                       {one.sums.counts.begin(), one.sums.counts.end()},
                       AsFloats(one.sums.sums),
                       AsFloats(one.sums.squares)});
  return tensors;
}

}  // namespace

Digest CalibrationOrigin::digest() const {
  return HashText(fmt::format("{} {} {} {} {} {} {} {}", source.hex(), text, text_digest.hex(),
                              tokens_digest.hex(), seed, tokens, chunk, second_moments) +
                  (ranges ? " ranges" : ""));
}

// What the hidden folder keeps of a layer: its columns, and the digests of what lies in other
// files.
struct CalibrationFolder::Record {
  Digest origin, states, moments;
  uint32_t layer = 0;
  std::vector<pipeline::ColumnStatistics> tensors = {};
  std::vector<ActivationRange> ranges = {};

  std::string Serialize() const {
    std::string out(kRecordMagic);
    out += origin.raw() + states.raw() + moments.raw();
    AppendValue(out, layer);
    AppendValue(out, static_cast<uint32_t>(tensors.size()));
    for (const pipeline::ColumnStatistics& one : tensors) {
      AppendValue(out, static_cast<uint32_t>(one.tensor.size()));
      out += one.tensor;
      AppendValue(out, static_cast<uint32_t>(one.counts.size()));
      AppendValue(out, static_cast<uint32_t>(one.sums.size()));
      for (const auto* values : {&one.counts, &one.sums, &one.squares})
        out += AsText(std::as_bytes(std::span(*values)));
    }
    AppendValue(out, static_cast<uint32_t>(ranges.size()));
    for (const ActivationRange& one : ranges) {
      AppendValue(out, static_cast<uint32_t>(one.name.size()));
      out += one.name;
      AppendValue(out, one.count);
      for (const float value : {one.least, one.greatest}) AppendValue(out, value);
      for (const float value : one.percentiles) AppendValue(out, value);
    }
    return out + HashText(out).raw();
  }

  static std::optional<Record> Parse(std::string_view bytes) {
    if (!bytes.starts_with(kRecordMagic) || bytes.size() < kRecordMagic.size() + Digest::kSize)
      return std::nullopt;
    const std::string_view body = bytes.substr(0, bytes.size() - Digest::kSize);
    if (HashText(body).raw() != bytes.substr(body.size())) return std::nullopt;
    RecordReader reader(body.substr(kRecordMagic.size()));
    Record record;
    record.origin = reader.Hash();
    record.states = reader.Hash();
    record.moments = reader.Hash();
    record.layer = reader.Number();
    const uint32_t count = reader.Number();
    for (uint32_t i = 0; i < count; ++i) {
      pipeline::ColumnStatistics& one = record.tensors.emplace_back();
      one.tensor = reader.Take(reader.Number());
      const uint32_t matrices = reader.Number(), columns = reader.Number();
      one.counts = reader.Floats(matrices);
      one.sums = reader.Floats(columns);
      one.squares = reader.Floats(columns);
    }
    const uint32_t ranges = reader.Number();
    for (uint32_t i = 0; i < ranges; ++i) {
      ActivationRange& one = record.ranges.emplace_back();
      one.name = reader.Take(reader.Number());
      one.count = reader.Wide();
      const std::vector<float> values = reader.Floats(2 + one.percentiles.size());
      one.least = values[0];
      one.greatest = values[1];
      std::copy_n(values.begin() + 2, one.percentiles.size(), one.percentiles.begin());
    }
    return record;
  }
};

absl::StatusOr<std::unique_ptr<CalibrationFolder>> CalibrationFolder::Open(FileSystem& files,
                                                                           fs::path path,
                                                                           Options options) {
  std::unique_ptr<CalibrationFolder> folder(new CalibrationFolder(files, std::move(path), options));
  QF_RETURN_IF_ERROR(files.MakeFolder(folder->path_));
  auto lock = files.Lock(folder->path_);
  // A file system without locks is used without.
  if (!lock.ok() && !absl::IsUnimplemented(lock.status())) return lock.status();
  if (lock.ok() && *lock == nullptr)
    return FailedPrecondition(
        "another process is writing a calibration into {}: wait for it, or choose another folder",
        folder->path_.string());
  if (lock.ok()) folder->lock_ = *std::move(lock);
  const fs::path status = folder->path_ / kCalibrationFile;
  if (!files.Exists(status)) return folder;
  QF_ASSIGN_OR_RETURN(folder->status_, files.ReadAll(status));
  boost::system::error_code error;
  const json::value read = json::parse(folder->status_, error);
  const json::value* complete =
      read.is_object() ? read.as_object().if_contains("complete") : nullptr;
  if (!options.replace && (complete == nullptr || !complete->is_bool()))
    return FailedPrecondition(
        "{} is not a calibration's: choose another folder, or use --force to replace it",
        status.string());
  // Killed once all was shown.
  if (complete != nullptr && complete->is_bool() && complete->as_bool())
    QF_RETURN_IF_ERROR(files.RemoveTree(folder->scratch()));
  if (!options.replace && complete->as_bool())
    return AlreadyExists("{} already holds a calibration: use --force to make it again",
                         folder->path_.string());
  return folder;
}

absl::Status CalibrationFolder::CheckRoom(FileSystem& files, const fs::path& path, uint64_t bytes) {
  fs::path there = fs::absolute(path);
  while (!files.Exists(there) && there.has_relative_path()) there = there.parent_path();
  QF_ASSIGN_OR_RETURN(const uint64_t free, files.FreeSpace(there));
  if (free >= bytes) return absl::OkStatus();
  return ResourceExhausted(
      "{}: the calibration takes {}, but the disk has only {} free: make room, or choose a folder "
      "on another disk",
      path.string(), HumanBytes(bytes), HumanBytes(free));
}

absl::Status CalibrationFolder::CheckOrigin(const CalibrationOrigin& origin) const {
  if (status_.empty() || options_.replace) return absl::OkStatus();
  boost::system::error_code error;
  const json::value read = json::parse(status_, error);
  const auto text = [&](std::string_view key) -> std::string_view {
    const json::value* value = read.as_object().if_contains(key);
    return value != nullptr && value->is_string() ? std::string_view(value->as_string()) : "";
  };
  if (text("source_digest") != origin.source.hex())
    return FailedPrecondition(
        "{} was begun for another model (source digest {}, and this model's is {}): choose another "
        "folder, or use --force to replace it",
        path_.string(), text("source_digest").substr(0, 12), origin.source.hex().substr(0, 12));
  if (options_.resume && text("origin_digest") != origin.digest().hex())
    return FailedPrecondition(
        "{} was begun with another text or other options: give the same ones to resume it, or "
        "leave out --resume to begin again",
        path_.string());
  return absl::OkStatus();
}

absl::Status CalibrationFolder::Clear() {
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(scratch()));
  for (const std::string& name : names)
    if (name.starts_with("layer-") || name.starts_with("states-"))
      QF_RETURN_IF_ERROR(files_.Remove(scratch() / name));
  for (const fs::path& file : {scratch() / kSecondMomentsFile, path_ / kImportanceFile,
                               path_ / kSecondMomentsFile, path_ / kRangesFile})
    QF_RETURN_IF_ERROR(files_.Remove(file));
  return absl::OkStatus();
}

absl::Status CalibrationFolder::LayOutMoments(const pipeline::ModelDescription& model) {
  std::vector<pipeline::SecondMomentsLayout::Input> inputs;
  for (int layer = 0; layer < model.hyper.layers; ++layer) {
    const std::vector<LayerInput> of_layer = InputsOf(model, layer);
    std::vector<size_t> places;  // in `inputs`, by input of the layer
    for (const LayerInput& input : of_layer) {
      places.push_back(input.same_as ? places[*input.same_as] : inputs.size());
      if (!input.quantized) continue;
      if (!input.same_as) inputs.push_back({input.names.front(), input.cols, input.matrices});
      std::vector<std::string>& others = inputs[places.back()].others;
      others.insert(others.end(), input.names.begin() + (input.same_as ? 0 : 1), input.names.end());
    }
  }
  layout_.emplace(inputs);
  const fs::path file = scratch() / kSecondMomentsFile, shown = path_ / kSecondMomentsFile;
  // The same run was killed while it showed its files.
  if (!files_.Exists(file) && files_.Exists(shown)) QF_RETURN_IF_ERROR(files_.Rename(shown, file));
  if (!files_.Exists(file)) QF_RETURN_IF_ERROR(CheckRoom(files_, path_, layout_->size()));
  QF_ASSIGN_OR_RETURN(moments_, files_.Open(file, OpenMode::kCreate));
  QF_RETURN_IF_ERROR(moments_->WriteAt(0, AsBytes(layout_->header())));
  return moments_->Resize(layout_->size());
}

absl::StatusOr<int> CalibrationFolder::Begin(const pipeline::ModelDescription& model,
                                             const CalibrationOrigin& origin) {
  QF_RETURN_IF_ERROR(CheckOrigin(origin));
  origin_ = origin;
  layers_ = static_cast<int>(model.hyper.layers);
  QF_RETURN_IF_ERROR(files_.CreateDirectories(scratch()));
  if (!options_.resume) QF_RETURN_IF_ERROR(Clear());
  if (origin.second_moments) QF_RETURN_IF_ERROR(LayOutMoments(model));
  std::vector<Record> records;
  for (int layer = 0; options_.resume && layer < layers_; ++layer) {
    QF_ASSIGN_OR_RETURN(std::optional<Record> record, Load(model, layer));
    if (!record) break;
    records.push_back(*std::move(record));
  }
  // A power cut may have taken what had not reached the disk; the states of the layer before the
  // last one are there too.
  for (; !records.empty(); records.pop_back()) {
    QF_ASSIGN_OR_RETURN(const bool whole, LoadStates(records.back()));
    if (whole) break;
  }
  done_ = static_cast<int>(records.size());
  for (Record& record : records) {
    std::ranges::move(record.tensors, std::back_inserter(tensors_));
    std::ranges::move(record.ranges, std::back_inserter(ranges_));
  }
  QF_RETURN_IF_ERROR(WriteStatus(/*complete=*/false));
  return done_;
}

absl::StatusOr<std::optional<CalibrationFolder::Record>> CalibrationFolder::Load(
    const pipeline::ModelDescription& model, int layer) const {
  if (!files_.Exists(RecordPath(layer))) return std::nullopt;
  QF_ASSIGN_OR_RETURN(const std::string bytes,
                      files_.ReadAll(RecordPath(layer), uint64_t{4} << 30));
  std::optional<Record> record = Record::Parse(bytes);
  if (!record || record->origin != origin_.digest() ||
      record->layer != static_cast<uint32_t>(layer))
    return std::nullopt;
  Sha256 hash;
  Bytes buffer;
  for (const LayerInput& input : InputsOf(model, layer)) {
    if (!origin_.second_moments || !HasMoments(input)) continue;
    for (int64_t matrix = 0; matrix < input.matrices; ++matrix) {
      buffer.resize(static_cast<size_t>(SecondMoments::Values(input.cols)) * sizeof(float));
      QF_RETURN_IF_ERROR(moments_->ReadAt(layout_->OffsetOf(input.names.front(), matrix), buffer));
      hash.Update(buffer);
    }
  }
  if (hash.Finish() != record->moments) return std::nullopt;
  return record;
}

absl::StatusOr<bool> CalibrationFolder::LoadStates(const Record& record) {
  const fs::path path = StatesPath(static_cast<int>(record.layer));
  if (!files_.Exists(path)) return false;
  QF_ASSIGN_OR_RETURN(const auto file, files_.Open(path, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::vector<float> states(size / sizeof(float));
  QF_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(states))));
  if (HashBytes(std::as_bytes(std::span(states))) != record.states) return false;
  states_ = std::move(states);
  return true;
}

absl::StatusOr<Digest> CalibrationFolder::WriteMoments(
    const std::vector<InputStatistics>& statistics) {
  Sha256 hash;
  for (const InputStatistics& one : statistics) {
    for (size_t matrix = 0; matrix < one.moments.size(); ++matrix) {
      const std::span<const double> triangle = one.moments[matrix]->Finish();
      const auto values = static_cast<size_t>(SecondMoments::Values(one.input.cols));
      uint64_t offset = layout_->OffsetOf(one.input.names.front(), static_cast<int64_t>(matrix));
      constexpr size_t kAtOnce = 1 << 20;
      for (size_t at = 0; at < values; at += kAtOnce) {
        const size_t some = std::min(kAtOnce, values - at);
        // An expert that nobody chose has none.
        const std::vector<float> floats =
            triangle.empty() ? std::vector<float>(some) : AsFloats(triangle.subspan(at, some));
        const ByteSpan bytes = std::as_bytes(std::span(floats));
        hash.Update(bytes);
        QF_RETURN_IF_ERROR(moments_->WriteAt(offset, bytes));
        offset += bytes.size();
      }
    }
  }
  return hash.Finish();
}

absl::Status CalibrationFolder::Keep(int layer, const std::vector<InputStatistics>& statistics,
                                     std::vector<ActivationRange> ranges,
                                     std::span<const float> states) {
  Record record;
  record.origin = origin_.digest();
  record.layer = static_cast<uint32_t>(layer);
  QF_ASSIGN_OR_RETURN(record.moments, WriteMoments(statistics));
  const ByteSpan bytes = std::as_bytes(states);
  record.states = HashBytes(bytes);
  for (const InputStatistics& one : statistics)
    std::ranges::move(ColumnsOf(one), std::back_inserter(record.tensors));
  record.ranges = std::move(ranges);
  // Nothing waits for the disk here: a record counts by its digests.
  {
    QF_ASSIGN_OR_RETURN(const auto file, files_.Open(StatesPath(layer), OpenMode::kCreate));
    QF_RETURN_IF_ERROR(file->WriteAt(0, bytes));
    QF_RETURN_IF_ERROR(file->Resize(bytes.size()));
  }
  {
    const std::string serialized = record.Serialize();
    QF_ASSIGN_OR_RETURN(const auto file, files_.Open(RecordPath(layer), OpenMode::kCreate));
    QF_RETURN_IF_ERROR(file->WriteAt(0, AsBytes(serialized)));
    QF_RETURN_IF_ERROR(file->Resize(serialized.size()));
  }
  if (layer >= 2) QF_RETURN_IF_ERROR(files_.Remove(StatesPath(layer - 2)));
  std::ranges::move(record.tensors, std::back_inserter(tensors_));
  std::ranges::move(record.ranges, std::back_inserter(ranges_));
  done_ = layer + 1;
  return WriteStatus(/*complete=*/false);
}

absl::Status CalibrationFolder::WriteStatus(bool complete) {
  json::object status{{"complete", complete},
                      {"layers_done", done_},
                      {"layers", layers_},
                      {"source_digest", origin_.source.hex()},
                      {"source_sample", origin_.sample.hex()},
                      {"architecture", origin_.architecture},
                      {"text", origin_.text},
                      {"text_digest", origin_.text_digest.hex()},
                      {"tokens_digest", origin_.tokens_digest.hex()},
                      {"seed", origin_.seed},
                      {"tokens", origin_.tokens},
                      {"chunk_size", origin_.chunk},
                      {"second_moments", origin_.second_moments},
                      {"origin_digest", origin_.digest().hex()},
                      {"version", QUANTFLEET_VERSION}};
  if (origin_.ranges) status["ranges"] = true;
  if (ranges_digest_) status["ranges_digest"] = ranges_digest_->hex();
  return files_.WriteAtomically(path_ / kCalibrationFile, AsBytes(json::serialize(status) + "\n"));
}

absl::Status CalibrationFolder::Finish() {
  if (done_ != layers_)
    return Internal("a calibration of {} layers is whole with {}", layers_, done_);
  if (moments_ != nullptr) {
    QF_RETURN_IF_ERROR(moments_->Sync());
    moments_.reset();
    QF_RETURN_IF_ERROR(files_.Rename(scratch() / kSecondMomentsFile, path_ / kSecondMomentsFile));
  }
  const std::string importance = pipeline::ImportanceBytes(
      std::move(tensors_), origin_.text, static_cast<uint32_t>(origin_.tokens / origin_.chunk),
      static_cast<uint32_t>(origin_.chunk));
  QF_RETURN_IF_ERROR(files_.WriteAtomically(path_ / kImportanceFile, AsBytes(importance)));
  if (origin_.ranges) {
    const std::string ranges = RangesJson(ranges_);
    ranges_digest_ = HashText(ranges);
    QF_RETURN_IF_ERROR(files_.WriteAtomically(path_ / kRangesFile, AsBytes(ranges)));
  }
  QF_RETURN_IF_ERROR(WriteStatus(/*complete=*/true));
  return files_.RemoveTree(scratch());
}

}  // namespace quantfleet::engine
