#include "text/tokenizer/spm_tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <queue>
#include <tuple>

namespace quantfleet::text {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581

std::string EscapeSpaces(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (char c : text) {
    if (c == ' ')
      out += kSpace;
    else
      out += c;
  }
  return out;
}

std::string UnescapeSpaces(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool space = text.substr(0, kSpace.size()) == kSpace;
    out += space ? ' ' : text[0];
    text.remove_prefix(space ? kSpace.size() : 1);
  }
  return out;
}

// Length of the UTF-8 sequence that a byte begins; 1 for a byte that begins none, so that bad text
// goes by bytes.
size_t SequenceLength(char first) {
  static constexpr uint8_t kByHighNibble[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  return kByHighNibble[static_cast<uint8_t>(first) >> 4];
}

// A stretch of text in the list of neighbors; an empty one has been merged away.
struct Symbol {
  std::string_view text;
  int previous, next;
};

struct Bigram {
  float score;
  int left, right;
  size_t size;  // of both; differs from the symbols' once one of them has changed
  // The queue's top is the highest score, the leftmost of equals.
  bool operator<(const Bigram& other) const {
    return std::tuple(score, -left) < std::tuple(other.score, -other.left);
  }
};

std::string_view Join(const Symbol& a, const Symbol& b) {
  return {a.text.data(), a.text.size() + b.text.size()};  // neighbors in one buffer
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpmTokenizer>> SpmTokenizer::Create(const TokenizerData& data,
                                                                   std::string_view model_name) {
  std::unique_ptr<SpmTokenizer> tokenizer(new SpmTokenizer(data));
  QF_RETURN_IF_ERROR(tokenizer->BuildTables(model_name));
  return tokenizer;
}

absl::Status SpmTokenizer::BuildTables(std::string_view model_name) {
  const int32_t count = static_cast<int32_t>(data_.tokens.size());
  if (count == 0) return InvalidArgument("the tokenizer has no tokens");
  for (const auto& [name, id] :
       {std::pair("bos", data_.bos), {"eos", data_.eos}, {"unknown", data_.unknown}}) {
    if (id && (*id < 0 || *id >= count))
      return InvalidArgument("the tokenizer's {} id {} is outside its {} tokens", name, *id, count);
  }
  if (data_.add_bos && !data_.bos)
    return InvalidArgument("the tokenizer adds a BOS token but does not define one");

  ids_.reserve(data_.tokens.size());
  // What a text says becomes no control token, however its pieces merge.
  for (int32_t id = 0; id < count; ++id)
    if (!IsControl(data_.tokens[id].type)) ids_[data_.tokens[id].text] = id;
  special_ = SpecialTokens(data_, model_name);

  for (int b = 0; b < 256; ++b) {
    int32_t id = Find(fmt::format("<0x{:02X}>", b));
    if (id < 0) id = Find(std::string(1, static_cast<char>(b)));
    bytes_[b] = id >= 0 ? id : data_.unknown.value_or(-1);
  }
  return absl::OkStatus();
}

int32_t SpmTokenizer::Find(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? -1 : found->second;
}

bool SpmTokenizer::EndsGeneration(int32_t id) const { return special_.EndsGeneration(id); }

void SpmTokenizer::EncodePlain(const std::string& escaped, std::vector<int32_t>& out) const {
  std::vector<Symbol> symbols;
  const std::string_view all = escaped;
  for (size_t at = 0; at < all.size();) {
    const size_t length = std::min(SequenceLength(all[at]), all.size() - at);
    const int index = static_cast<int>(symbols.size());
    symbols.push_back({all.substr(at, length), index - 1, index + 1});
    at += length;
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  std::priority_queue<Bigram> queue;
  const auto consider = [&](int left, int right) {
    if (left < 0 || right < 0) return;
    const std::string_view joined = Join(symbols[left], symbols[right]);
    const int32_t id = Find(joined);
    if (id >= 0) queue.push({data_.tokens[id].score, left, right, joined.size()});
  };
  for (int i = 1; i < static_cast<int>(symbols.size()); ++i) consider(i - 1, i);
  while (!queue.empty()) {
    const Bigram top = queue.top();
    queue.pop();
    Symbol &left = symbols[top.left], &right = symbols[top.right];
    if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != top.size)
      continue;
    left.text = Join(left, right);
    right.text = {};
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = top.left;
    consider(left.previous, top.left);
    consider(top.left, left.next);
  }
  // A symbol that merged is a token; one that never did may be none, and goes by its bytes.
  for (int i = 0; i >= 0; i = symbols[i].next) {
    if (const int32_t id = Find(symbols[i].text); id >= 0) {
      out.push_back(id);
      continue;
    }
    for (char c : symbols[i].text) out.push_back(bytes_[static_cast<uint8_t>(c)]);
  }
}

absl::StatusOr<std::vector<int32_t>> SpmTokenizer::EncodeText(
    std::string_view text, bool add_bos, bool parse_special,
    std::span<const DataRange> data) const {
  std::vector<int32_t> out;
  if (add_bos && data_.add_bos) out.push_back(*data_.bos);
  bool after_special = true;
  for (const auto& fragment : special_.Split(text, parse_special, data)) {
    if (fragment.token >= 0) {
      out.push_back(fragment.token);
      after_special = true;
      continue;
    }
    std::string plain = data_.add_space_prefix && after_special ? " " : "";
    plain += fragment.text;
    EncodePlain(EscapeSpaces(plain), out);
    after_special = false;
  }
  if (std::ranges::find(out, -1) != out.end()) {
    return InvalidArgument(
        "the text has bytes for which the tokenizer has no token, and it has no unknown token");
  }
  return out;
}

std::string SpmTokenizer::Piece(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= data_.tokens.size() || IsControl(data_.tokens[id].type))
    return "";
  const Token& token = data_.tokens[id];
  if (token.type == TokenType::kByte) {
    unsigned value = 0;
    if (std::sscanf(token.text.c_str(), "<0x%2X>", &value) != 1) return "";
    return std::string(1, static_cast<char>(value));
  }
  if (token.type == TokenType::kUserDefined) return token.text;
  return UnescapeSpaces(token.text);
}

}  // namespace quantfleet::text
