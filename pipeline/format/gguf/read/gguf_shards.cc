#include "pipeline/format/gguf/read/gguf_shards.h"

#include <algorithm>
#include <utility>

#include "pipeline/model/shard_name.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kSplit = "split.", kNumber = "split.no", kCount = "split.count",
                           kTensors = "split.tensors.count";
constexpr uint32_t kMaxShards = 1024;
// Of what follows the last tensor: nothing says what it would be.
constexpr uint64_t kMaxRestBytes = uint64_t{1} << 20;

absl::StatusOr<std::string> ReadText(const File& file, uint64_t offset, uint64_t size) {
  std::string text(size, '\0');
  QF_RETURN_IF_ERROR(file.ReadAt(offset, std::as_writable_bytes(std::span(text))));
  return text;
}

absl::Status CheckShard(const GgufFile& shard, uint32_t index, uint32_t count) {
  QF_ASSIGN_OR_RETURN(const auto number, shard.Integer(kNumber));
  QF_ASSIGN_OR_RETURN(const auto of, shard.Integer(kCount));
  if (number.value_or(-1) == index && of.value_or(-1) == count) return absl::OkStatus();
  return InvalidArgument(
      "{}: its name says that it is file {} of {}, but its keys do not ({}: {}, {}: {}): download "
      "the model again",
      shard.name(), index + 1, count, kNumber, number ? std::to_string(*number) : "absent", kCount,
      of ? std::to_string(*of) : "absent");
}

// A number or a length, as GGUF has it.
template <typename T>
void Put(std::string& out, T value) {
  out.append(AsText(std::as_bytes(std::span(&value, 1))));
}

}  // namespace

absl::StatusOr<GgufShards> GgufShards::Open(FileSystem& files, const fs::path& path) {
  GgufShards shards;
  const ShardName name = ParseShardName(path.filename().string()).value_or(ShardName());
  const uint32_t count = name.count;
  const bool is_split = count > 1;
  if (count > kMaxShards)
    return InvalidArgument("{}: a model in {} files is not supported, only in up to {}",
                           path.string(), count, kMaxShards);
  for (uint32_t i = 0; i < count; ++i) {
    shards.paths.push_back(is_split ? path.parent_path() / name.File(i + 1) : path);
    const fs::path& one = shards.paths.back();
    if (is_split && !files.Exists(one))
      return NotFound("{} is missing, one of the {} files of the model: download it again",
                      one.string(), count);
    QF_ASSIGN_OR_RETURN(shards.files.emplace_back(), files.Open(one, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(GgufFile header, GgufFile::Read(*shards.files.back(), one.string()));
    if (is_split) QF_RETURN_IF_ERROR(CheckShard(header, i, count));
    shards.headers.push_back(std::move(header));
  }
  shards.model = shards.headers.front();
  for (uint32_t i = 1; i < count; ++i)
    QF_RETURN_IF_ERROR(shards.model.TakeShard(shards.headers[i], i));
  QF_ASSIGN_OR_RETURN(const auto said, shards.model.Integer(kCount));
  if (!is_split && said.value_or(0) > 1)
    return InvalidArgument(
        "{} is one of {} files of a model: they must be in one folder and have the names that "
        "llama.cpp gives them, such as NAME-00001-of-{:05}.gguf",
        path.string(), *said, *said);
  QF_ASSIGN_OR_RETURN(const auto tensors, shards.model.Integer(kTensors));
  if (is_split && tensors.value_or(0) != std::ssize(shards.model.tensors()))
    return InvalidArgument("{}: the files of the model have {} tensors, but {} is {}",
                           path.string(), shards.model.tensors().size(), kTensors,
                           tensors.value_or(0));
  return shards;
}

absl::StatusOr<std::string> GgufShards::JoinedHeader() const {
  const GgufFile& first = headers.front();
  std::string keys, tensors;
  uint64_t key_count = 0, at = 0;
  for (const GgufKv& kv : first.kvs()) {
    if (kv.key.starts_with(kSplit)) continue;
    QF_ASSIGN_OR_RETURN(const std::string stored,
                        ReadText(*files.front(), kv.begin, kv.end - kv.begin));
    keys += stored;
    ++key_count;
  }
  for (const GgufTensor& tensor : model.tensors()) {
    Put(tensors, uint64_t{tensor.name.size()});
    tensors += tensor.name;
    Put(tensors, static_cast<uint32_t>(tensor.n_dims));
    for (int i = 0; i < tensor.n_dims; ++i) Put(tensors, tensor.dims[static_cast<size_t>(i)]);
    Put(tensors, Info(tensor.dtype).ggml->type);
    Put(tensors, at);
    at += RoundUp(tensor.size, first.alignment());
  }
  std::string header = "GGUF";
  Put(header, first.version());
  Put(header, uint64_t{model.tensors().size()});
  Put(header, key_count);
  header += keys + tensors;
  header.resize(RoundUp(header.size(), first.alignment()), '\0');
  return header;
}

absl::StatusOr<StoredModel> GgufShards::Joined(IsWeight is_weight) const {
  StoredModel stored;
  const auto add = [&stored](std::string bytes) {
    if (bytes.empty()) return;
    const uint64_t size = bytes.size();
    stored.rest.push_back({stored.size, std::move(bytes)});
    stored.size += size;
  };
  const bool is_one = files.size() == 1;
  if (!is_one) {
    QF_ASSIGN_OR_RETURN(std::string header, JoinedHeader());
    add(std::move(header));
  }
  for (const GgufTensor& tensor : model.tensors()) {
    if (is_one && stored.size < tensor.offset) {
      QF_ASSIGN_OR_RETURN(std::string before,
                          ReadText(*files.front(), stored.size, tensor.offset - stored.size));
      add(std::move(before));
    }
    if (is_weight(tensor)) {
      stored.tensors.push_back(stored.size);
      stored.size += tensor.size;
    } else {
      QF_ASSIGN_OR_RETURN(std::string bytes,
                          ReadText(*files[tensor.shard], tensor.offset, tensor.size));
      add(std::move(bytes));
    }
    if (!is_one)
      add(std::string(RoundUp(tensor.size, headers.front().alignment()) - tensor.size, '\0'));
  }
  if (!is_one) return stored;
  QF_ASSIGN_OR_RETURN(const uint64_t size, files.front()->Size());
  if (size < stored.size || size - stored.size > kMaxRestBytes)
    return InvalidArgument(
        "{}: {} follow the last tensor, which no key of the file describes: download it again",
        model.name(), HumanBytes(size - std::min(size, stored.size)));
  QF_ASSIGN_OR_RETURN(std::string behind,
                      ReadText(*files.front(), stored.size, size - stored.size));
  add(std::move(behind));
  return stored;
}

}  // namespace quantfleet::pipeline
