#include "pipeline/format/safetensors/hf_source.h"

#include <algorithm>
#include <optional>
#include <set>

#include "common/base/digest.h"
#include "pipeline/family/cut_pieces.h"
#include "pipeline/format/safetensors/hf_pooling.h"
#include "pipeline/format/safetensors/hf_tokenizer.h"
#include "pipeline/format/safetensors/packed_parts.h"
#include "pipeline/format/safetensors/safetensors_file.h"
#include "pipeline/format/safetensors/shard_index.h"
#include "pipeline/model/hf_generation.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kMaxConfigBytes = 4u << 20;
constexpr uint64_t kMaxTokenizerBytes = 64u << 20;
constexpr uint64_t kMaxAttachmentBytes = 1u << 20;
constexpr uint64_t kCompareBytes = 1u << 20;

// Tensors that some checkpoints carry and that every runtime computes for itself.
bool IsDerivedTensor(std::string_view name) {
  for (const std::string_view suffix : {".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                        ".rotary_emb.sin_cached", ".self_attn.masked_bias"})
    if (name.ends_with(suffix)) return true;
  return false;
}

// Of a checkpoint of a model that does more than text, the tensor's name in one of its text part
// alone; empty: it is of another part. The prefix has changed its place with time.
std::string TextName(std::string_view name) {
  constexpr std::string_view kPart = "language_model.", kModel = "model.";
  if (name.starts_with(kPart)) return std::string(name.substr(kPart.size()));
  if (name.starts_with(kModel) && name.substr(kModel.size()).starts_with(kPart))
    return fmt::format("{}{}", kModel, name.substr(kModel.size() + kPart.size()));
  return name.starts_with("lm_head.") ? std::string(name) : "";
}

// Of a checkpoint that has adapters and encoders beside the model: the tensor's name in one of the
// model alone; empty: it is of another part.
std::string NameWithoutAdapters(std::string_view name) {
  constexpr std::string_view kBase = ".base_layer.";
  if (name.starts_with("model.embed_tokens_extend.") ||
      name.find(".lora_A.") != std::string_view::npos ||
      name.find(".lora_B.") != std::string_view::npos)
    return "";
  std::string plain(name);
  if (const size_t at = plain.find(kBase); at != std::string::npos)
    plain.replace(at, kBase.size(), ".");
  return plain;
}

}  // namespace

// Opens a folder step by step. Every file that shapes the artifact passes through Note or ReadText,
// and so into the fingerprint.
class HfOpener {
 public:
  HfOpener(FileSystem& files, const ModelFiles& model)
      : files_(files), folder_(model.folder), model_(model), source_(new HfSource) {}

  absl::StatusOr<std::unique_ptr<HfSource>> Run() {
    QF_ASSIGN_OR_RETURN(const std::string config_text, ReadText("config.json", kMaxConfigBytes));
    QF_ASSIGN_OR_RETURN(HfConfig config,
                        ParseHfConfig(config_text, (folder_ / "config.json").string()));
    ModelDescription& model = source_->description_;
    model.family = config.family;
    model.hyper = config.hyper;
    model.published_name = config.published_name;
    model.name = model.published_name.empty() ? model_.name : model.published_name;
    text_part_ = config.text_part;
    if (!config.text_part && !config.beside_adapters) source_->config_ = config_text;
    QF_RETURN_IF_ERROR(ReadPooling(config));
    // Weights before the tokenizer: a vocab_size without the rows to match is found before anything
    // is padded to it.
    beside_adapters_ = config.beside_adapters;
    QF_RETURN_IF_ERROR(OpenShards());
    if (left_out_ > 0)
      model.notes.push_back(fmt::format(
          "the model does more than text: what belongs to its other parts ({} of its tensors) is "
          "left out, and what is made of it takes text alone{}",
          left_out_, beside_adapters_ ? "; --lora merges an adapter that has a folder" : ""));
    QF_RETURN_IF_ERROR(TakeWeights(config.quantization));
    QF_RETURN_IF_ERROR(CompareTiedHead());
    // An embedding model does without one, whatever its config.json says.
    if (model.embedding && !HasHead()) model.hyper.tied_embeddings = true;
    QF_RETURN_IF_ERROR(Annotate(CutPieces(Dialect::kHf, model), folder_.string()));
    QF_RETURN_IF_ERROR(ReadTokenizer(config));
    QF_RETURN_IF_ERROR(ReadAttachments());
    source_->fingerprint_.text = fmt::format("safetensors {} {}", noted_, contents_.Finish().hex());
    return std::move(source_);
  }

 private:
  absl::Status Note(const std::string& name, uint64_t size) {
    QF_ASSIGN_OR_RETURN(const int64_t modified, files_.ModifiedAt(folder_ / name));
    noted_ += fmt::format("{}:{}:{} ", name, size, modified);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadText(const std::string& name, uint64_t limit) {
    QF_ASSIGN_OR_RETURN(std::string text, files_.ReadAll(folder_ / name, limit));
    QF_RETURN_IF_ERROR(Note(name, text.size()));
    contents_.Update(HashText(text).span());
    return text;
  }

  absl::Status ReadPooling(HfConfig& config) {
    const std::string modules(kModulesFile);
    if (!model_.Has(modules)) {
      if (!config.headless) return absl::OkStatus();
      return InvalidArgument(
          "{}: its class is an embedding model's, but {} and 1_Pooling/config.json, which say how "
          "to pool, are missing: copy them from the published model as well",
          (folder_ / "config.json").string(), modules);
    }
    QF_ASSIGN_OR_RETURN(const std::string list, ReadText(modules, kMaxConfigBytes));
    QF_ASSIGN_OR_RETURN(const std::string folder,
                        PoolingFolder(list, (folder_ / modules).string()));
    const std::string name = folder + "/config.json";
    if (!model_.Has(name))
      return NotFound("{} is missing, which {} names: copy it from the published model as well",
                      (folder_ / name).string(), modules);
    QF_ASSIGN_OR_RETURN(const std::string text, ReadText(name, kMaxConfigBytes));
    QF_ASSIGN_OR_RETURN(const Pooling pooling,
                        ParseHfPooling(text, config.hyper.hidden, (folder_ / name).string()));
    // Not for us, but for sentence-transformers, which reads the folders of other formats, too.
    for (const std::string_view file : {kPromptsFile, kLengthFile}) {
      if (!model_.Has(file)) continue;
      QF_ASSIGN_OR_RETURN(std::string content, ReadText(std::string(file), kMaxConfigBytes));
      source_->tokenizer_files_.push_back({std::string(file), std::move(content)});
    }
    config.embeds = true;
    source_->description_.embedding = {pooling, config.dimensions, config.any_dimensions};
    return absl::OkStatus();
  }

  bool HasHead() const {
    const ModelDescription& model = source_->description_;
    const std::string head = TensorName(*model.family, Dialect::kHf, Role::kOutputHead);
    return std::ranges::find(model.tensors, head, &SourceTensor::name) != model.tensors.end();
  }

  // As the family spells it: files of a class without a head leave out "model." in front.
  std::string Spelled(const std::string& name) const {
    constexpr std::string_view kModel = "model.";
    const ModelDescription& model = source_->description_;
    const std::string embedding = TensorName(*model.family, Dialect::kHf, Role::kTokenEmbedding);
    const bool left_out = model.embedding && embedding.starts_with(kModel) &&
                          !name.starts_with(kModel) && !name.starts_with("lm_head.");
    return left_out ? fmt::format("{}{}", kModel, name) : name;
  }

  absl::Status OpenShards() {
    const ShardIndex& index = model_.shards;
    contents_.Update(HashText(index.text).span());
    for (const std::string& shard : index.shards) QF_RETURN_IF_ERROR(OpenShard(shard, index));
    for (const auto& [tensor, shard] : index.tensor_to_shard)
      if (!seen_.contains(tensor))
        return InvalidArgument(
            "the index puts tensor '{}' into {}, which does not contain it: index and shards do "
            "not belong to the same model; download both again",
            tensor, (folder_ / shard).string());
    return absl::OkStatus();
  }

  absl::Status OpenShard(const std::string& shard, const ShardIndex& index) {
    const std::string path = (folder_ / shard).string();
    QF_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                        files_.Open(folder_ / shard, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    QF_RETURN_IF_ERROR(Note(shard, size));
    QF_ASSIGN_OR_RETURN(const SafetensorsFile header, SafetensorsFile::Read(*file, path));
    contents_.Update(header.header_digest().span());
    for (const SafetensorsTensor& tensor : header.tensors()) {
      if (!index.tensor_to_shard.empty()) {
        const auto it = index.tensor_to_shard.find(tensor.name);
        if (it == index.tensor_to_shard.end() || it->second != shard)
          return InvalidArgument(
              "{} contains tensor '{}', which the index {}: index and shards do not belong to the "
              "same model; download both again",
              path, tensor.name,
              it == index.tensor_to_shard.end() ? "does not name" : "puts into " + it->second);
      }
      seen_.emplace(tensor.name);
      ShardTensor taken{tensor, source_->shards_.size(), file.get(), path};
      if (text_part_) taken.tensor.name = TextName(tensor.name);
      if (beside_adapters_) taken.tensor.name = NameWithoutAdapters(tensor.name);
      if (taken.tensor.name.empty())
        ++left_out_;
      else
        tensors_.push_back(std::move(taken));
    }
    source_->shards_.push_back(std::move(file));
    source_->paths_.push_back(path);
    return absl::OkStatus();
  }

  absl::Status TakeWeights(const HfQuantization& quantization) {
    QF_ASSIGN_OR_RETURN(std::vector<CheckpointWeight> weights, JoinParts(quantization, tensors_));
    for (CheckpointWeight& weight : weights) {
      const ShardTensor& stored = tensors_[weight.stored];
      if (weight.packed) {
        AddPacked(weight.name, quantization.name, stored, *std::move(weight.packed));
      } else {
        QF_RETURN_IF_ERROR(Take(stored));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Take(const ShardTensor& stored) {
    ModelDescription& model = source_->description_;
    if (IsDerivedTensor(stored.tensor.name) ||
        std::ranges::find(model.family->left_out, stored.tensor.name) !=
            model.family->left_out.end())
      return absl::OkStatus();
    // A tied checkpoint may repeat the embedding as its head; whether it does is seen when both are
    // there.
    if (model.hyper.tied_embeddings && !head_ &&
        stored.tensor.name == TensorName(*model.family, Dialect::kHf, Role::kOutputHead)) {
      head_ = stored;
      return absl::OkStatus();
    }
    return Add(stored);
  }

  void AddPacked(const std::string& name, const std::string& method, const ShardTensor& codes,
                 PackedWeight packed) {
    ModelDescription& model = source_->description_;
    const DType type = packed.Type();
    model.tensors.push_back({.name = Spelled(name),
                             .dtype = type,
                             .rows = packed.rows,
                             .cols = packed.cols,
                             .dims = packed.matrices == 1 ? 2 : 3,
                             .matrices = packed.matrices,
                             .packed = method.empty() ? codes.tensor.dtype_name : method});
    source_->places_.push_back({codes.shard, codes.tensor.offset,
                                static_cast<uint64_t>(packed.rows * RowBytes(type, packed.cols)),
                                source_->packed_.size()});
    source_->packed_.push_back(std::move(packed));
  }

  absl::Status Add(const ShardTensor& stored) {
    ModelDescription& model = source_->description_;
    const SafetensorsTensor& tensor = stored.tensor;
    if (!tensor.dtype)
      return Unimplemented(
          "{}: tensor '{}' has the dtype {} and belongs to no weight that is quantized as "
          "config.json says; by themselves only F32, F16 and BF16 are supported: use the original "
          "model",
          stored.path, tensor.name, tensor.dtype_name);
    if (tensor.shape.empty() || tensor.shape.size() > 2 || tensor.size == 0)
      return InvalidArgument(
          "{}: tensor '{}' has {} dimensions and {} bytes; weights of a {} model must have 1 or 2 "
          "dimensions and must not be empty",
          stored.path, tensor.name, tensor.shape.size(), tensor.size, model.family->name);
    const bool flat = tensor.shape.size() == 1;
    model.tensors.push_back({.name = Spelled(tensor.name),
                             .dtype = *tensor.dtype,
                             .rows = flat ? 1 : tensor.shape[0],
                             .cols = tensor.shape.back(),
                             .dims = flat ? 1 : 2});
    source_->places_.push_back({stored.shard, tensor.offset, tensor.size});
    return absl::OkStatus();
  }

  // The head of a checkpoint that calls its embedding tied. The same bytes once more are left out;
  // others are a head of its own, whatever config.json says: without it the model talks rubbish.
  absl::Status CompareTiedHead() {
    if (!head_) return absl::OkStatus();
    ModelDescription& model = source_->description_;
    const std::string embedding = TensorName(*model.family, Dialect::kHf, Role::kTokenEmbedding);
    const auto found = std::ranges::find(model.tensors, embedding, &SourceTensor::name);
    if (found == model.tensors.end()) return absl::OkStatus();  // which is said elsewhere
    const HfSource::Place& place =
        source_->places_[static_cast<size_t>(found - model.tensors.begin())];
    const SafetensorsTensor& head = head_->tensor;
    bool same = !place.packed && head.dtype == found->dtype && head.size == place.size &&
                head.shape == std::vector<int64_t>{found->rows, found->cols};
    Bytes ours(std::min<uint64_t>(head.size, kCompareBytes)), theirs(ours.size());
    for (uint64_t at = 0; same && at < head.size; at += kCompareBytes) {
      const uint64_t size = std::min(head.size - at, kCompareBytes);
      const MutableBytes a = MutableBytes(ours).first(size), b = MutableBytes(theirs).first(size);
      QF_RETURN_IF_ERROR(source_->shards_[place.shard]->ReadAt(place.offset + at, a));
      QF_RETURN_IF_ERROR(source_->shards_[head_->shard]->ReadAt(head.offset + at, b));
      same = std::ranges::equal(a, b);
    }
    if (same) return absl::OkStatus();
    model.hyper.tied_embeddings = false;
    model.notes.push_back(
        fmt::format("config.json says tie_word_embeddings, but {} differs from {}: both are kept",
                    head.name, embedding));
    return Add(*head_);
  }

  // As transformers has it: of the tokens that end a generation this file's list counts, and
  // config.json's where there is none.
  absl::Status ReadGeneration(HfConfig& config) {
    constexpr const char* kName = "generation_config.json";
    if (!model_.Has(kName)) return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(std::string text, ReadText(kName, kMaxAttachmentBytes));
    QF_ASSIGN_OR_RETURN(HfGeneration generation,
                        ParseHfGeneration(text, config.hyper.vocab, (folder_ / kName).string()));
    if (!generation.ends.empty()) config.ends = std::move(generation.ends);
    source_->description_.sampling = generation.sampling;
    source_->tokenizer_files_.push_back({kName, std::move(text)});
    return absl::OkStatus();
  }

  absl::Status ReadTokenizer(HfConfig& config) {
    HfTokenizerFiles texts;
    for (const auto& [name, text] : {std::pair("tokenizer.model", &texts.model),
                                     {"tokenizer.json", &texts.tokenizer_json},
                                     {"tokenizer_config.json", &texts.tokenizer_config},
                                     {"added_tokens.json", &texts.added_tokens},
                                     {"chat_template.json", &texts.chat_template_json},
                                     {"chat_template.jinja", &texts.chat_template}}) {
      if (!model_.Has(name)) continue;
      QF_ASSIGN_OR_RETURN(*text, ReadText(name, kMaxTokenizerBytes));
      source_->tokenizer_files_.push_back({name, **text});
    }
    for (const ModelFile& file : model_.files) {
      const fs::path path = file.name;
      if (path.parent_path() != kTemplateFolder) continue;
      QF_ASSIGN_OR_RETURN(std::string text, ReadText(file.name, kMaxAttachmentBytes));
      texts.more_templates.emplace_back(path.stem().string(), text);
      source_->tokenizer_files_.push_back({file.name, std::move(text)});
    }
    // Not for us, but for runtimes that read the folder as it is.
    constexpr const char* kMap = "special_tokens_map.json";
    if (model_.Has(kMap)) {
      QF_ASSIGN_OR_RETURN(std::string text, ReadText(kMap, kMaxAttachmentBytes));
      source_->tokenizer_files_.push_back({kMap, std::move(text)});
    }
    QF_RETURN_IF_ERROR(ReadGeneration(config));
    absl::StatusOr<text::TokenizerData> tokenizer = BuildTokenizer(texts, config);
    if (!tokenizer.ok()) return Annotate(tokenizer.status(), folder_.string());
    if (tokenizer->llama_cpp_differs)
      source_->description_.notes.push_back(fmt::format(
          "llama.cpp has no tokenizer that makes the same ids as this model's tokenizer.json: GGUF "
          "artifacts carry its description for quantfleet's devices, and llama.cpp, which does not "
          "read it, will split some texts otherwise (as '{}')",
          tokenizer->pre));
    source_->description_.tokenizer = *std::move(tokenizer);
    return absl::OkStatus();
  }

  absl::Status ReadAttachments() {
    for (const ModelFile& file : model_.files) {
      if (file.part != ModelFile::Part::kAttachment) continue;
      QF_ASSIGN_OR_RETURN(std::string content, ReadText(file.name, kMaxAttachmentBytes));
      if (!content.empty()) source_->attachments_.push_back({file.name, std::move(content)});
    }
    return absl::OkStatus();
  }

  FileSystem& files_;
  const fs::path& folder_;
  const ModelFiles& model_;
  std::unique_ptr<HfSource> source_;
  std::set<std::string> seen_;
  std::vector<ShardTensor> tensors_;
  bool text_part_ = false, beside_adapters_ = false;  // of the model's class (HfClass)
  int64_t left_out_ = 0;                              // tensors
  std::optional<ShardTensor> head_;                   // of a checkpoint whose embedding is tied
  std::string noted_;
  Sha256 contents_;
};

absl::StatusOr<std::unique_ptr<HfSource>> HfSource::Open(FileSystem& files,
                                                         const ModelFiles& model) {
  return HfOpener(files, model).Run();
}

absl::Status HfSource::Read(size_t tensor, uint64_t offset, MutableBytes out) const {
  if (tensor >= places_.size() || offset > places_[tensor].size ||
      out.size() > places_[tensor].size - offset)
    return OutOfRange("reading beyond the end of tensor {}", tensor);
  const Place& place = places_[tensor];
  const SourceTensor& as = description_.tensors[tensor];
  return Annotate(place.packed ? packed_[*place.packed].Read(as.dtype, offset, out)
                               : shards_[place.shard]->ReadAt(place.offset + offset, out),
                  as.name);
}

void HfSource::Release(size_t tensor, uint64_t offset, uint64_t size) const {
  const Place& place = places_[tensor];
  if (!place.packed) return shards_[place.shard]->DropCache(place.offset + offset, size);
  // Its last rows: codes that lie in columns are read again and again until then.
  const CodeMatrix& codes = packed_[*place.packed].codes;
  if (offset + size == place.size) shards_[place.shard]->DropCache(codes.offset, codes.bytes());
}

}  // namespace quantfleet::pipeline
