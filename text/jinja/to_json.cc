#include "text/jinja/to_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/base/utf8.h"
#include "text/jinja/python_text.h"

namespace quantfleet::jinja {
namespace {

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  absl::Status Write(const Value& value);
  MarkedText Take() { return std::move(out_); }

 private:
  void String(const MarkedText& text);
  absl::StatusOr<MarkedText> Key(const Value& key) const;
  absl::Status List(const Sequence& sequence);
  absl::Status Object(const Dictionary& dictionary);
  void NewLine() {
    if (!style_.indent) return;
    out_.Append("\n", false);
    for (size_t i = 0; i < level_; ++i) out_.Append(*style_.indent, false);
  }
  void Begin(std::string_view bracket) {
    out_.Append(bracket, false);
    ++level_;
    NewLine();
  }
  void Between() {
    out_.Append(style_.between);
    NewLine();
  }
  void End(std::string_view bracket) {
    --level_;
    NewLine();
    out_.Append(bracket, false);
  }

  const JsonStyle& style_;
  MarkedText out_;
  size_t level_ = 0;
};

std::string Number(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  return RealText(number);
}

// Empty: it stands for itself.
std::string Escaped(char32_t c, bool ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  const auto unit = [](char32_t u) { return fmt::format("\\u{:04x}", static_cast<uint32_t>(u)); };
  if (c < 0x20) return unit(c);
  if (!ascii || c < 0x7f || c == kNoCharacter) return "";
  if (c < 0x10000) return c == 0x7f ? "" : unit(c);
  return unit(0xd800 + ((c - 0x10000) >> 10)) + unit(0xdc00 + ((c - 0x10000) & 0x3ff));
}

void Writer::String(const MarkedText& text) {
  const std::string_view bytes = text.bytes;
  out_.Append("\"", false);
  size_t plain = 0;  // where what stands for itself begins
  for (size_t at = 0, size = 1; at < bytes.size(); at += size) {
    const auto c = static_cast<unsigned char>(bytes[at]);
    size = 1;
    if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || !style_.ascii)) continue;
    size = CharacterBytes(bytes.substr(at));
    const std::string escaped = Escaped(FirstCharacter(bytes.substr(at)).value, style_.ascii);
    if (escaped.empty()) continue;
    out_.Append(text, plain, at);
    out_.Append(escaped, text.IsData(at));
    plain = at + size;
  }
  out_.Append(text, plain, bytes.size());
  out_.Append("\"", false);
}

absl::StatusOr<MarkedText> Writer::Key(const Value& key) const {
  switch (key.kind()) {
    case Value::Kind::kText:
      return key.text().marked;
    case Value::Kind::kBool:
      return MarkedText{key.truth() ? "true" : "false"};
    case Value::Kind::kNone:
      return MarkedText{"null"};
    case Value::Kind::kInteger:
      return MarkedText{std::to_string(key.whole())};
    case Value::Kind::kFloat:
      return MarkedText{Number(key.real())};
    default:
      return FailedPrecondition("keys must be str, int, float, bool or None, not {}",
                                TypeName(key));
  }
}

absl::Status Writer::List(const Sequence& sequence) {
  if (sequence.items.empty()) {
    out_.Append("[]", false);
    return absl::OkStatus();
  }
  Begin("[");
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) Between();
    QF_RETURN_IF_ERROR(Write(sequence.items[i]));
  }
  End("]");
  return absl::OkStatus();
}

absl::Status Writer::Object(const Dictionary& dictionary) {
  if (dictionary.entries.empty()) {
    out_.Append("{}", false);
    return absl::OkStatus();
  }
  std::vector<std::pair<MarkedText, const Value*>> entries;
  for (const auto& [key, value] : dictionary.entries) {
    QF_ASSIGN_OR_RETURN(MarkedText text, Key(key));
    entries.emplace_back(std::move(text), &value);
  }
  if (style_.sorted)
    std::ranges::sort(entries, {},
                      [](const auto& entry) -> const std::string& { return entry.first.bytes; });
  Begin("{");
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) Between();
    String(entries[i].first);
    out_.Append(style_.colon);
    QF_RETURN_IF_ERROR(Write(*entries[i].second));
  }
  End("}");
  return absl::OkStatus();
}

absl::Status Writer::Write(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNone:
      out_.Append("null", false);
      return absl::OkStatus();
    case Value::Kind::kBool:
      out_.Append(value.truth() ? "true" : "false", false);
      return absl::OkStatus();
    case Value::Kind::kInteger:
      out_.Append(std::to_string(value.whole()), false);
      return absl::OkStatus();
    case Value::Kind::kFloat:
      out_.Append(Number(value.real()), false);
      return absl::OkStatus();
    case Value::Kind::kText:
      String(value.text().marked);
      return absl::OkStatus();
    case Value::Kind::kDictionary:
      return Object(value.dictionary());
    case Value::Kind::kSequence:
      if (value.sequence().kind == Sequence::Kind::kList ||
          value.sequence().kind == Sequence::Kind::kTuple)
        return List(value.sequence());
      break;
    default:
      break;
  }
  return FailedPrecondition("a value of type {} cannot be written as JSON", TypeName(value));
}

}  // namespace

absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  QF_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace quantfleet::jinja
