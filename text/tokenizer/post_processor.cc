#include "text/tokenizer/post_processor.h"

#include <limits>

#include "common/base/outside_text.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

using Find = std::function<int32_t(std::string_view)>;

constexpr size_t kMaxIds = 64;

absl::Status AppendId(const json::value& id, const std::string& where, std::vector<int32_t>& out) {
  if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > std::numeric_limits<int32_t>::max())
    return InvalidArgument("{}: an id is not a token's", where);
  if (out.size() == kMaxIds)
    return InvalidArgument("{}: there are more than {} ids", where, kMaxIds);
  out.push_back(static_cast<int32_t>(id.get_int64()));
  return absl::OkStatus();
}

// {"SpecialToken": {"id": "<s>"}}, whose ids stand in "special_tokens"; anything else is the text.
absl::StatusOr<bool> AppendSpecial(const json::value& item, const json::object* specials,
                                   const std::string& where, const Find& find,
                                   std::vector<int32_t>& out) {
  if (!item.is_object()) return InvalidArgument("{}: single has what is not an object", where);
  JsonMembers members(item.get_object(), where + ": single");
  const json::object* special = members.Object("SpecialToken");
  QF_RETURN_IF_ERROR(members.status());
  if (special == nullptr) return false;
  JsonMembers inner(*special, where + ": single: SpecialToken");
  const std::string name = inner.Text("id").value_or("");
  QF_RETURN_IF_ERROR(inner.status());
  const json::value* entry = specials == nullptr ? nullptr : specials->if_contains(name);
  if (const int32_t id = entry == nullptr ? find(name) : -1; id >= 0) {
    out.push_back(id);
    return true;
  }
  if (entry == nullptr || !entry->is_object())
    return InvalidArgument("{}: special_tokens does not have '{}'", where, Shown(name, 40));
  JsonMembers token(entry->get_object(), where + ": special_tokens");
  const json::array* ids = token.Array("ids");
  QF_RETURN_IF_ERROR(token.status());
  if (ids == nullptr) return InvalidArgument("{} has no ids", token.where());
  for (const json::value& id : *ids) QF_RETURN_IF_ERROR(AppendId(id, token.where(), out));
  return true;
}

absl::Status TakeTemplate(JsonMembers& from, const Find& find, std::vector<int32_t>& before,
                          std::vector<int32_t>& after) {
  const json::array* single = from.Array("single");
  const json::object* specials = from.Object("special_tokens");
  QF_RETURN_IF_ERROR(from.status());
  if (single == nullptr) return InvalidArgument("{}: there is no single", from.where());
  bool seen = false;
  for (const json::value& item : *single) {
    QF_ASSIGN_OR_RETURN(const bool special,
                        AppendSpecial(item, specials, from.where(), find, seen ? after : before));
    if (!special && seen)
      return Unimplemented("{}: single has the text twice, which is not supported", from.where());
    seen = seen || !special;
  }
  if (!seen) return InvalidArgument("{}: single does not have the text", from.where());
  return absl::OkStatus();
}

// BERT's and RoBERTa's: ["[SEP]", 102]
absl::Status TakeNamed(JsonMembers& from, std::string_view key, std::vector<int32_t>& out) {
  const json::array* pair = from.Array(key);
  QF_RETURN_IF_ERROR(from.status());
  if (pair == nullptr || pair->size() != 2)
    return InvalidArgument("{}: {} is not a token and its id", from.where(), key);
  return AppendId(pair->at(1), fmt::format("{}: {}", from.where(), key), out);
}

}  // namespace

absl::StatusOr<PostProcessor> PostProcessor::Create(const json::value* stage, const Find& find) {
  PostProcessor out;
  const auto add = [&](std::string_view type, JsonMembers& from) -> absl::Status {
    std::vector<int32_t> before, after;
    if (type == "TemplateProcessing") {
      QF_RETURN_IF_ERROR(TakeTemplate(from, find, before, after));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      QF_RETURN_IF_ERROR(TakeNamed(from, "cls", before));
      QF_RETURN_IF_ERROR(TakeNamed(from, "sep", after));
    } else if (type != "ByteLevel") {  // which moves offsets only
      return UnknownStage(from, type);
    }
    out.before.insert(out.before.begin(), before.begin(), before.end());
    out.after.insert(out.after.end(), after.begin(), after.end());
    return absl::OkStatus();
  };
  QF_RETURN_IF_ERROR(ForEachStage(stage, "tokenizer.json: post_processor", "processors", add));
  return out;
}

}  // namespace quantfleet::text
