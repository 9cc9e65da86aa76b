#include "text/tokenizer/bpe_tokenizer.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

#include "common/base/outside_text.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace quantfleet::text {
namespace {

// Vocabularies and merges write each byte as a letter: printable Latin-1 stands for itself, the
// rest follows from U+0100 on.
bool IsOwnLetter(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// By code point; -1 where a letter stands for no byte.
std::array<int16_t, 0x144> MakeBytesOfLetters() {
  std::array<int16_t, 0x144> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (unsigned b = 0; b < 256; ++b) bytes[IsOwnLetter(b) ? b : next++] = static_cast<int16_t>(b);
  return bytes;
}

// The bytes that letters spell; false where one spells none (an added token, written as it is).
bool Unspell(std::string_view letters, std::string& bytes) {
  static const std::array<int16_t, 0x144> kBytes = MakeBytesOfLetters();
  bytes.clear();
  for (size_t at = 0; at < letters.size(); ++at) {
    unsigned code = static_cast<uint8_t>(letters[at]);
    if (code >= 0x80) {
      // All letters lie below U+0800: two bytes at most.
      if ((code & 0xe0) != 0xc0 || at + 1 == letters.size()) return false;
      const unsigned second = static_cast<uint8_t>(letters[++at]);
      if ((second & 0xc0) != 0x80) return false;
      code = (code & 0x1f) << 6 | (second & 0x3f);
    }
    if (code >= kBytes.size() || kBytes[code] < 0) return false;
    bytes += static_cast<char>(kBytes[code]);
  }
  return true;
}

uint64_t Pair(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// A symbol in the list of neighbors; -1 has been merged away.
struct Node {
  int32_t symbol;
  int previous, next;
};

struct Candidate {
  int32_t rank;
  int left, right;
  uint64_t pair;  // differs from the nodes' once one of them has changed
  int32_t joined;
  // The queue's top has the lowest rank, the leftmost of equals.
  bool operator<(const Candidate& other) const {
    return std::tuple(rank, left) > std::tuple(other.rank, other.left);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<BpeTokenizer>> BpeTokenizer::Create(const TokenizerData& data,
                                                                   std::string_view model_name) {
  const PreTokenizer* pre = FindPreTokenizer(data.pre);
  if (pre == nullptr) {
    return Unimplemented(
        "the model's pre-tokenizer '{}' is not known; known are llama-bpe, dbrx, gpt-4o, qwen2 and "
        "gpt-2. Create the GGUF again from its tokenizer.json, or run the model with llama.cpp",
        Shown(data.pre, 60));
  }
  QF_ASSIGN_OR_RETURN(WordSplitter splitter, WordSplitter::Create(pre->regex));
  std::unique_ptr<BpeTokenizer> tokenizer(
      new BpeTokenizer(std::move(splitter), pre->ignore_merges));
  QF_RETURN_IF_ERROR(tokenizer->BuildTables(data));
  tokenizer->special_ = SpecialTokens(data, model_name);
  return tokenizer;
}

absl::Status BpeTokenizer::BuildTables(const TokenizerData& data) {
  tokens_ = static_cast<int32_t>(data.tokens.size());
  if (tokens_ == 0) return InvalidArgument("the tokenizer has no tokens");
  for (const auto& [name, id] :
       {std::pair("bos", data.bos), {"eos", data.eos}, {"unknown", data.unknown}}) {
    if (id && (*id < 0 || *id >= tokens_))
      return InvalidArgument("the tokenizer's {} id {} is outside its {} tokens", name, *id,
                             tokens_);
  }
  if (data.add_bos && !data.bos)
    return InvalidArgument("the tokenizer adds a BOS token but does not define one");
  if (data.add_bos) bos_ = data.bos;

  bytes_.resize(data.tokens.size());
  SymbolTable symbols;
  symbols.reserve(data.tokens.size());
  for (int32_t id = 0; id < tokens_; ++id) {
    const auto& [text, score, type] = data.tokens[id];
    // Text that merges must not turn into what ends a turn.
    if (IsControl(type)) continue;
    const bool spelled = type != TokenType::kUserDefined && Unspell(text, bytes_[id]);
    if (!spelled) bytes_[id] = text;
    if (spelled) symbols.emplace(bytes_[id], id);
  }
  for (int b = 0; b < 256; ++b) {
    const auto found = symbols.find(std::string(1, static_cast<char>(b)));
    byte_[b] = found != symbols.end() ? found->second : data.unknown.value_or(-1);
  }
  if (ignore_merges_) {
    for (const auto& [bytes, id] : symbols) words_.push_back(id);
    std::ranges::sort(words_, {}, [&](int32_t id) -> std::string_view { return bytes_[id]; });
  }
  return BuildMerges(data.merges, symbols);
}

absl::Status BpeTokenizer::BuildMerges(const std::vector<std::string>& merges,
                                       SymbolTable& symbols) {
  const auto symbol_of = [&](const std::string& bytes) {
    const auto [found, made] = symbols.emplace(bytes, static_cast<Symbol>(bytes_.size()));
    if (made) bytes_.push_back(bytes);
    return found->second;
  };
  // Each merge makes at most three symbols.
  if (merges.size() > size_t{1} << 28)
    return InvalidArgument("the tokenizer has {} merges", merges.size());
  merges_.reserve(merges.size());
  std::string left, right;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    // No letter is a space; the first may be a part of a symbol all the same, as llama.cpp has it.
    const std::string& merge = merges[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || !Unspell(std::string_view(merge).substr(0, space), left) ||
        !Unspell(std::string_view(merge).substr(space + 1), right) || right.empty()) {
      return InvalidArgument(
          "tokenizer.ggml.merges: merge {} is not two spelled symbols separated by a space", rank);
    }
    const Symbol a = symbol_of(left), b = symbol_of(right);
    merges_.push_back({Pair(a, b), static_cast<int32_t>(rank), symbol_of(left + right)});
  }
  // The first of equal pairs counts.
  std::ranges::sort(merges_, {},
                    [](const Merge& merge) { return std::pair(merge.pair, merge.rank); });
  const auto repeated = std::ranges::unique(merges_, {}, &Merge::pair);
  merges_.erase(repeated.begin(), repeated.end());
  return absl::OkStatus();
}

const BpeTokenizer::Merge* BpeTokenizer::FindMerge(Symbol left, Symbol right) const {
  const auto found = std::ranges::lower_bound(merges_, Pair(left, right), {}, &Merge::pair);
  return found != merges_.end() && found->pair == Pair(left, right) ? &*found : nullptr;
}

int32_t BpeTokenizer::FindWord(std::string_view word) const {
  const auto bytes_of = [&](int32_t id) -> std::string_view { return bytes_[id]; };
  const auto found = std::ranges::lower_bound(words_, word, {}, bytes_of);
  return found != words_.end() && bytes_[*found] == word ? *found : -1;
}

void BpeTokenizer::EncodeWord(std::string_view word, std::vector<int32_t>& out) const {
  if (ignore_merges_) {
    if (const int32_t id = FindWord(word); id >= 0) {
      out.push_back(id);
      return;
    }
  }
  const int count = static_cast<int>(word.size());
  std::vector<Node> nodes(word.size());
  for (int i = 0; i < count; ++i) nodes[i] = {byte_[static_cast<uint8_t>(word[i])], i - 1, i + 1};
  nodes.back().next = -1;

  std::priority_queue<Candidate> queue;
  const auto consider = [&](int left, int right) {
    if (left < 0 || right < 0) return;
    const Merge* merge = FindMerge(nodes[left].symbol, nodes[right].symbol);
    if (merge != nullptr) queue.push({merge->rank, left, right, merge->pair, merge->joined});
  };
  for (int i = 1; i < count; ++i) consider(i - 1, i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Node &left = nodes[top.left], &right = nodes[top.right];
    if (left.next != top.right || Pair(left.symbol, right.symbol) != top.pair) continue;
    left.symbol = top.joined;
    left.next = right.next;
    if (right.next >= 0) nodes[right.next].previous = top.left;
    right = {-1, -1, -1};
    consider(left.previous, top.left);
    consider(top.left, left.next);
  }
  for (int i = 0; i >= 0; i = nodes[i].next) {
    if (nodes[i].symbol < tokens_) {
      out.push_back(nodes[i].symbol);
      continue;
    }
    // Merges made what is no token, and nothing made it one.
    for (char c : bytes_[nodes[i].symbol]) out.push_back(byte_[static_cast<uint8_t>(c)]);
  }
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::EncodeText(
    std::string_view text, bool add_bos, bool parse_special,
    std::span<const DataRange> data) const {
  std::vector<int32_t> out;
  if (add_bos && bos_) out.push_back(*bos_);
  std::vector<std::string_view> words;
  for (const auto& fragment : special_.Split(text, parse_special, data)) {
    if (fragment.token >= 0) {
      out.push_back(fragment.token);
      continue;
    }
    words.clear();
    QF_RETURN_IF_ERROR(splitter_.Split(fragment.text, words));
    for (std::string_view word : words) EncodeWord(word, out);
  }
  if (std::ranges::find(out, -1) != out.end()) {
    return InvalidArgument(
        "the text has bytes for which the tokenizer has no token, and it has no unknown token");
  }
  return out;
}

std::string BpeTokenizer::Piece(int32_t id) const {
  return id >= 0 && id < tokens_ ? bytes_[id] : "";
}

}  // namespace quantfleet::text
