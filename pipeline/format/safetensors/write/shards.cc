#include "pipeline/format/safetensors/write/shards.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

int ElementBytes(std::string_view type) {
  return type.ends_with("64") ? 8 : type.ends_with("32") ? 4 : type.ends_with("16") ? 2 : 1;
}

uint64_t BytesOf(const ShardPart& part) {
  if (part.of == nullptr) return part.known.size();
  return static_cast<uint64_t>(part.of->rows * PartRowBytes(part.part, part.dtype, part.of->cols));
}

void Place(const ModelDescription& model, Dialect dialect, const ShardPart& part, uint64_t at,
           std::vector<PlacedPiece>& out) {
  for (const uint32_t p : part.of->pieces) {
    const Piece& piece = model.pieces[p];
    out.push_back({.piece = p,
                   .file = 0,
                   .offset = at,
                   .dtype = part.dtype,
                   .order = RowOrder::kHf,
                   .padding = 0,
                   .tensor = part.of->name,
                   .part = part.part,
                   .lacks = LackOf(*model.family, dialect, piece.role)});
    at += static_cast<uint64_t>(piece.rows * PartRowBytes(part.part, part.dtype, piece.cols));
  }
}

// `where` takes the path of each tensor.
PlannedFile PlanShard(const ModelDescription& model, std::string path,
                      const std::vector<const ShardBundle*>& bundles, const ShardRules& rules,
                      json::object& where) {
  std::vector<const ShardPart*> order;
  for (const int bytes : {8, 4, 2, 1})
    for (const ShardBundle* bundle : bundles)
      for (const ShardPart& part : *bundle)
        if (ElementBytes(part.type) == bytes) order.push_back(&part);

  json::object header{{"__metadata__", {{"format", rules.writer}}}};
  uint64_t at = 0;
  for (const ShardPart* part : order) {
    const uint64_t end = at + BytesOf(*part);
    header[part->name] = {{"dtype", part->type},
                          {"shape", json::value_from(part->shape)},
                          {"data_offsets", json::array{at, end}}};
    where[part->name] = path;
    at = end;
  }
  std::string text = json::serialize(header);
  text.resize(RoundUp(text.size(), 8), ' ');
  const uint64_t length = text.size();
  std::string fixed(AsText(std::as_bytes(std::span(&length, 1))));
  fixed += text;

  PlannedFile out{{std::move(path), fixed.size() + at, {}}, {}};
  at = fixed.size();
  out.file.fixed.push_back({0, std::move(fixed)});
  for (const ShardPart* part : order) {
    if (part->of == nullptr)
      out.file.fixed.push_back({at, part->known});
    else
      Place(model, rules.dialect, *part, at, out.pieces);
    at += BytesOf(*part);
  }
  return out;
}

}  // namespace

ShardPart PartOf(const OutputTensor& tensor, std::string name, std::string_view type, int64_t cols,
                 DType dtype, Part part) {
  std::vector<int64_t> shape = tensor.shape();
  shape.back() = cols;
  return {std::move(name), type, std::move(shape), &tensor, dtype, part};
}

ShardPart FloatOf(const OutputTensor& tensor, DType dtype) {
  return PartOf(tensor, tensor.name, SafetensorsFloat(dtype), tensor.shape().back(), dtype,
                Part::kBlocks);
}

std::string_view SafetensorsFloat(DType dtype) {
  return dtype == DType::kF32 ? "F32" : dtype == DType::kBF16 ? "BF16" : "F16";
}

std::vector<PlannedFile> PlanShards(const ModelDescription& model,
                                    const std::vector<ShardBundle>& bundles,
                                    const ShardRules& rules) {
  std::vector<std::vector<const ShardBundle*>> shards;
  uint64_t size = 0, total = 0;
  for (const ShardBundle& bundle : bundles) {
    uint64_t bytes = 0;
    for (const ShardPart& part : bundle) bytes += BytesOf(part);
    if (shards.empty() || size + bytes > rules.shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().push_back(&bundle);
    size += bytes;
    total += bytes;
  }
  std::vector<PlannedFile> files;
  json::object where;
  for (size_t s = 0; s < shards.size(); ++s) {
    std::string name = shards.size() == 1
                           ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    files.push_back(PlanShard(model, std::move(name), shards[s], rules, where));
  }
  if (files.size() == 1 && !rules.index_of_one) return files;
  const json::object index{
      {"metadata", {{"total_size", total}, {"total_parameters", model.Parameters()}}},
      {"weight_map", std::move(where)}};
  files.push_back(WholeFile("model.safetensors.index.json", json::serialize(index) + "\n"));
  return files;
}

}  // namespace quantfleet::pipeline
