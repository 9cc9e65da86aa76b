#include "pipeline/format/safetensors/model_files.h"

#include <algorithm>
#include <set>

#include "common/base/bytes.h"
#include "common/base/outside_text.h"
#include "pipeline/format/safetensors/hf_pooling.h"
#include "pipeline/format/safetensors/pickle.h"
#include "pipeline/model/file_nature.h"
#include "pipeline/model/shard_name.h"

namespace quantfleet::pipeline {
namespace {

using Part = ModelFile::Part;

constexpr std::string_view kConfig = "config.json", kSafetensors = ".safetensors", kGguf = ".gguf",
                           kTemplate = ".jinja", kGgufMagic = "GGUF", kHubFolder = "models--";
constexpr uint64_t kMaxRevisionBytes = 256;
constexpr size_t kNamed = 8;  // so many names are enough for an error

constexpr struct {
  std::string_view name;
  Part part;
} kNamedParts[] = {
    {kConfig, Part::kConfiguration},          {"generation_config.json", Part::kGeneration},
    {kModulesFile, Part::kPooling},           {"tokenizer.model", Part::kTokenizer},
    {"tokenizer.json", Part::kTokenizer},     {"tokenizer_config.json", Part::kTokenizer},
    {"added_tokens.json", Part::kTokenizer},  {"special_tokens_map.json", Part::kTokenizer},
    {"chat_template.json", Part::kTokenizer}, {"chat_template.jinja", Part::kTokenizer},
    {kPromptsFile, Part::kPooling},           {kLengthFile, Part::kPooling},
};

bool IsAttachment(std::string_view name) {
  const bool plain = std::ranges::all_of(
      name, [](char c) { return c > ' ' && c <= '~' && c != '/' && c != '\\'; });
  return plain && (name.starts_with("LICENSE") || name.starts_with("LICENCE") ||
                   name.starts_with("NOTICE") || name == "README.md");
}

std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + Shown(names[i]);
  if (names.size() > kNamed) text += fmt::format(" and {} more", names.size() - kNamed);
  return text;
}

// "Phi-3-mini" of ".../models--microsoft--Phi-3-mini/snapshots/0a1b", the folder's name elsewhere.
std::string NameOf(const fs::path& folder) {
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const std::string cache = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() == "snapshots" && cache.starts_with(kHubFolder))
    return cache.substr(cache.rfind("--") + 2);
  return path.filename().string();
}

absl::Status NotThere(const fs::path& path) {
  const std::string text = path.string();
  if (!IsHubName(text)) return NotFound("file or folder {} does not exist", text);
  return NotFound(
      "file or folder {} does not exist; if it is a model of the Hugging Face hub, download it "
      "with "
      "`{}` and pass the folder",
      text, DownloadCommand(text));
}

// The folder of the hub's cache that holds a model's files: `folder`, unless it is the one above.
absl::StatusOr<fs::path> SnapshotOf(FileSystem& files, const fs::path& folder) {
  const fs::path snapshots = folder / "snapshots", main = folder / "refs" / "main";
  if (files.Exists(folder / kConfig) || !files.Exists(snapshots)) return folder;
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> there, files.List(snapshots));
  if (files.Exists(main)) {
    QF_ASSIGN_OR_RETURN(std::string revision, files.ReadAll(main, kMaxRevisionBytes));
    revision.erase(revision.find_last_not_of(" \r\n") + 1);
    if (std::ranges::find(there, revision) != there.end()) return snapshots / revision;
    return NotFound("{} names the snapshot {}, which is missing: download the model again",
                    main.string(), Shown(revision));
  }
  if (there.size() == 1) return snapshots / there[0];
  if (there.empty()) return NotFound("{} is empty: download the model again", snapshots.string());
  return InvalidArgument("{} contains several snapshots ({}): pass the folder of one",
                         snapshots.string(), Listed(there));
}

// The files of a GGUF model whose `file` is there, by name: those that it was split into, or
// itself.
absl::StatusOr<std::vector<std::string>> ShardsOf(FileSystem& files, const fs::path& folder,
                                                  const std::string& file) {
  const std::optional<ShardName> name = ParseShardName(file);
  if (!name || name->count == 1) return std::vector<std::string>{file};
  std::vector<std::string> shards;
  for (uint32_t i = 1; i <= name->count; ++i) {
    shards.push_back(name->File(i));
    if (!files.Exists(folder / shards.back()))
      return NotFound("{} is missing, one of the {} files of the model: download it again",
                      (folder / shards.back()).string(), name->count);
  }
  return shards;
}

