#include "text/tokenizer/normalizer.h"

#include <memory>

#include "common/base/utf8.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/growth.h"
#include "text/tokenizer/precompiled_map.h"
#include "text/tokenizer/stage_json.h"
#include "text/unicode/cases.h"
#include "text/unicode/forms.h"
#include "text/unicode/properties.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

using Rewrite = std::function<absl::Status(std::string& text, NormalizerState& state)>;

absl::Status TooLong(size_t most) {
  return InvalidArgument("the tokenizer's normalizer makes more than {} bytes of the text", most);
}

// A step that goes by characters: `change` appends what takes the place of one. Bytes that are not
// UTF-8 stay.
template <typename Change>
Rewrite EachCharacter(Change change) {
  return [change](std::string& text, NormalizerState& state) {
    std::string out;
    out.reserve(text.size());
    for (std::string_view rest = text; !rest.empty();) {
      state.keeps_front = state.keeps_front && (rest.size() == text.size() || !out.empty());
      const Character c = FirstCharacter(rest);
      if (c.value == kNoCharacter)
        out += rest[0];
      else
        change(c.value, out);
      rest.remove_prefix(c.length);
    }
    text = std::move(out);
    return absl::OkStatus();
  };
}

Rewrite Form(UnicodeForm form) {
  return [form](std::string& text, NormalizerState&) {
    NormalizeUnicode(form, text);
    return absl::OkStatus();
  };
}

Rewrite Lowercase() {
  return EachCharacter([](uint32_t c, std::string& out) { AppendLower(c, out); });
}

Rewrite Without(bool (*gone)(uint32_t)) {
  return EachCharacter([gone](uint32_t c, std::string& out) {
    if (!gone(c)) AppendCharacter(c, out);
  });
}

