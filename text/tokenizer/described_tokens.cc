#include "text/tokenizer/described_tokens.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>
#include <utility>

#include "common/base/json.h"
#include "common/base/outside_text.h"

namespace quantfleet::text {

namespace json = boost::json;

absl::StatusOr<std::vector<AddedToken>> DescribedAdded(const TokenizerData& data) {
  std::vector<AddedToken> added;
  std::vector<bool> seen(data.tokens.size());
  for (const AddedToken& token : data.description->added) {
    if (token.id < 0 || token.id >= static_cast<int64_t>(data.tokens.size()))
      return InvalidArgument(
          "tokenizer.json: added_tokens: '{}' has the id {}, which is outside "
          "the vocabulary of {}",
          Shown(token.text, 60), token.id, data.tokens.size());
    const auto id = static_cast<size_t>(token.id);
    seen[id] = true;
    added.push_back(token);
    // What other files call a control token is one.
    added.back().special = token.special || IsControl(data.tokens[id].type);
  }
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const auto& [text, score, type] = data.tokens[id];
    if (seen[id] || (type != TokenType::kControl && type != TokenType::kUserDefined)) continue;
    added.push_back(
        {.id = static_cast<int64_t>(id), .text = text, .special = type == TokenType::kControl});
  }
  return added;
}

BpeModel::Merges SplitMerges(const std::vector<std::string>& merges) {
  BpeModel::Merges out;
  out.reserve(merges.size());
  for (const std::string& merge : merges) {
    // A space may be the first letter of a symbol, as llama.cpp has it.
    const size_t space = merge.find(' ', 1);
    const std::string_view all = merge;
    if (space == std::string::npos)
      out.emplace_back(all, "");
    else
      out.emplace_back(all.substr(0, space), all.substr(space + 1));
  }
  return out;
}

absl::StatusOr<BpeModel::Merges> DescribedMerges(const TokenizerData& data,
                                                 const json::object& model) {
  JsonMembers from(model, "tokenizer.json: model");
  const json::array* merges = from.Array("merges");
  QF_RETURN_IF_ERROR(from.status());
  if (merges == nullptr || merges->empty()) return SplitMerges(data.merges);
  BpeModel::Merges out;
  for (const json::value& merge : *merges) {
    const json::array* pair = merge.if_array();
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() ||
        !pair->at(1).is_string())
      return InvalidArgument("{}: merges: merge {} is not a pair", from.where(), out.size());
    const json::string &left = pair->at(0).get_string(), &right = pair->at(1).get_string();
    out.emplace_back(std::string_view(left.data(), left.size()),
                     std::string_view(right.data(), right.size()));
  }
  return out;
}

absl::StatusOr<PostProcessor> DescribedTemplate(const TokenizerData& data,
                                                const json::value* stage) {
  const auto find = [&](std::string_view text) {
    for (const AddedToken& token : data.description->added)
      if (token.text == text) return static_cast<int32_t>(token.id);
    const auto found = std::ranges::find(data.tokens, text, &Token::text);
    return found == data.tokens.end() ? -1 : static_cast<int32_t>(found - data.tokens.begin());
  };
  QF_ASSIGN_OR_RETURN(PostProcessor post, PostProcessor::Create(stage, find));
  for (const std::vector<int32_t>* ids : {&post.before, &post.after})
    for (const int32_t id : *ids)
      if (id < 0 || static_cast<size_t>(id) >= data.tokens.size())
        return InvalidArgument(
            "tokenizer.json: post_processor: the id {} is outside the vocabulary of {}", id,
            data.tokens.size());
  return post;
}

std::vector<int32_t> BeginOfText(const TokenizerData& data, const PostProcessor& described) {
  if (!data.bos || described.before.size() > 1) return described.before;
  return data.add_bos ? std::vector<int32_t>{*data.bos} : std::vector<int32_t>{};
}

}  // namespace quantfleet::text