absl::Status TakeAdapter(FileSystem& files, const fs::path& folder, const fs::path& name,
                         ModelFiles& model) {
  QF_ASSIGN_OR_RETURN(const AdapterSizes sizes, CheckAdapterFiles(files, folder));
  model.files.push_back({Part::kAdapter, (name / kAdapterConfig).string(), sizes.config});
  model.files.push_back({Part::kAdapter, (name / kAdapterWeights).string(), sizes.weights});
  return absl::OkStatus();
}

// Looks through one folder, step by step.
class FolderResolver {
 public:
  FolderResolver(FileSystem& files, const fs::path& folder, std::vector<std::string> names)
      : files_(files) {
    std::erase_if(names, [](const std::string& name) { return name.starts_with("."); });
    names_ = std::move(names);
    result_.folder = folder;
    result_.name = NameOf(folder);
  }

  absl::StatusOr<ModelFiles> Run() {
    const std::vector<std::string> gguf = Ending(kGguf);
    if (!AnyOfFolder() && !gguf.empty()) {
      QF_ASSIGN_OR_RETURN(const std::vector<std::string> shards,
                          ShardsOf(files_, result_.folder, gguf[0]));
      if (gguf.size() > shards.size() || !std::ranges::is_permutation(gguf, shards))
        return InvalidArgument("{} contains several GGUF files ({}): pass the one that is meant",
                               result_.folder.string(), Listed(gguf));
      if (Has(kConfig)) Ignore(std::string(kConfig), gguf[0] + " has a configuration of its own");
      for (const std::string& shard : shards)
        QF_RETURN_IF_ERROR(Take(shard, Part::kWeights, Expected::kBinary));
      QF_RETURN_IF_ERROR(TakeAdapters());
      result_.gguf = true;
      result_.why = shards.size() == 1
                        ? shards[0] + ", the only weights in the folder"
                        : fmt::format("the {} files of {}, the only weights in the folder",
                                      shards.size(), ParseShardName(shards[0])->model);
      return std::move(result_);
    }
    if (!Has(kConfig))
      return NotFound("{} is missing: is {} a model folder?", (result_.folder / kConfig).string(),
                      result_.folder.string());
    QF_RETURN_IF_ERROR(ChooseWeights());
    for (const auto& known : kNamedParts)
      if (Has(known.name))
        QF_RETURN_IF_ERROR(
            Take(std::string(known.name), known.part,
                 known.name == "tokenizer.model" ? Expected::kBinary : Expected::kText));
    QF_RETURN_IF_ERROR(TakeTemplates());
    QF_RETURN_IF_ERROR(TakeAdapters());
    if (Has(kModulesFile)) QF_RETURN_IF_ERROR(TakePooling());
    for (const std::string& name : names_)
      if (IsAttachment(name) && !files_.List(result_.folder / name).ok())  // a folder LICENSES
        QF_RETURN_IF_ERROR(Take(name, Part::kAttachment, Expected::kProse));
    for (const std::string& name : gguf)
      Ignore(name, "the folder has safetensors; pass the file itself to use it");
    std::ranges::sort(result_.files, {}, &ModelFile::name);
    return std::move(result_);
  }

 private:
  bool Has(std::string_view name) const { return std::ranges::find(names_, name) != names_.end(); }
  std::vector<std::string> Ending(std::string_view ending) const {
    std::vector<std::string> found;
    for (const std::string& name : names_)
      if (name.ends_with(ending)) found.push_back(name);
    return found;
  }
  // Weights that go with a config.json, whether they are complete or not.
  bool AnyOfFolder() const { return Has(kShardIndex) || !Ending(kSafetensors).empty(); }

  void Ignore(const std::string& name, std::string_view why) {
    result_.ignored.push_back(fmt::format("{}: {}", Shown(name), why));
  }

  absl::Status Take(const std::string& name, Part part, Expected expected) {
    QF_ASSIGN_OR_RETURN(const uint64_t size, CheckNature(files_, result_.folder / name, expected));
    result_.files.push_back({part, name, size});
    return absl::OkStatus();
  }

