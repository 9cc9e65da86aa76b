#include "pipeline/artifact/manifest.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <set>

#include "pipeline/artifact/encoding.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kRounding = "rounding=", kFold = "fold=";

constexpr uint32_t kFormatVersion = 1;
constexpr size_t kMaxManifestBytes = size_t{64} << 20;
constexpr size_t kMaxPathBytes = 512;
constexpr size_t kMaxChanges = 1024, kMaxChangeBytes = 512;

// Paths are joined to a folder on the reader's machine, whatever its system: no way out of it, no
// second spelling.
absl::Status CheckPath(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes)
    return InvalidArgument("a file's path has {} bytes; it must have 1 to {}", path.size(),
                           kMaxPathBytes);
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\' || c == ':')
      return InvalidArgument("file '{}': its path contains a character that is not allowed", path);
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..")
      return InvalidArgument(
          "file '{}': a path must be relative and must not contain an empty part, '.' or '..'",
          path);
    begin = end + 1;
  }
  if (path == kManifestFile)
    return InvalidArgument("file '{}': this name is reserved for the manifest", path);
  return absl::OkStatus();
}

absl::Status CheckDigest(std::string_view raw, std::string_view whose) {
  if (raw.size() != Digest::kSize)
    return InvalidArgument("{}: a digest must have 32 bytes, not {}", whose, raw.size());
  return absl::OkStatus();
}

absl::Status CheckTarget(const v1::Target& target) {
  if (target.format().empty() || target.recipe().empty())
    return InvalidArgument("the manifest does not name its format and recipe");
  if (static_cast<size_t>(target.changes_size()) > kMaxChanges)
    return InvalidArgument("the manifest lists {} recipe changes; the maximum is {}",
                           target.changes_size(), kMaxChanges);
  for (const std::string& change : target.changes())
    if (change.empty() || change.size() > kMaxChangeBytes)
      return InvalidArgument("a recipe change in the manifest has {} bytes; it must have 1 to {}",
                             change.size(), kMaxChangeBytes);
  return target.importance_digest().empty()
             ? absl::OkStatus()
             : CheckDigest(target.importance_digest(), "the manifest's importance");
}

absl::Status CheckChunks(const v1::ArtifactFile& file) {
  uint64_t sum = 0;
  for (const v1::Chunk& chunk : file.chunks()) {
    QF_RETURN_IF_ERROR(CheckDigest(chunk.digest(), file.path()));
    if (chunk.size() == 0 || chunk.size() > kMaxChunkBytes)
      return InvalidArgument("file '{}': a chunk has {} bytes; it must have 1 to {}", file.path(),
                             chunk.size(), kMaxChunkBytes);
    sum += chunk.size();  // fewer chunks than fit 64 MiB of manifest, each below 2^23: no overflow
  }
  if (sum != file.size())
    return InvalidArgument("file '{}': its chunks add up to {} bytes instead of {}", file.path(),
                           sum, file.size());
  return absl::OkStatus();
}

absl::Status CheckFiles(const v1::Manifest& manifest) {
  if (manifest.files().empty()) return InvalidArgument("the manifest lists no files");
  std::set<std::string, std::less<>> folders;
  std::string_view previous;
  uint64_t total = 0;
  for (const v1::ArtifactFile& file : manifest.files()) {
    const std::string_view path = file.path();
    QF_RETURN_IF_ERROR(CheckPath(path));
    if (path <= previous)
      return InvalidArgument("file '{}': files must be sorted by path and unique", path);
    previous = path;
    for (size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1))
      folders.emplace(path.substr(0, slash));
    QF_RETURN_IF_ERROR(CheckChunks(file));
    const auto sum = CheckedAdd(total, file.size());
    if (!sum) return InvalidArgument("the sum of the files' sizes overflows");
    total = *sum;
  }
  for (const v1::ArtifactFile& file : manifest.files())
    if (folders.contains(file.path()))
      return InvalidArgument("'{}' is a file and also the folder of another file", file.path());
  return absl::OkStatus();
}

}  // namespace

std::string SerializeManifest(const v1::Manifest& manifest) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    manifest.SerializeToCodedStream(&coded);
  }
  return bytes;
}

Digest ManifestDigest(const v1::Manifest& manifest) {
  return HashText(SerializeManifest(manifest));
}

absl::StatusOr<v1::Manifest> ParseManifest(std::string_view bytes) {
  if (bytes.size() > kMaxManifestBytes)
    return InvalidArgument("the manifest has {} bytes; the maximum is {}", bytes.size(),
                           kMaxManifestBytes);
  v1::Manifest manifest;
  if (!manifest.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return InvalidArgument("this is not a manifest: it cannot be parsed");
  if (manifest.format_version() != kFormatVersion)
    return InvalidArgument(
        "the manifest has format version {}, but this program supports only version {}: update the "
        "program",
        manifest.format_version(), kFormatVersion);
  // Fields that version 1 does not have would let one artifact have many names.
  manifest.DiscardUnknownFields();
  if (SerializeManifest(manifest) != bytes)
    return InvalidArgument("the manifest is not in canonical form");
  if (!v1::Manifest::Kind_IsValid(manifest.kind()))
    return InvalidArgument(
        "the manifest is of kind {}, which this program does not know: update it",
        static_cast<int>(manifest.kind()));
  QF_RETURN_IF_ERROR(CheckDigest(manifest.source().digest(), "the manifest's source"));
  QF_RETURN_IF_ERROR(CheckTarget(manifest.target()));
  QF_RETURN_IF_ERROR(CheckFiles(manifest));
  return manifest;
}

uint64_t ArtifactBytes(const v1::Manifest& manifest) {
  uint64_t total = 0;
  for (const v1::ArtifactFile& file : manifest.files()) total += file.size();
  return total;
}

std::string RoundingOf(const v1::Manifest& manifest) {
  for (const std::string& change : manifest.target().changes())
    if (change.starts_with(kRounding)) return change.substr(kRounding.size());
  return "nearest";
}

std::string RoundingChange(std::string_view rounding) {
  return std::string(kRounding).append(rounding);
}

bool IsFolded(const v1::Manifest& manifest) {
  return std::ranges::any_of(manifest.target().changes(),
                             [](const std::string& change) { return change.starts_with(kFold); });
}

std::string FoldChange(const Digest& fold) { return std::string(kFold) + fold.hex(); }

}  // namespace quantfleet::pipeline
