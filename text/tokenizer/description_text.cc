#include "text/tokenizer/description_text.h"

#include <boost/json.hpp>

#include "common/base/json.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kAdded = "added_tokens";

json::object ToJson(const AddedToken& token) {
  json::object out{{"id", token.id}, {"content", token.text}};
  for (const auto& [name, set] : {std::pair("special", token.special),
                                  {"single_word", token.single_word},
                                  {"lstrip", token.lstrip},
                                  {"rstrip", token.rstrip},
                                  {"normalized", token.normalized},
                                  {"in_model", token.in_model}})
    if (set) out[name] = true;
  return out;
}

}  // namespace

std::string WriteDescription(const TokenizerDescription& description) {
  boost::system::error_code error;
  const json::value stages = json::parse(description.stages, error);
  json::object out = stages.is_object() ? stages.get_object() : json::object();
  json::array added;
  for (const AddedToken& token : description.added) added.push_back(ToJson(token));
  out[kAdded] = std::move(added);
  return json::serialize(out);
}

absl::StatusOr<TokenizerDescription> ReadDescription(std::string_view text) {
  constexpr std::string_view kName = "the tokenizer's description";
  TokenizerDescription out;
  QF_ASSIGN_OR_RETURN(json::object object, ParseJsonObject(text, kName));
  QF_ASSIGN_OR_RETURN(out.added, ReadAddedTokens(object, std::string(kName)));
  object.erase(kAdded);
  out.stages = json::serialize(object);
  return out;
}

}  // namespace quantfleet::text