  absl::Status TakeTemplates() {
    if (!Has(kTemplateFolder)) return absl::OkStatus();
    const std::string folder(kTemplateFolder);
    const auto names = files_.List(result_.folder / folder);
    if (!names.ok()) return absl::OkStatus();  // a file, which says nothing to anybody
    for (const std::string& name : *names)
      if (name.ends_with(kTemplate) && !name.starts_with('.'))
        QF_RETURN_IF_ERROR(Take(folder + "/" + name, Part::kTokenizer, Expected::kText));
    return absl::OkStatus();
  }

  absl::Status TakeAdapters() {
    if (!Has(kAdapterList)) return absl::OkStatus();
    QF_RETURN_IF_ERROR(Take(std::string(kAdapterList), Part::kAdapter, Expected::kText));
    QF_ASSIGN_OR_RETURN(result_.adapters, ReadAdapterList(files_, result_.folder));
    for (const LoraChoice& adapter : result_.adapters)
      QF_RETURN_IF_ERROR(TakeAdapter(files_, adapter.folder,
                                     adapter.folder.lexically_relative(result_.folder), result_));
    return absl::OkStatus();
  }

  // The one file of a folder below that a model is read from.
  absl::Status TakePooling() {
    for (const std::string& name : names_) {
      const std::string config = fmt::format("{}/{}", name, kConfig);
      if (name.ends_with("_Pooling") && files_.Exists(result_.folder / config))
        QF_RETURN_IF_ERROR(Take(config, Part::kPooling, Expected::kText));
    }
    return absl::OkStatus();
  }

  absl::Status ChooseWeights() {
    std::vector<std::string> missing;
    if (Has(kShardIndex)) {
      QF_RETURN_IF_ERROR(
          CheckNature(files_, result_.folder / kShardIndex, Expected::kText).status());
      QF_ASSIGN_OR_RETURN(result_.shards, ReadShardIndex(files_, result_.folder));
      for (const std::string& shard : result_.shards.shards)
        if (!Has(shard)) missing.push_back(shard);
    }
    const std::vector<std::string>& shards = result_.shards.shards;
    const bool index_names_single = std::ranges::find(shards, kSingleShard) != shards.end();
    if (Has(kSingleShard) && !index_names_single) {
      if (missing.size() < shards.size())
        return InvalidArgument(
            "{} contains two sets of weights: {}, and the {} that {} names ({}); remove the one "
            "that is not meant",
            result_.folder.string(), kSingleShard, Shards(shards.size()), kShardIndex,
            Listed(shards));
      if (Has(kShardIndex))
        Ignore(std::string(kShardIndex),
               fmt::format("of the {} that it names none is there", Shards(shards.size())));
      result_.shards = {{std::string(kSingleShard)}, {}, {}};
      result_.why = kSingleShard;
    } else if (Has(kShardIndex)) {
      if (!missing.empty())
        return NotFound(
            "{} is missing, one of the {} files that {} names: download the model again",
            (result_.folder / missing[0]).string(), shards.size(), kShardIndex);
      QF_RETURN_IF_ERROR(Take(std::string(kShardIndex), Part::kIndex, Expected::kText));
      result_.why = fmt::format("the {} that {} names", Shards(shards.size()), kShardIndex);
    } else {
      return NoWeights();
    }
    for (const std::string& shard : result_.shards.shards)
      QF_RETURN_IF_ERROR(Take(shard, Part::kWeights, Expected::kBinary));
    NameOtherWeights();
    return absl::OkStatus();
  }

  static std::string Shards(size_t count) {
    return fmt::format("{} {}", count, count == 1 ? "shard" : "shards");
  }

  void NameOtherWeights() {
    const std::vector<std::string>& used = result_.shards.shards;
    for (const std::string& name : names_) {
      if (IsPickle(name))
        Ignore(name, "the folder has safetensors");
      else if (name.ends_with(kSafetensors) && std::ranges::find(used, name) == used.end())
        Ignore(name, result_.Has(kShardIndex) ? fmt::format("{} does not name it", kShardIndex)
                                              : fmt::format("the weights are in {}", kSingleShard));
    }
  }