Rewrite Nmt() {
  return EachCharacter([](uint32_t c, std::string& out) {
    if ((c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
        c == 0x9f)
      return;
    const bool space = c == 0x9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xfeff || c == 0xfffd;
    AppendCharacter(space ? ' ' : c, out);
  });
}

// BERT's own list, with a gap that is its authors'.
bool IsChinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

void AppendBert(JsonMembers& from, std::vector<Rewrite>& steps) {
  const bool lowercase = from.Bool("lowercase").value_or(true);
  if (from.Bool("clean_text").value_or(true)) {
    steps.push_back(EachCharacter([](uint32_t c, std::string& out) {
      const bool line = c == '\t' || c == '\n' || c == '\r';
      if (c == 0 || c == 0xfffd || (IsOther(c) && !line)) return;
      AppendCharacter(IsWhiteSpace(c) ? ' ' : c, out);
    }));
  }
  if (from.Bool("handle_chinese_chars").value_or(true)) {
    steps.push_back(EachCharacter([](uint32_t c, std::string& out) {
      if (IsChinese(c)) out += ' ';
      AppendCharacter(c, out);
      if (IsChinese(c)) out += ' ';
    }));
  }
  if (from.Bool("strip_accents").value_or(lowercase)) {
    steps.push_back(Form(UnicodeForm::kNfd));
    steps.push_back(Without(IsNonspacingMark));
  }
  if (lowercase) steps.push_back(Lowercase());
}

Rewrite StripSpaces(bool left, bool right) {
  return [left, right](std::string& text, NormalizerState& state) {
    std::string_view rest = text;
    while (left && !rest.empty() && IsWhiteSpace(FirstCharacter(rest).value))
      rest.remove_prefix(FirstCharacter(rest).length);
    state.keeps_front = state.keeps_front && rest.size() == text.size();
    while (right && !rest.empty() && IsWhiteSpace(LastCharacter(rest).value))
      rest.remove_suffix(LastCharacter(rest).length);
    text = std::string(rest);
    return absl::OkStatus();
  };
}

Rewrite Prepend(std::string what) {
  return [what = std::move(what)](std::string& text, NormalizerState&) {
    if (!text.empty()) text.insert(0, what);
    return absl::OkStatus();
  };
}

Rewrite ReplaceMatches(Pattern pattern, std::string content) {
  return [pattern = std::make_shared<const Pattern>(std::move(pattern)),
          content = std::move(content)](std::string& text, NormalizerState& state) -> absl::Status {
    std::string out;
    size_t kept = 0;
    bool fits = true;
    MatchSteps steps(text.size());
    QF_RETURN_IF_ERROR(pattern->ForEachMatch(text, steps, [&](size_t begin, size_t end) {
      fits = fits && out.size() + content.size() <= state.most;
      if (!fits) return;
      out.append(text, kept, begin - kept);
      out += content;
      kept = end;
    }));
    if (!fits) return TooLong(state.most);
    if (kept == 0 && out.empty()) return absl::OkStatus();
    out.append(text, kept);
    text = std::move(out);
    return absl::OkStatus();
  };
}

absl::StatusOr<Rewrite> Precompiled(JsonMembers& from) {
  const std::string table = from.Text("precompiled_charsmap").value_or("");
  QF_RETURN_IF_ERROR(from.status());
  absl::StatusOr<PrecompiledMap> map = PrecompiledMap::Create(table);
  if (!map.ok()) return Annotate(map.status(), from.where() + ": precompiled_charsmap");
  return [map = std::make_shared<const PrecompiledMap>(*std::move(map))](std::string& text,
                                                                         NormalizerState& state) {
    return map->Apply(text, state.most) ? absl::OkStatus() : TooLong(state.most);
  };
}

absl::Status AddRewrite(std::string_view type, JsonMembers& from, std::vector<Rewrite>& steps) {
  if (type == "NFC") {
    steps.push_back(Form(UnicodeForm::kNfc));
  } else if (type == "NFD") {
    steps.push_back(Form(UnicodeForm::kNfd));
  } else if (type == "NFKC") {
    steps.push_back(Form(UnicodeForm::kNfkc));
  } else if (type == "NFKD") {
    steps.push_back(Form(UnicodeForm::kNfkd));
  } else if (type == "Lowercase") {
    steps.push_back(Lowercase());
  } else if (type == "StripAccents") {
    steps.push_back(Without(IsMark));
  } else if (type == "Nmt") {
    steps.push_back(Nmt());
  } else if (type == "BertNormalizer") {
    AppendBert(from, steps);
  } else if (type == "Strip") {
    const bool left = from.Bool("strip_left").value_or(true);
    steps.push_back(StripSpaces(left, from.Bool("strip_right").value_or(true)));
  } else if (type == "Prepend") {
    steps.push_back(Prepend(from.Text("prepend").value_or("")));
  } else if (type == "Replace") {
    QF_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(from));
    steps.push_back(ReplaceMatches(std::move(pattern), from.Text("content").value_or("")));
  } else if (type == "Precompiled") {
    QF_ASSIGN_OR_RETURN(Rewrite step, Precompiled(from));
    steps.push_back(std::move(step));
  } else if (type == "ByteLevel") {
    steps.push_back([](std::string& text, NormalizerState&) {
      text = SpellBytes(text);
      return absl::OkStatus();
    });
  } else {
    return UnknownStage(from, type);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Create(const json::value* stage) {
  Normalizer out;
  QF_RETURN_IF_ERROR(ForEachStage(stage, "tokenizer.json: normalizer", "normalizers",
                                  [&](std::string_view type, JsonMembers& from) {
                                    return AddRewrite(type, from, out.steps_);
                                  }));
  return out;
}

absl::Status Normalizer::Apply(std::string& text, bool* keeps_front) const {
  NormalizerState state{.keeps_front = true, .most = MostBytes(text.size())};
  for (const Rewrite& step : steps_) {
    QF_RETURN_IF_ERROR(step(text, state));
    if (text.size() > state.most) return TooLong(state.most);
  }
  if (keeps_front != nullptr) *keeps_front = state.keeps_front;
  return absl::OkStatus();
}

}  // namespace quantfleet::text
