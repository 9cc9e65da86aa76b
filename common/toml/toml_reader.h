// Strict reading of small TOML documents: the caller asks for every key that it knows, and a key
// that it does not ask for, or that has another type, is an error with line and key. The parser
// itself stays in the .cc. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet {

class TomlReader {
 public:
  // Untrusted text; at most 64 KiB.
  static absl::StatusOr<TomlReader> Parse(std::string_view text);
  TomlReader(TomlReader&&) noexcept;
  ~TomlReader();

  // Each leaves `out` alone when the key is absent; "a.b" is key b of table a. The first error is
  // kept for Finish.
  bool Read(std::string_view key, std::string& out);
  bool Read(std::string_view key, int64_t& out, int64_t least, int64_t most);
  bool Read(std::string_view key, double& out, double least, double most);
  bool Read(std::string_view key, bool& out);
  bool Read(std::string_view key, std::vector<std::string>& out);
  bool Read(std::string_view key, std::map<std::string, std::string>& out);
  // An array of tables, [[key]]: a reader for each, which has its own Finish. May be read once.
  bool Read(std::string_view key, std::vector<TomlReader>& out);
  // As Read, but absence is an error.
  void Require(std::string_view key, std::string& out);

  // For documents whose errors are worded by the caller: which keys there are, and where.
  struct Key {
    std::string name;
    int64_t line;  // of the document
  };
  std::vector<Key> Keys() const;             // of the table itself, by name
  int64_t Line(std::string_view key) const;  // of a key's value; 0 when it is absent
  int64_t Line() const;                      // of the table itself, where it is one of several

  // The first error, or an error for the first key that nobody asked for.
  absl::Status Finish() const;

 private:
  struct State;
  explicit TomlReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace quantfleet
