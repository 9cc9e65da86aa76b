#include "pipeline/format/gguf/read/gguf_source.h"

#include <algorithm>
#include <utility>

#include "common/base/digest.h"
#include "pipeline/family/cut_pieces.h"
#include "pipeline/format/gguf/read/file_digest.h"
#include "pipeline/format/gguf/read/gguf_hyper.h"
#include "pipeline/format/gguf/read/gguf_names.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kMaxRopeFactors = 4096;

bool IsWeight(const GgufTensor& tensor) {
  return tensor.name != kRopeFactorsLong && tensor.name != kRopeFactorsShort &&
         tensor.name != kRopeFreqs;
}

// The factor of each rotated pair, a small F32 vector that belongs to the hyper-parameters; empty
// when absent.
absl::StatusOr<std::vector<float>> ReadVector(const GgufShards& shards, std::string_view name,
                                              int64_t rope_dims) {
  const GgufFile& file = shards.model;
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return std::vector<float>();
  if (tensor->dtype != DType::kF32 || tensor->n_dims != 1 || tensor->dims[0] > kMaxRopeFactors)
    return InvalidArgument("{}: tensor '{}' must be a row of at most {} F32 values", file.name(),
                           name, kMaxRopeFactors);
  if (tensor->dims[0] != rope_dims / 2)
    return InvalidArgument(
        "{}: tensor '{}' has {} values, but half of the {} rotated dimensions "
        "(rope.dimension_count) is {}",
        file.name(), name, tensor->dims[0], rope_dims, rope_dims / 2);
  std::vector<float> values(static_cast<size_t>(tensor->dims[0]));
  QF_RETURN_IF_ERROR(shards.files[tensor->shard]->ReadAt(
      tensor->offset, std::as_writable_bytes(std::span(values))));
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::Open(FileSystem& files,
                                                             const fs::path& path) {
  std::unique_ptr<GgufSource> source(new GgufSource);
  GgufShards& shards = source->shards_;
  QF_ASSIGN_OR_RETURN(shards, GgufShards::Open(files, path));
  QF_RETURN_IF_ERROR(source->Describe());
  for (size_t i = 0; i < shards.files.size(); ++i) {
    const File& file = *shards.files[i];
    QF_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
    QF_ASSIGN_OR_RETURN(const int64_t modified, files.ModifiedAt(shards.paths[i]));
    QF_ASSIGN_OR_RETURN(const Digest header, DigestOf(file, shards.headers[i].header_size()));
    source->fingerprint_.text +=
        fmt::format("{}gguf {} {} {}", i == 0 ? "" : "\n", size, modified, header.hex());
  }
  return source;
}

absl::Status GgufSource::Describe() {
  const GgufFile& file = shards_.model;
  QF_ASSIGN_OR_RETURN(description_.family, ReadFamily(file));
  QF_ASSIGN_OR_RETURN(const auto name, file.Text("general.name"));
  description_.published_name = PublishableName(name.value_or(""));
  description_.name = description_.published_name.empty() ? shards_.paths.front().stem().string()
                                                          : description_.published_name;
  QF_ASSIGN_OR_RETURN(description_.hyper, ReadHyperparameters(file, *description_.family));
  QF_ASSIGN_OR_RETURN(description_.embedding, ReadEmbedding(file, *description_.family));
  QF_RETURN_IF_ERROR(ReadRopeFactors(file));
  QF_ASSIGN_OR_RETURN(description_.tokenizer, ReadTokenizer(file));
  QF_ASSIGN_OR_RETURN(description_.sampling, ReadSampling(file));
  QF_RETURN_IF_ERROR(TakeTensors(file));
  return Annotate(CutPieces(Dialect::kGguf, description_), file.name());
}

absl::Status GgufSource::ReadRopeFactors(const GgufFile& file) {
  RopeScaling& rope = description_.hyper.rope_scaling;
  const int64_t dims = description_.hyper.rope_dims;
  QF_ASSIGN_OR_RETURN(rope.long_factors, ReadVector(shards_, kRopeFactorsLong, dims));
  QF_ASSIGN_OR_RETURN(rope.short_factors, ReadVector(shards_, kRopeFactorsShort, dims));
  QF_ASSIGN_OR_RETURN(rope.freq_factors, ReadVector(shards_, kRopeFreqs, dims));
  const bool long_rope = !rope.long_factors.empty() || !rope.short_factors.empty();
  if (long_rope && !rope.freq_factors.empty())
    return InvalidArgument("{}: '{}' and '{}' must not both be present", file.name(),
                           kRopeFactorsLong, kRopeFreqs);
  if ((long_rope || !rope.freq_factors.empty()) && rope.kind == RopeScaling::Kind::kLinear)
    return Unimplemented("{}: linear rope scaling together with rope factors is not supported",
                         file.name());
  if (long_rope && !description_.family->long_rope)
    return Unimplemented("{}: LongRoPE is supported only for {}", file.name(),
                         FamilyNames(&Family::long_rope));
  if (rope.kind == RopeScaling::Kind::kLongRope && !long_rope)
    return InvalidArgument("{}: rope.scaling.type is longrope, but '{}' is missing", file.name(),
                           kRopeFactorsLong);
  if (long_rope) rope.kind = RopeScaling::Kind::kLongRope;
  if (!rope.freq_factors.empty()) rope.kind = RopeScaling::Kind::kLlama3;
  return absl::OkStatus();
}

absl::Status GgufSource::TakeTensors(const GgufFile& file) {
  const auto name_of = [this](const GgufTensor& tensor) {
    return shards_.paths[tensor.shard].string();
  };
  for (const GgufTensor& tensor : file.tensors()) {
    if (!IsWeight(tensor)) continue;
    const bool experts = description_.family->experts.has_value();
    if ((tensor.dims[2] != 1 && !experts) || tensor.dims[3] != 1)
      return InvalidArgument(
          "{}: tensor '{}' has {} dimensions; weights of a {} model must have {}", name_of(tensor),
          tensor.name, tensor.n_dims, description_.family->name, experts ? "1 to 3" : "1 or 2");
    const bool flat = tensor.n_dims == 1;
    if (flat && !IsFloat(tensor.dtype))
      return InvalidArgument(
          "{}: tensor '{}' has one dimension and the type {}: vectors must be F32, F16 or BF16",
          name_of(tensor), tensor.name, Info(tensor.dtype).name);
    description_.tensors.push_back({.name = tensor.name,
                                    .dtype = tensor.dtype,
                                    .rows = flat ? 1 : tensor.dims[1] * tensor.dims[2],
                                    .cols = tensor.dims[0],
                                    .dims = std::min(static_cast<int>(tensor.n_dims), 3),
                                    .matrices = tensor.dims[2]});
    places_.push_back({tensor.shard, tensor.offset, tensor.size});
  }
  const std::string head = TensorName(*description_.family, Dialect::kGguf, Role::kOutputHead);
  description_.hyper.tied_embeddings = file.FindTensor(head) == nullptr;
  return absl::OkStatus();
}

absl::Status GgufSource::Read(size_t tensor, uint64_t offset, MutableBytes out) const {
  if (tensor >= places_.size() || offset > places_[tensor].size ||
      out.size() > places_[tensor].size - offset)
    return OutOfRange("reading beyond the end of tensor {}", tensor);
  const Place& place = places_[tensor];
  return Annotate(shards_.files[place.shard]->ReadAt(place.offset + offset, out),
                  description_.tensors[tensor].name);
}

void GgufSource::Release(size_t tensor, uint64_t offset, uint64_t size) const {
  const Place& place = places_[tensor];
  shards_.files[place.shard]->DropCache(place.offset + offset, size);
}

std::string GgufSource::FileOf(size_t tensor) const {
  return shards_.paths[places_[tensor].shard].filename().string();
}

absl::StatusOr<StoredModel> GgufSource::AsStored() const { return shards_.Joined(IsWeight); }

}  // namespace quantfleet::pipeline
