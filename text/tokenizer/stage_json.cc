#include "text/tokenizer/stage_json.h"

#include "common/base/outside_text.h"
#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr int kMaxStageDepth = 8;
constexpr size_t kMaxStages = 64, kMaxLiteralBytes = 4096;

using Add = std::function<absl::Status(std::string_view type, JsonMembers& members)>;

absl::Status Each(const json::value* stage, const std::string& where, std::string_view list,
                  int depth, size_t& count, const Add& add) {
  if (stage == nullptr || stage->is_null()) return absl::OkStatus();
  if (!stage->is_object()) return InvalidArgument("{} is not an object", where);
  if (depth > kMaxStageDepth || ++count > kMaxStages)
    return InvalidArgument("{}: there are more than {} stages, or deeper than {}", where,
                           kMaxStages, kMaxStageDepth);
  JsonMembers outer(stage->get_object(), where);
  const std::string type = outer.Text("type").value_or("");
  QF_RETURN_IF_ERROR(outer.status());
  if (type != "Sequence") {
    JsonMembers members(stage->get_object(), fmt::format("{}: {}", where, Shown(type, 40)));
    QF_RETURN_IF_ERROR(add(type, members));
    return members.status();
  }
  const json::array* steps = outer.Array(list);
  QF_RETURN_IF_ERROR(outer.status());
  if (steps == nullptr) return InvalidArgument("{}: a Sequence has no {}", where, list);
  for (const json::value& step : *steps)
    QF_RETURN_IF_ERROR(Each(&step, where, list, depth + 1, count, add));
  return absl::OkStatus();
}

}  // namespace

absl::Status ForEachStage(const json::value* stage, const std::string& where, std::string_view list,
                          const Add& add) {
  size_t count = 0;
  return Each(stage, where, list, 0, count, add);
}

absl::Status Pattern::ForEachMatch(std::string_view text, MatchSteps& steps,
                                   const std::function<void(size_t, size_t)>& found) const {
  if (expression) return expression->ForEachMatch(text, steps, found);
  if (literal.empty()) return absl::OkStatus();
  for (size_t at = 0; (at = text.find(literal, at)) != std::string_view::npos; at += literal.size())
    found(at, at + literal.size());
  return absl::OkStatus();
}

absl::StatusOr<Pattern> ReadPattern(JsonMembers& members) {
  Pattern out;
  const json::value* value = members.Any("pattern");
  if (value != nullptr && value->is_string()) {
    out.literal = members.Text("pattern").value_or("");
  } else {
    const json::object* object = members.Object("pattern");
    QF_RETURN_IF_ERROR(members.status());
    if (object == nullptr) return InvalidArgument("{}: there is no pattern", members.where());
    JsonMembers inner(*object, members.where() + ": pattern");
    const auto literal = inner.Text("String"), regex = inner.Text("Regex");
    QF_RETURN_IF_ERROR(inner.status());
    if (literal.has_value() == regex.has_value())
      return InvalidArgument("{} is neither a String nor a Regex", inner.where());
    if (regex) {
      absl::StatusOr<RegularExpression> made = RegularExpression::Create(*regex);
      if (!made.ok()) return Annotate(made.status(), inner.where());
      out.expression.emplace(*std::move(made));
    } else {
      out.literal = *literal;
    }
  }
  if (out.literal.size() > kMaxLiteralBytes)
    return InvalidArgument("{}: the pattern has {} bytes; the maximum is {}", members.where(),
                           out.literal.size(), kMaxLiteralBytes);
  return out;
}

absl::StatusOr<std::string> ReadCharacter(JsonMembers& members, std::string_view key) {
  const std::string text = members.Text(key).value_or("");
  QF_RETURN_IF_ERROR(members.status());
  if (text.empty() || FirstCharacter(text).length != text.size())
    return InvalidArgument("{}: {} is '{}', which is not one character", members.where(), key,
                           Shown(text, 40));
  return text;
}

absl::Status UnknownStage(const JsonMembers& members, std::string_view type) {
  return Unimplemented("{}: the type '{}' is not supported", members.where(), Shown(type, 40));
}

}  // namespace quantfleet::text
