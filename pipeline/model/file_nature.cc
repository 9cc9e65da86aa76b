#include "pipeline/model/file_nature.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace quantfleet::pipeline {
namespace {

constexpr size_t kHeadBytes = 256;
constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";
constexpr std::string_view kGgufMagic = "GGUF";  // four letters: a file that was cut right there
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Without what may stand before a document, in lower case.
std::string Begin(std::string_view head) {
  if (head.starts_with(kByteOrderMark)) head.remove_prefix(kByteOrderMark.size());
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  std::string begin(head);
  for (char& c : begin) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return begin;
}

bool IsPage(std::string_view begin) {
  for (const std::string_view start : {"<!doctype html", "<html", "<?xml", "<head", "<body"})
    if (begin.starts_with(start)) return true;
  return false;
}

bool IsPlainText(std::string_view head) {
  return std::ranges::all_of(
      head, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
}

absl::Status Dangling(FileSystem& files, const fs::path& path) {
  const auto target = files.ReadLink(path);
  if (!target.ok()) return NotFound("{} is missing: download the model again", path.string());
  return NotFound(
      "{} is a link to {}, which does not exist: the download was not finished, or the cache was "
      "cleared; download the model again",
      path.string(), target->string());
}

}  // namespace

absl::StatusOr<uint64_t> CheckNature(FileSystem& files, const fs::path& path, Expected expected) {
  if (!files.Exists(path)) return Dangling(files, path);
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size == 0 && expected == Expected::kProse) return size;
  if (size == 0)
    return DataLoss("{} is empty: its download did not finish; download it again", path.string());
  std::string head(std::min<uint64_t>(size, kHeadBytes), '\0');
  QF_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(head))));
  if (head.starts_with(kLfsPointer))
    return InvalidArgument(
        "{} is a Git LFS pointer and not the file itself: run `git lfs install && git lfs pull` in "
        "its repository",
        path.string());
  if (expected == Expected::kProse) return size;
  if (IsPage(Begin(head)))
    return InvalidArgument(
        "{} is a web page and not the file itself: the download was answered with a login or an "
        "error page; download it again, with a token if the model is gated",
        path.string());
  if (expected == Expected::kBinary && IsPlainText(head) && !head.starts_with(kGgufMagic))
    return InvalidArgument(
        "{} is text (\"{}\") and not the file itself: the download was answered with a message; "
        "download it again, with a token if the model is gated",
        path.string(), head.substr(0, std::min<size_t>(head.find_first_of("\r\n"), 60)));
  return size;
}

}  // namespace quantfleet::pipeline
