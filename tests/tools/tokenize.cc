// Texts through the tokenizer of a tokenizer.json or a GGUF, for tests/judges and benchmarks.
//
// usage: tokenize FILE < TEXTS > RESULTS
//   TEXTS    lines, each a JSON string
//   RESULTS  lines, each {"ids": [...], "text": "..."} or {"error": "..."}
// usage: tokenize FILE --time TEXT
//   prints the seconds that it took to encode the file TEXT, line by line, and the number of ids
// usage: tokenize FILE --write OUT.json
//   writes the tokenizer.json that other formats get of a GGUF with this tokenizer
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>

#include "engine/decode/load_tokenizer.h"
#include "pipeline/format/gguf/read/gguf_tokenizer.h"
#include "text/tokenizer/describe_keys.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_json.h"
#include "text/tokenizer/write_tokenizer_json.h"

namespace json = boost::json;
namespace text = quantfleet::text;

namespace {

std::string ReadAll(const char* path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

absl::StatusOr<text::TokenizerData> ReadJson(const char* path) {
  QF_ASSIGN_OR_RETURN(text::TokenizerJson parsed, text::ParseTokenizerJson(ReadAll(path), true));
  // Added tokens may follow the vocabulary.
  for (const text::AddedToken& token : parsed.added)
    if (token.id >= static_cast<int64_t>(parsed.data.tokens.size()) && token.id < 1 << 21)
      parsed.data.tokens.resize(static_cast<size_t>(token.id) + 1,
                                {"", 0, text::TokenType::kUnused});
  return std::move(parsed.data);
}

absl::StatusOr<std::unique_ptr<text::Tokenizer>> Load(const char* path) {
  if (std::string_view(path).ends_with(".gguf"))
    return quantfleet::engine::LoadTokenizer(quantfleet::RealFileSystem(), path);
  QF_ASSIGN_OR_RETURN(const text::TokenizerData data, ReadJson(path));
  return text::MakeTokenizer(data, "");
}

// Of a file without a description, the one that its keys come to.
absl::StatusOr<text::TokenizerData> ReadGguf(const char* path) {
  QF_ASSIGN_OR_RETURN(const auto file,
                      quantfleet::RealFileSystem().Open(path, quantfleet::OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const auto header, quantfleet::pipeline::GgufFile::Read(*file, path));
  QF_ASSIGN_OR_RETURN(text::TokenizerData data, quantfleet::pipeline::ReadTokenizer(header));
  QF_ASSIGN_OR_RETURN(const auto name, header.Text("general.name"));
  if (!data.description) {
    QF_ASSIGN_OR_RETURN(data.description, text::DescribeKeys(data, name.value_or("")));
  }
  return data;
}

absl::Status Write(const char* from, const char* to) {
  QF_ASSIGN_OR_RETURN(const text::TokenizerData data,
                      std::string_view(from).ends_with(".gguf") ? ReadGguf(from) : ReadJson(from));
  QF_ASSIGN_OR_RETURN(const std::string written, text::WriteTokenizerJson(data));
  std::ofstream(to, std::ios::binary) << written;
  return absl::OkStatus();
}

int Time(const text::Tokenizer& tokenizer, const char* path) {
  const std::string all = ReadAll(path);
  size_t ids = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size() - 1) + 1;
    const auto encoded = tokenizer.Encode(std::string_view(all).substr(at, end - at), false, true);
    if (!encoded.ok()) return fmt::print(stderr, "{}\n", encoded.status().ToString()), 1;
    ids += encoded->size();
    at = end;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print("{:.4f} {}\n", took.count(), ids);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) return fmt::print(stderr, "usage: tokenize FILE\n"), 2;
  if (argc == 4 && std::string_view(argv[2]) == "--write") {
    const absl::Status done = Write(argv[1], argv[3]);
    if (!done.ok()) fmt::print(stderr, "{}\n", done.ToString());
    return done.ok() ? 0 : 1;
  }
  const auto tokenizer = Load(argv[1]);
  if (!tokenizer.ok()) return fmt::print(stderr, "{}\n", tokenizer.status().ToString()), 1;
  if (argc == 4) return Time(**tokenizer, argv[3]);
  for (std::string line; std::getline(std::cin, line);) {
    const json::string said = json::parse(line).as_string();
    const auto ids = (*tokenizer)->EncodeWhole({said.data(), said.size()});
    json::object out;
    if (ids.ok()) {
      out["ids"] = json::array(ids->begin(), ids->end());
      out["text"] = (*tokenizer)->Decode(*ids);
    } else {
      out["error"] = std::string(ids.status().message());
    }
    std::cout << json::serialize(out) << "\n";
  }
  return 0;
}
