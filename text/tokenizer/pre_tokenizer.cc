#include "text/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/growth.h"
#include "text/tokenizer/script_expression.h"
#include "text/tokenizer/stage_json.h"
#include "text/unicode/properties.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

using Cutting = std::function<absl::Status(Pieces& pieces)>;

// What ByteLevel itself splits by.
constexpr std::string_view kByteLevel =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// What Whitespace splits by.
constexpr std::string_view kWords = R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+)"
                                    R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

absl::StatusOr<Behavior> ReadBehavior(JsonMembers& from, std::optional<Behavior> absent) {
  const auto name = from.Text("behavior");
  QF_RETURN_IF_ERROR(from.status());
  if (!name && absent) return *absent;
  static constexpr std::pair<std::string_view, Behavior> kNames[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  };
  for (const auto& [known, behavior] : kNames)
    if (name == known) return behavior;
  return InvalidArgument("{}: the behavior '{}' is not known", from.where(),
                         Shown(name.value_or(""), 40));
}

// Stretches that cover a piece, each of which matches or does not.
struct Stretch {
  size_t begin, end;
  bool match;
};

void AppendPiece(const Stretch& stretch, std::vector<Pieces::Piece>& out) {
  if (stretch.end > stretch.begin) out.push_back({stretch.begin, stretch.end});
}

void AppendMergedWithNext(const std::vector<Stretch>& stretches, std::vector<Pieces::Piece>& out) {
  std::vector<Stretch> reversed;
  bool before = false;
  for (size_t i = stretches.size(); i-- > 0;) {
    const Stretch& one = stretches[i];
    if (one.match && !before && !reversed.empty())
      reversed.back().begin = one.begin;
    else
      reversed.push_back(one);
    before = one.match;
  }
  for (size_t i = reversed.size(); i-- > 0;) AppendPiece(reversed[i], out);
}

void AppendPieces(Behavior behavior, const std::vector<Stretch>& stretches,
                  std::vector<Pieces::Piece>& out) {
  if (behavior == Behavior::kMergedWithNext) return AppendMergedWithNext(stretches, out);
  std::optional<Stretch> last;
  bool before = false;
  for (const Stretch& one : stretches) {
    const bool joins =
        last && ((behavior == Behavior::kContiguous && one.match == before) ||
                 (behavior == Behavior::kMergedWithPrevious && one.match && !before));
    before = one.match;
    if (behavior == Behavior::kRemoved && one.match) continue;
    if (joins) {
      last->end = one.end;
      continue;
    }
    if (last) AppendPiece(*last, out);
    last = one;
  }
  if (last) AppendPiece(*last, out);
}

// Cuts each piece by the stretches that `cut` appends for it.
template <typename Cut>
Cutting Splitting(Behavior behavior, bool invert, Cut cut) {
  return [behavior, invert, cut](Pieces& pieces) -> absl::Status {
    std::vector<Pieces::Piece> out;
    out.reserve(pieces.pieces.size());
    std::vector<Stretch> stretches;
    for (size_t i = 0; i < pieces.pieces.size(); ++i) {
      const size_t base = pieces.pieces[i].begin;
      const std::string_view piece = pieces[i];
      stretches.clear();
      size_t covered = 0;
      const auto found = [&](size_t begin, size_t end) {
        if (begin > covered) stretches.push_back({base + covered, base + begin, invert});
        stretches.push_back({base + begin, base + end, !invert});
        covered = end;
      };
      QF_RETURN_IF_ERROR(cut(piece, pieces.steps, found));
      if (covered < piece.size())
        stretches.push_back({base + covered, base + piece.size(), invert});
      AppendPieces(behavior, stretches, out);
    }
    pieces.pieces = std::move(out);
    return absl::OkStatus();
  };
}

Cutting ByPattern(Pattern pattern, Behavior behavior, bool invert) {
  return Splitting(behavior, invert,
                   [pattern = std::make_shared<const Pattern>(std::move(pattern))](
                       std::string_view piece, MatchSteps& steps, const auto& found) {
                     return pattern->ForEachMatch(piece, steps, found);
                   });
}

absl::StatusOr<Cutting> ByExpression(std::string_view regex, Behavior behavior, bool invert) {
  QF_ASSIGN_OR_RETURN(RegularExpression expression, RegularExpression::Create(regex));
  Pattern pattern;
  pattern.expression.emplace(std::move(expression));
  return ByPattern(std::move(pattern), behavior, invert);
}

Cutting ByCharacter(bool (*is)(uint32_t), Behavior behavior) {
  return Splitting(behavior, false, [is](std::string_view piece, MatchSteps&, const auto& found) {
    for (size_t at = 0; at < piece.size();) {
      const Character c = FirstCharacter(piece.substr(at));
      if (is(c.value)) found(at, at + c.length);
      at += c.length;
    }
    return absl::OkStatus();
  });
}

Cutting FixedLength(size_t length) {
  return Splitting(Behavior::kIsolated, false,
                   [length](std::string_view piece, MatchSteps&, const auto& found) {
                     for (size_t at = 0; at < piece.size();) {
                       size_t end = at;
                       for (size_t n = 0; n < length && end < piece.size(); ++n)
                         end += FirstCharacter(piece.substr(end)).length;
                       found(at, end);
                       at = end;
                     }
                     return absl::OkStatus();
                   });
}

// Writes each piece anew: `rewrite` appends it, and knows whether it is the first.
template <typename Rewrite>
Cutting Rewriting(Rewrite rewrite) {
  return [rewrite](Pieces& pieces) {
    std::string text;
    text.reserve(pieces.text.size() + pieces.pieces.size());
    for (size_t i = 0; i < pieces.pieces.size(); ++i) {
      const size_t begin = text.size();
      rewrite(pieces[i], pieces.at_start && i == 0, text);
      pieces.pieces[i] = {begin, text.size()};
    }
    pieces.text = std::move(text);
    return absl::OkStatus();
  };
}

