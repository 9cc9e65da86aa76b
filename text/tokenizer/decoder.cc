#include "text/tokenizer/decoder.h"

#include <charconv>
#include <memory>
#include <optional>

#include "common/base/utf8.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/growth.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kUnreadable = "\xef\xbf\xbd";          // U+FFFD
constexpr std::string_view kSentencePieceSpace = "\xe2\x96\x81";  // U+2581, SentencePiece's space

// How long one step may make a text or a token: steps multiply.
constexpr size_t MostShown(size_t bytes) { return 4096 + 4 * bytes; }

using Tokens = std::vector<std::string>;

// A text that would become too long stays as it is.
void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  size_t at = text.find(from);
  if (at == std::string::npos) return;
  std::string out;
  size_t kept = 0;
  for (; at != std::string::npos; at = text.find(from, kept)) {
    out.append(text, kept, at - kept);
    out += to;
    if (out.size() > MostShown(text.size())) return;
    kept = at + from.size();
  }
  out.append(text, kept);
  text = std::move(out);
}

void Fuse(Tokens& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens = {std::move(all)};
}

std::optional<char> FallbackByte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

// Bytes beside each other are a text, or as many replacement characters.
void DecodeFallback(Tokens& tokens) {
  Tokens out;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (IsUtf8(bytes))
      out.push_back(bytes);
    else
      out.insert(out.end(), bytes.size(), std::string(kUnreadable));
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = FallbackByte(token)) {
      bytes += *byte;
      continue;
    }
    flush();
    out.push_back(std::move(token));
  }
  flush();
  tokens = std::move(out);
}

void UnspellToken(std::string& token) {
  std::string bytes;
  if (UnspellBytes(token, bytes)) token = std::move(bytes);
}

// As Rust's from_utf8_lossy: what cannot be a character is one U+FFFD, as long as it could have
// been one.
std::string Lossy(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t valid = WholeUtf8Length(bytes);
    out += bytes.substr(0, valid);
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    size_t bad = 1;
    for (size_t length = 3; length > 1; --length) {
      size_t whole;
      if (length <= bytes.size() &&
          ClassifyUtf8(bytes.substr(0, length), whole) == Utf8::kUnfinished) {
        bad = length;
        break;
      }
    }
    out += kUnreadable;
    bytes.remove_prefix(bad);
  }
  return out;
}

// What English tokenizers put together again.
void CleanUp(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kRules) ReplaceAll(text, from, to);
}

// At most `start` times `what` from the front, and `stop` times from the end.
void StripToken(std::string& token, std::string_view what, int64_t start, int64_t stop) {
  std::string_view rest = token;
  for (; start > 0 && rest.starts_with(what); --start) rest.remove_prefix(what.size());
  for (; stop > 0 && rest.ends_with(what); --stop) rest.remove_suffix(what.size());
  token = std::string(rest);
}

void ReplacePattern(const Pattern& pattern, std::string_view content, std::string& token) {
  if (!pattern.expression) return ReplaceAll(token, pattern.literal, content);
  std::string out;
  size_t kept = 0;
  bool fits = true;
  MatchSteps steps(token.size());
  const absl::Status matched = pattern.ForEachMatch(token, steps, [&](size_t begin, size_t end) {
    fits = fits && out.size() + content.size() <= MostShown(token.size());
    if (!fits) return;
    out.append(token, kept, begin - kept);
    out += content;
    kept = end;
  });
  if (!matched.ok() || !fits) return;  // the token stays as it is
  out.append(token, kept);
  token = std::move(out);
}

}  // namespace

class DecoderBuilder {
 public:
  explicit DecoderBuilder(Decoder& out) : out_(out) {}

  // A step that looks at each token by itself.
  void EachToken(std::function<void(std::string& token)> step) {
    out_.steps_.push_back({[step](Tokens& tokens) {
                             for (std::string& token : tokens) step(token);
                           },
                           step});
  }
  void AllTokens(std::function<void(Tokens& tokens)> decode,
                 std::function<void(std::string& token)> piece) {
    out_.steps_.push_back({std::move(decode), std::move(piece)});
  }

  void ByteLevel() {
    fused_ = true;
    AllTokens(
        [](Tokens& tokens) {
          for (std::string& token : tokens) UnspellToken(token);
          Fuse(tokens);
          tokens[0] = Lossy(tokens[0]);
        },
        UnspellToken);
  }

  void Fallback() {
    AllTokens(DecodeFallback, [](std::string& token) {
      if (const auto byte = FallbackByte(token)) token = std::string(1, *byte);
    });
  }

  void FuseTokens() {
    fused_ = true;
    AllTokens(Fuse, [](std::string&) {});
  }

  void Strip(std::string what, int64_t start, int64_t stop) {
    const auto strip = [what, start, stop](std::string& token) {
      StripToken(token, what, start, stop);
    };
    if (!fused_) return EachToken(strip);
    // Of a whole text: pieces keep it, and whoever puts them together knows of the space.
    if (what == " " && start > 0) out_.strips_first_space_ = true;
    AllTokens(
        [strip](Tokens& tokens) {
          for (std::string& token : tokens) strip(token);
        },
        [](std::string&) {});
  }

  void Metaspace(std::string mark, bool strips) {
    out_.strips_first_space_ = strips;
    AllTokens(
        [mark, strips](Tokens& tokens) {
          for (size_t i = 0; i < tokens.size(); ++i)
            ReplaceAll(tokens[i], mark, i == 0 && strips ? "" : " ");
        },
        [mark](std::string& token) { ReplaceAll(token, mark, " "); });
  }

