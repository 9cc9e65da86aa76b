// How texts are cut under each of the names that GGUF has for pre-tokenizers (tokenizer.ggml.pre):
// llama.cpp's list, as data. The expressions are those that the models' authors write where
// llama.cpp has rewritten them for its own engine. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace quantfleet::text {

struct NamedSplit {
  enum class Letters {
    kBytes,         // the vocabulary spells bytes with letters
    kMarkedSpaces,  // it has characters, and U+2581 for a space
    kPlain          // it has characters
  };
  std::string_view name = {};
  // Each match is a piece, and so is what lies between matches; one expression after the other.
  std::vector<std::string_view> expressions;
  bool ignore_merges = false;  // a piece that is a token stays whole
  bool nfc = false;            // the models' authors normalize a text first; llama.cpp does not
  bool add_bos = false;        // where no key says so
  Letters letters = Letters::kBytes;
};

// In the order in which a name is chosen for a tokenizer that several fit.
std::span<const NamedSplit> NamedSplits();
// Null for a name that is not llama.cpp's.
const NamedSplit* FindNamedSplit(std::string_view name);

// The split that the stages of a tokenizer.json are, by how they are written; null where they are
// none of them, or do more.
const NamedSplit* MatchNamedSplit(const boost::json::object& stages);

}  // namespace quantfleet::text