Cutting LeadingSpace() {
  return Rewriting([](std::string_view piece, bool, std::string& out) {
    if (!piece.starts_with(' ')) out += ' ';
    out += piece;
  });
}

Cutting Letters() {
  return Rewriting(
      [](std::string_view piece, bool, std::string& out) { out += SpellBytes(piece); });
}

absl::Status AddMetaspace(JsonMembers& from, std::vector<Cutting>& steps) {
  QF_ASSIGN_OR_RETURN(const std::string mark, ReadCharacter(from, "replacement"));
  std::string scheme = from.Text("prepend_scheme").value_or("always");
  if (from.Bool("add_prefix_space") == false) scheme = "never";
  const bool split = from.Bool("split").value_or(true);
  QF_RETURN_IF_ERROR(from.status());
  if (scheme != "always" && scheme != "first" && scheme != "never")
    return InvalidArgument("{}: the prepend_scheme '{}' is not known", from.where(),
                           Shown(scheme, 40));
  steps.push_back(Rewriting([mark, scheme](std::string_view piece, bool first, std::string& out) {
    const bool marked = piece.starts_with(' ') || piece.starts_with(mark);
    if (!marked && (scheme == "always" || (scheme == "first" && first))) out += mark;
    for (const char c : piece) {
      if (c == ' ')
        out += mark;
      else
        out += c;
    }
  }));
  if (split) steps.push_back(ByPattern({mark, std::nullopt}, Behavior::kMergedWithNext, false));
  return absl::OkStatus();
}

absl::Status AddSplit(JsonMembers& from, std::vector<Cutting>& steps) {
  QF_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(from));
  QF_ASSIGN_OR_RETURN(const Behavior behavior, ReadBehavior(from, std::nullopt));
  steps.push_back(ByPattern(std::move(pattern), behavior, from.Bool("invert").value_or(false)));
  return absl::OkStatus();
}

absl::Status AddRegex(std::string_view regex, Behavior behavior, bool invert,
                      std::vector<Cutting>& steps) {
  QF_ASSIGN_OR_RETURN(Cutting step, ByExpression(regex, behavior, invert));
  steps.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status AddCutting(std::string_view type, JsonMembers& from, std::vector<Cutting>& steps) {
  if (type == "Split") return AddSplit(from, steps);
  if (type == "Metaspace") return AddMetaspace(from, steps);
  if (type == "Whitespace") return AddRegex(kWords, Behavior::kRemoved, true, steps);
  if (type == "UnicodeScripts")
    return AddRegex(ScriptExpression(), Behavior::kRemoved, true, steps);
  if (type == "WhitespaceSplit") {
    steps.push_back(ByCharacter(IsWhiteSpace, Behavior::kRemoved));
  } else if (type == "Digits") {
    const bool alone = from.Bool("individual_digits").value_or(false);
    steps.push_back(ByCharacter(IsNumeric, alone ? Behavior::kIsolated : Behavior::kContiguous));
  } else if (type == "Punctuation") {
    QF_ASSIGN_OR_RETURN(const Behavior behavior, ReadBehavior(from, Behavior::kIsolated));
    steps.push_back(ByCharacter(IsPunctuation, behavior));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(ByCharacter(IsWhiteSpace, Behavior::kRemoved));
    steps.push_back(ByCharacter(IsPunctuation, Behavior::kIsolated));
  } else if (type == "CharDelimiterSplit") {
    QF_ASSIGN_OR_RETURN(std::string delimiter, ReadCharacter(from, "delimiter"));
    steps.push_back(ByPattern({std::move(delimiter), std::nullopt}, Behavior::kRemoved, false));
  } else if (type == "FixedLength") {
    const int64_t length = from.Integer("length").value_or(5);
    if (length < 1) return InvalidArgument("{}: the length is {}", from.where(), length);
    steps.push_back(FixedLength(static_cast<size_t>(length)));
  } else if (type == "ByteLevel") {
    if (from.Bool("add_prefix_space").value_or(true)) steps.push_back(LeadingSpace());
    if (from.Bool("use_regex").value_or(true))
      return AddRegex(kByteLevel, Behavior::kIsolated, false, steps);
  } else {
    return UnknownStage(from, type);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const json::value* stage) {
  PreTokenizer out;
  QF_RETURN_IF_ERROR(ForEachStage(stage, "tokenizer.json: pre_tokenizer", "pretokenizers",
                                  [&](std::string_view type, JsonMembers& from) {
                                    // Only what follows ByteLevel needs to see letters.
                                    if (std::exchange(out.to_bytes_, type == "ByteLevel"))
                                      out.steps_.push_back(Letters());
                                    return AddCutting(type, from, out.steps_);
                                  }));
  return out;
}

absl::StatusOr<PreTokenizer> PreTokenizer::OfExpressions(
    const std::vector<std::string_view>& expressions) {
  PreTokenizer out;
  for (const std::string_view regex : expressions)
    QF_RETURN_IF_ERROR(AddRegex(regex, Behavior::kIsolated, false, out.steps_));
  out.to_bytes_ = true;
  return out;
}

absl::Status PreTokenizer::Apply(Pieces& pieces) const {
  const size_t most = MostBytes(pieces.text.size());
  for (const Cutting& step : steps_) {
    QF_RETURN_IF_ERROR(step(pieces));
    if (pieces.text.size() > most)
      return InvalidArgument("the tokenizer's pre-tokenizer makes more than {} bytes of the text",
                             most);
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::text
