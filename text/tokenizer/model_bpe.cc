#include "text/tokenizer/model_bpe.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/byte_letters.h"

namespace quantfleet::text {
namespace {

// Pieces of up to so many symbols are scanned for the next pair; longer ones keep a queue.
constexpr size_t kFew = 24;

uint64_t Pair(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

size_t HashOf(uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15;
  return static_cast<size_t>(pair ^ pair >> 32);
}

// A symbol in the list of neighbors.
struct Node {
  int32_t symbol;
  int previous, next;
  bool merged = false;  // into what is to the left
};

// Where a merge may begin, ordered by its rank, and of equals by its place.
uint64_t Candidate(int32_t rank, int left) {
  return uint64_t{static_cast<uint32_t>(rank)} << 32 | static_cast<uint32_t>(left);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Create(const Vocabulary& vocabulary,
                                                           const Merges& merges, BpeOptions options,
                                                           std::string_view where) {
  std::unique_ptr<BpeModel> model(new BpeModel(std::move(options)));
  model->TakeVocabulary(vocabulary);
  QF_RETURN_IF_ERROR(model->TakeMerges(vocabulary, merges, where));
  return model;
}

void BpeModel::TakeVocabulary(const Vocabulary& vocabulary) {
  tokens_ = static_cast<int32_t>(vocabulary.texts.size());
  bytes_.resize(vocabulary.texts.size());
  closed_.resize(vocabulary.texts.size());
  for (int32_t id = 0; id < tokens_; ++id) {
    const std::string& text = vocabulary.texts[id];
    closed_[id] = !vocabulary.reachable[id];
    const bool spelled = !options_.byte_level || UnspellBytes(text, bytes_[id]);
    // What spells no bytes (an added token, written as it is) is never a part of a piece.
    if (!spelled || !options_.byte_level) bytes_[id] = text;
    if (vocabulary.reachable[id] && spelled && !text.empty()) table_.Insert(id);
  }
  all_bytes_ = true;
  // Some files call the tokens of bytes special.
  TextTable all(vocabulary.texts);
  for (int32_t id = 0; options_.byte_fallback && id < tokens_; ++id) all.Insert(id);
  for (int b = 0; b < 256; ++b) {
    byte_[b] = options_.byte_level ? table_.Find(std::string(1, static_cast<char>(b)))
                                   : all.Find(fmt::format("<0x{:02X}>", b));
    all_bytes_ = all_bytes_ && byte_[b] >= 0;
  }
}

absl::StatusOr<BpeModel::Symbol> BpeModel::SymbolOf(std::string_view text, size_t rank,
                                                    std::string_view where) {
  std::string bytes(text);
  if (options_.byte_level && !UnspellBytes(text, bytes))
    return InvalidArgument("{}: merge {} has '{}', which spells no bytes", where, rank,
                           Shown(text, 40));
  if (const Symbol found = table_.Find(bytes); found >= 0) return found;
  if (!options_.loose_merges)
    return InvalidArgument("{}: merge {} needs the token '{}', which the vocabulary does not have",
                           where, rank, Shown(text, 40));
  bytes_.push_back(std::move(bytes));
  return table_.Insert(static_cast<Symbol>(bytes_.size() - 1));
}

absl::Status BpeModel::TakeMerges(const Vocabulary& vocabulary, const Merges& merges,
                                  std::string_view where) {
  // Each merge makes at most three symbols.
  if (merges.size() > size_t{1} << 28)
    return InvalidArgument("{}: there are {} merges", where, merges.size());
  size_t slots = 16;
  while (slots < merges.size() * 2) slots *= 2;
  merges_.assign(slots, Merge{0, -1, 0});
  // Merges may pass through control tokens' texts, which pieces cannot become.
  TextTable closed(vocabulary.texts);
  if (!options_.loose_merges)
    for (int32_t id = 0; id < tokens_; ++id)
      if (closed_[id]) closed.Insert(id);
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    if (left.empty() || right.empty())
      return InvalidArgument("{}: merge {} is not two tokens separated by a space", where, rank);
    joined = left;
    joined += right.substr(right.starts_with(options_.prefix) ? options_.prefix.size() : 0);
    if (!options_.loose_merges &&
        (closed.Find(left) >= 0 || closed.Find(right) >= 0 || closed.Find(joined) >= 0))
      continue;
    QF_ASSIGN_OR_RETURN(const Symbol a, SymbolOf(left, rank, where));
    QF_ASSIGN_OR_RETURN(const Symbol b, SymbolOf(right, rank, where));
    QF_ASSIGN_OR_RETURN(const Symbol c, SymbolOf(joined, rank, where));
    InsertMerge({Pair(a, b), static_cast<int32_t>(rank), c});
  }
  return absl::OkStatus();
}

void BpeModel::InsertMerge(const Merge& merge) {
  const size_t mask = merges_.size() - 1;
  size_t i = HashOf(merge.pair) & mask;
  while (merges_[i].rank >= 0 && merges_[i].pair != merge.pair) i = (i + 1) & mask;
  if (merges_[i].rank < 0 || !options_.loose_merges) merges_[i] = merge;
}

const BpeModel::Merge* BpeModel::FindMerge(Symbol left, Symbol right) const {
  const uint64_t pair = Pair(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t i = HashOf(pair) & mask; merges_[i].rank >= 0; i = (i + 1) & mask)
    if (merges_[i].pair == pair) return &merges_[i];
  return nullptr;
}

void BpeModel::AppendUnknown(std::string_view character, bool& fuses,
                             std::vector<Symbol>& symbols) const {
  if (options_.byte_fallback) {
    const bool all =
        std::ranges::all_of(character, [&](char c) { return byte_[static_cast<uint8_t>(c)] >= 0; });
    if (all) {
      for (const char c : character) symbols.push_back(byte_[static_cast<uint8_t>(c)]);
      return;
    }
  }
  if (!options_.unknown && options_.drops_missing) return;
  if (!fuses || !options_.fuse_unknown) symbols.push_back(options_.unknown.value_or(kNoToken));
  fuses = true;
}

void BpeModel::AppendSymbols(std::string_view piece, std::vector<Symbol>& symbols) const {
  const bool affixed = !options_.prefix.empty() || !options_.suffix.empty();
  if (options_.byte_level && all_bytes_ && !affixed) {
    for (const char c : piece) symbols.push_back(byte_[static_cast<uint8_t>(c)]);
    return;
  }
  bool fuses = false;
  std::string with;
  for (size_t at = 0; at < piece.size();) {
    const size_t length = options_.byte_level ? 1 : FirstCharacter(piece.substr(at)).length;
    std::string_view one = piece.substr(at, length);
    if (affixed) {
      with = at > 0 ? options_.prefix : "";
      with += one;
      if (at + length == piece.size()) with += options_.suffix;
      one = with;
    }
    at += length;
    if (const Symbol found = table_.Find(one); found >= 0 && found < tokens_) {
      symbols.push_back(found);
      fuses = false;
    } else {
      AppendUnknown(one, fuses, symbols);
    }
  }
}

void BpeModel::MergeFew(std::vector<Symbol>& symbols) const {
  const Merge* merges[kFew];
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = FindMerge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    const Merge* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i)
      if (merges[i] != nullptr && (best == nullptr || merges[i]->rank < best->rank))
        best = merges[at = i];
    if (best == nullptr) break;
    symbols[at] = best->joined;
    std::copy(symbols.begin() + static_cast<ptrdiff_t>(at) + 2,
              symbols.begin() + static_cast<ptrdiff_t>(count),
              symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
    std::copy(merges + at + 1, merges + count - 1, merges + at);
    --count;
    if (at + 1 < count) merges[at] = FindMerge(symbols[at], symbols[at + 1]);
    if (at > 0) merges[at - 1] = FindMerge(symbols[at - 1], symbols[at]);
  }
  symbols.resize(count);
}

void BpeModel::MergeMany(std::vector<Symbol>& symbols) const {
  const int count = static_cast<int>(symbols.size());
  std::vector<Node> nodes(symbols.size());
  for (int i = 0; i < count; ++i) nodes[i] = {symbols[i], i - 1, i + 1};
  nodes.back().next = -1;

  std::vector<uint64_t> first;
  const auto merge_at = [&](int left) -> const Merge* {
    if (left < 0 || nodes[left].next < 0) return nullptr;
    return FindMerge(nodes[left].symbol, nodes[nodes[left].next].symbol);
  };
  for (int i = 0; i + 1 < count; ++i)
    if (const Merge* merge = merge_at(i)) first.push_back(Candidate(merge->rank, i));
  std::priority_queue queue(std::greater<uint64_t>(), std::move(first));
  while (!queue.empty()) {
    const auto at = static_cast<int>(queue.top() & 0xffffffff);
    const auto rank = static_cast<int32_t>(queue.top() >> 32);
    queue.pop();
    // What stood here may have been merged since, or merged away.
    Node& left = nodes[at];
    if (left.merged) continue;
    const Merge* merge = merge_at(at);
    if (merge == nullptr || merge->rank != rank) continue;
    Node& right = nodes[left.next];
    left.symbol = merge->joined;
    left.next = right.next;
    right.merged = true;
    if (right.next >= 0) nodes[right.next].previous = at;
    if (const Merge* more = merge_at(left.previous))
      queue.push(Candidate(more->rank, left.previous));
    if (const Merge* more = merge_at(at)) queue.push(Candidate(more->rank, at));
  }
  symbols.clear();
  for (int i = 0; i >= 0; i = nodes[i].next) symbols.push_back(nodes[i].symbol);
}

void BpeModel::Encode(std::string_view piece, std::vector<int32_t>& out) const {
  if (options_.ignore_merges) {
    if (const Symbol id = table_.Find(piece); id >= 0 && id < tokens_) {
      out.push_back(id);
      return;
    }
  }
  static thread_local std::vector<Symbol> symbols;
  symbols.clear();
  AppendSymbols(piece, symbols);
  if (symbols.size() > kFew)
    MergeMany(symbols);
  else if (symbols.size() > 1)
    MergeFew(symbols);
  for (const Symbol symbol : symbols) {
    if (symbol < tokens_) {
      out.push_back(symbol);
      continue;
    }
    // Merges made what is no token, and nothing made it one.
    for (const char c : bytes_[symbol]) {
      const int32_t id = byte_[static_cast<uint8_t>(c)];
      out.push_back(id >= 0 ? id : options_.unknown.value_or(kNoToken));
    }
  }
}

}  // namespace quantfleet::text
