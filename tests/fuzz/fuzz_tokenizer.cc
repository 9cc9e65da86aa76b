// Texts of any bytes through small vocabularies of both kinds: ids lie in the vocabulary, pieces
// put the text together again, what is data never becomes a control token, and what is streamed is
// UTF-8.
#include <algorithm>
#include <cstdlib>

#include "common/base/utf8.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer/text_stream.h"
#include "text/tokenizer/tokenizer.h"
#include "text/unicode/forms.h"

namespace text = quantfleet::text;

namespace {

constexpr const char* kMarks[] = {"<|end|>", "<|user|>", "</s>", "<s>"};

void Require(bool condition) {
  if (!condition) std::abort();
}

std::unique_ptr<text::Tokenizer> Make(const text::TokenizerData& data) {
  auto made = text::MakeTokenizer(data, "fuzz");
  Require(made.ok());
  return *std::move(made);
}

text::TokenizerData Spm(bool leading_space) {
  text::TokenizerData data;
  data.kind = text::TokenizerData::Kind::kSpm;
  for (const auto& piece : quantfleet::testing::TinySpmPieces(400))
    data.tokens.push_back({piece.text, piece.score,
                           piece.type == 2   ? text::TokenType::kUnknown
                           : piece.type == 3 ? text::TokenType::kControl
                           : piece.type == 6 ? text::TokenType::kByte
                                             : text::TokenType::kNormal});
  data.unknown = 0, data.bos = 1, data.eos = 2, data.add_bos = true;
  data.add_space_prefix = leading_space;
  for (const char* mark : {"<|end|>", "<|user|>"})
    data.tokens.push_back({mark, 0, text::TokenType::kControl});
  data.tokens.push_back({"<tool>", 0, text::TokenType::kUserDefined});
  return data;
}

// As vocabularies write bytes: printable Latin-1 stands for itself, the rest follows from U+0100
// on.
std::string Letter(unsigned byte) {
  const auto own = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  };
  unsigned code = byte;
  if (!own(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) code += own(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

text::TokenizerData Bpe(const char* pre) {
  text::TokenizerData data;
  data.kind = text::TokenizerData::Kind::kByteBpe;
  data.pre = pre;
  for (unsigned b = 0; b < 256; ++b)
    data.tokens.push_back({Letter(b), 0, text::TokenType::kNormal});
  const std::string space = Letter(' ');
  for (const auto& [left, right] :
       std::initializer_list<std::pair<std::string, std::string>>{{"t", "h"},
                                                                  {"th", "e"},
                                                                  {space, "the"},
                                                                  {"i", "n"},
                                                                  {"a", "a"},
                                                                  {"aa", "aa"},
                                                                  {"<", "|"},
                                                                  {"|", ">"},
                                                                  {"1", "2"},
                                                                  {Letter(0xc3), Letter(0xa4)}}) {
    data.merges.push_back(left + " " + right);
    data.tokens.push_back({left + right, 0, text::TokenType::kNormal});
  }
  for (const char* mark : kMarks) data.tokens.push_back({mark, 0, text::TokenType::kControl});
  data.tokens.push_back({"<tool>", 0, text::TokenType::kUserDefined});
  data.eos = static_cast<int32_t>(data.tokens.size()) - 2;
  data.add_bos = false;
  return data;
}

std::string Decode(const text::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (int32_t id : ids) text += tokenizer.Piece(id);
  return text;
}

void Check(const text::Tokenizer& tokenizer, const text::TokenizerData& data,
           const std::string& text) {
  const auto size = static_cast<int32_t>(data.tokens.size());
  const auto plain = tokenizer.Encode(text, false, false);
  // Matching a regular expression may take too many steps; nothing else refuses a text.
  if (!plain.ok()) return;
  for (int32_t id : *plain)
    Require(id >= 0 && id < size && !text::IsControl(data.tokens[static_cast<size_t>(id)].type));
  // SentencePiece writes a space as U+2581: that character itself, and a character cut off before a
  // space, come back as another text.
  const bool spm = data.kind == text::TokenizerData::Kind::kSpm;
  const bool whole = quantfleet::WholeUtf8Length(text) == text.size();
  if (!spm || (whole && text.find("\xe2\x96\x81") == std::string::npos)) {
    std::string again = Decode(tokenizer, *plain);
    if (spm && data.add_space_prefix) std::erase(again, ' ');
    std::string expected = text;
    if (spm && data.add_space_prefix) std::erase(expected, ' ');
    // Qwen composes characters, between tokens; composed once more as a whole, both are equal.
    if (data.pre == "qwen2")
      for (std::string* composed : {&again, &expected})
        text::NormalizeUnicode(text::UnicodeForm::kNfc, *composed);
    Require(again == expected);
  }

  const text::DataRange all[] = {{0, text.size()}};
  const auto as_data =
      tokenizer.Encode(text, false, true, text.empty() ? std::span<const text::DataRange>() : all);
  Require(as_data.ok() && *as_data == *plain);

  const auto prompt = tokenizer.Encode(text, true, true);
  if (prompt.ok())
    for (int32_t id : *prompt) Require(id >= 0 && id < size);

  text::TextStream stream({"aa", "the end"});
  std::string shown;
  for (int32_t id : *plain) shown += stream.Append(tokenizer.Piece(id));
  shown += stream.Finish();
  Require(quantfleet::WholeUtf8Length(shown) == shown.size());
  Require(shown.find("aa") == std::string::npos && stream.returned() == shown.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  struct Case {
    text::TokenizerData data;
    std::unique_ptr<text::Tokenizer> tokenizer = Make(data);
  };
  static const Case cases[] = {
      {Spm(true)}, {Spm(false)}, {Bpe("llama-bpe")}, {Bpe("qwen2")}, {Bpe("gpt-4o")}};
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  for (const Case& one : cases) Check(*one.tokenizer, one.data, text);
  return 0;
}