  // Words with spaces between them, where tokens with the prefix go on with a word.
  void WordPiece(std::string prefix, bool cleanup) {
    out_.strips_first_space_ = true;
    const auto later = [prefix](std::string& token) {
      if (!prefix.empty() && token.starts_with(prefix))
        token.erase(0, prefix.size());
      else
        token.insert(0, " ");
    };
    AllTokens(
        [later, cleanup](Tokens& tokens) {
          for (size_t i = 0; i < tokens.size(); ++i) {
            if (i > 0) later(tokens[i]);
            if (cleanup) CleanUp(tokens[i]);
          }
        },
        [later, cleanup](std::string& token) {
          later(token);
          if (cleanup) CleanUp(token);
        });
  }

  void Bpe(std::string suffix) {
    AllTokens(
        [suffix](Tokens& tokens) {
          for (size_t i = 0; i < tokens.size(); ++i)
            ReplaceAll(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
        },
        [suffix](std::string& token) { ReplaceAll(token, suffix, " "); });
  }

  void Ctc(std::string pad, std::string delimiter, bool cleanup) {
    const auto one = [pad, delimiter, cleanup](std::string& token) {
      ReplaceAll(token, pad, "");
      if (!cleanup) return;
      CleanUp(token);
      ReplaceAll(token, delimiter, " ");
    };
    AllTokens(
        [one](Tokens& tokens) {
          Tokens out;
          for (size_t i = 0; i < tokens.size(); ++i) {
            if (i > 0 && tokens[i] == tokens[i - 1]) continue;
            std::string token = tokens[i];
            one(token);
            if (!token.empty()) out.push_back(std::move(token));
          }
          tokens = std::move(out);
        },
        one);
  }

 private:
  Decoder& out_;
  bool fused_ = false;
};

namespace {

absl::Status AddDecoderStep(std::string_view type, JsonMembers& from, DecoderBuilder& builder) {
  if (type == "ByteLevel") {
    builder.ByteLevel();
  } else if (type == "ByteFallback") {
    builder.Fallback();
  } else if (type == "Fuse") {
    builder.FuseTokens();
  } else if (type == "Replace") {
    QF_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(from));
    builder.EachToken([pattern = std::make_shared<const Pattern>(std::move(pattern)),
                       content = from.Text("content").value_or("")](std::string& token) {
      ReplacePattern(*pattern, content, token);
    });
  } else if (type == "Strip") {
    QF_ASSIGN_OR_RETURN(std::string what, ReadCharacter(from, "content"));
    const int64_t start = from.Integer("start").value_or(0);
    builder.Strip(std::move(what), start, from.Integer("stop").value_or(0));
  } else if (type == "Metaspace") {
    QF_ASSIGN_OR_RETURN(std::string mark, ReadCharacter(from, "replacement"));
    const bool never = from.Text("prepend_scheme").value_or("always") == "never" ||
                       from.Bool("add_prefix_space") == false;
    builder.Metaspace(std::move(mark), !never);
  } else if (type == "WordPiece") {
    std::string prefix = from.Text("prefix").value_or("##");
    builder.WordPiece(std::move(prefix), from.Bool("cleanup").value_or(true));
  } else if (type == "BPEDecoder") {
    builder.Bpe(from.Text("suffix").value_or("</w>"));
  } else if (type == "CTC") {
    std::string pad = from.Text("pad_token").value_or("<pad>");
    std::string delimiter = from.Text("word_delimiter_token").value_or("|");
    builder.Ctc(std::move(pad), std::move(delimiter), from.Bool("cleanup").value_or(true));
  } else {
    return UnknownStage(from, type);
  }
  return from.status();
}

}  // namespace

absl::StatusOr<Decoder> Decoder::Create(const json::value* stage) {
  Decoder out;
  DecoderBuilder builder(out);
  if (stage == nullptr || stage->is_null()) {
    builder.WordPiece("", false);
    return out;
  }
  QF_RETURN_IF_ERROR(ForEachStage(stage, "tokenizer.json: decoder", "decoders",
                                  [&](std::string_view type, JsonMembers& from) {
                                    return AddDecoderStep(type, from, builder);
                                  }));
  return out;
}

Decoder Decoder::OfByteLevel() {
  Decoder out;
  DecoderBuilder(out).ByteLevel();
  return out;
}

Decoder Decoder::OfSentencePiece(bool strips_first_space) {
  Decoder out;
  DecoderBuilder builder(out);
  builder.EachToken([](std::string& token) { ReplaceAll(token, kSentencePieceSpace, " "); });
  builder.Fallback();
  builder.FuseTokens();
  if (strips_first_space) builder.Strip(" ", 1, 0);
  return out;
}

namespace {

size_t TotalBytes(const Tokens& tokens) {
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  return bytes;
}

}  // namespace

std::string Decoder::Decode(std::vector<std::string> tokens) const {
  if (tokens.empty()) return "";
  const size_t most = MostBytes(TotalBytes(tokens));
  for (const Step& step : steps_) {
    step.decode(tokens);
    // No file means this; what follows is left undone.
    if (TotalBytes(tokens) > most) break;
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

std::string Decoder::Piece(std::string_view token) const {
  std::string piece(token);
  for (const Step& step : steps_) step.piece(piece);
  return piece;
}

}  // namespace quantfleet::text