  absl::Status NoWeights() const {
    const std::string folder = result_.folder.string();
    if (const auto loose = Ending(kSafetensors); !loose.empty())
      return NotFound(
          "{} is missing beside {}, so it is not known which files make the model: download the "
          "model again",
          (result_.folder / kShardIndex).string(), Listed(loose));
    for (const std::string& name : names_)
      if (IsPickle(name)) return PickleRefused(result_.folder, name);
    return NotFound("{} contains no weights: neither {} nor {}", folder, kSingleShard, kShardIndex);
  }

  FileSystem& files_;
  std::vector<std::string> names_;
  ModelFiles result_;
};

absl::StatusOr<ModelFiles> ResolveFile(FileSystem& files, const fs::path& path) {
  const std::string name = path.filename().string();
  if (IsPickle(name)) return PickleRefused(path.parent_path(), name);
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::string magic(std::min<uint64_t>(size, kGgufMagic.size()), '\0');
  QF_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(magic))));
  if (magic == kGgufMagic) {
    ModelFiles result;
    result.folder = path.parent_path();
    result.name = path.stem().string();
    result.gguf = true;
    QF_ASSIGN_OR_RETURN(const std::vector<std::string> shards,
                        ShardsOf(files, result.folder, name));
    if (shards.size() == 1) {
      result.files = {{Part::kWeights, name, size}};
      result.why = name + ", a GGUF file";
      return result;
    }
    for (const std::string& shard : shards) {
      QF_ASSIGN_OR_RETURN(const uint64_t bytes,
                          CheckNature(files, result.folder / shard, Expected::kBinary));
      result.files.push_back({Part::kWeights, shard, bytes});
    }
    result.name = ParseShardName(name)->model;
    result.why = fmt::format("the {} files of {}", shards.size(), result.name);
    return result;
  }
  const bool weights = path.extension() == kSafetensors;
  if (weights || path.extension() == kGguf)
    QF_RETURN_IF_ERROR(CheckNature(files, path, Expected::kBinary).status());
  if (weights)
    return InvalidArgument(
        "{} is only one file of a model: pass its folder, which also contains config.json and the "
        "tokenizer",
        path.string());
  return InvalidArgument(
      "{} is not a supported model: pass a Hugging Face folder with safetensors, or a GGUF file",
      path.string());
}

}  // namespace

std::string_view PartName(Part part) {
  switch (part) {
    case Part::kConfiguration:
      return "configuration";
    case Part::kWeights:
      return "weights";
    case Part::kIndex:
      return "index";
    case Part::kTokenizer:
      return "tokenizer";
    case Part::kGeneration:
      return "generation";
    case Part::kPooling:
      return "pooling";
    case Part::kAttachment:
      return "attachment";
    case Part::kAdapter:
      return "adapter";
  }
  return "";
}

absl::Status AddAdapters(FileSystem& files, const std::vector<LoraChoice>& choices,
                         ModelFiles& model) {
  for (LoraChoice choice : choices) {
    choice.folder = fs::absolute(choice.folder);
    QF_RETURN_IF_ERROR(TakeAdapter(files, choice.folder, choice.folder, model));
    model.adapters.push_back(std::move(choice));
  }
  return absl::OkStatus();
}

bool ModelFiles::Has(std::string_view file) const {
  return std::ranges::find(files, file, &ModelFile::name) != files.end();
}

bool IsHubName(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == path.size()) return false;
  if (path.find('/', slash + 1) != std::string_view::npos) return false;
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  };
  return std::ranges::all_of(path, plain) && path[0] != '.' && path[slash + 1] != '.' &&
         path[0] != '-';
}

std::string DownloadCommand(std::string_view hub_name) {
  return fmt::format("hf download {} --local-dir {}", hub_name,
                     hub_name.substr(hub_name.find('/') + 1));
}

absl::StatusOr<ModelFiles> ResolveModel(FileSystem& files, const fs::path& path) {
  if (!files.Exists(path)) {
    if (files.ReadLink(path).ok()) return CheckNature(files, path, Expected::kBinary).status();
    return NotThere(path);
  }
  if (!files.List(path).ok()) return ResolveFile(files, path);
  QF_ASSIGN_OR_RETURN(const fs::path folder, SnapshotOf(files, path));
  QF_ASSIGN_OR_RETURN(std::vector<std::string> names, files.List(folder));
  return FolderResolver(files, folder, std::move(names)).Run();
}

}  // namespace quantfleet::pipeline
