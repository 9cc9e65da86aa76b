#include "pipeline/format/openvino/openvino_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <optional>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "pipeline/family/family.h"
#include "pipeline/format/openvino/character_map.h"
#include "pipeline/format/openvino/ir_texts.h"
#include "pipeline/format/openvino/openvino_bpe.h"
#include "pipeline/format/openvino/openvino_detokenizer.h"
#include "pipeline/format/openvino/openvino_stages.h"
#include "pipeline/format/openvino/token_expression.h"
#include "text/tokenizer/described_tokens.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

using text::AddedToken;
using text::TokenizerData;

// GenAI takes graphs that do not name a version for older than it can steer.
constexpr const char* kVersion = "2026.4.1.0";
constexpr int64_t kMaxId = int64_t{1} << 21;
// Texts are not cut off unless whoever runs the graph asks for it. The number is the greatest that
// OpenVINO does not round.
constexpr int32_t kLongest = std::numeric_limits<int32_t>::max() - 64;
constexpr int64_t kMaxPieceCharacters = 100;  // WordPiece's default
// A character that no text has and no vocabulary.
constexpr std::string_view kNobody = "\xEF\xB7\x92";

std::string Flag(bool value) { return value ? "true" : "false"; }

// A tokenizer.json, taken apart.
struct Described {
  TokenizerData data;
  json::object stages;
  std::vector<AddedToken> raw, normalized;  // by what they are found in; texts as found
  std::vector<std::string> shown;           // by id
  std::vector<int32_t> special;             // ids
  std::vector<int32_t> before, after;       // of a text

  const json::value* Stage(std::string_view name) const { return stages.if_contains(name); }
};

absl::StatusOr<Described> Describe(const std::string& file, const ModelDescription& model) {
  QF_ASSIGN_OR_RETURN(text::TokenizerJson parsed, text::ParseTokenizerJson(file, /*whole=*/true));
  Described out;
  out.data = std::move(parsed.data);
  for (const AddedToken& token : parsed.added) {
    if (token.id < 0 || token.id >= kMaxId)
      return InvalidArgument("tokenizer.json: an added token has the id {}", token.id);
    if (static_cast<size_t>(token.id) >= out.data.tokens.size())
      out.data.tokens.resize(static_cast<size_t>(token.id) + 1, {"", 0, text::TokenType::kUnused});
  }
  QF_ASSIGN_OR_RETURN(out.stages, ParseJsonObject(out.data.description->stages, "tokenizer.json"));
  QF_ASSIGN_OR_RETURN(const text::Normalizer normalizer,
                      text::Normalizer::Create(out.Stage("normalizer")));
  for (const text::Token& token : out.data.tokens)
    out.shown.push_back(token.type == text::TokenType::kUnused ? "" : token.text);
  QF_ASSIGN_OR_RETURN(std::vector<AddedToken> added, text::DescribedAdded(out.data));
  for (AddedToken& token : added) {
    const bool by_normalized = token.normalized && !normalizer.empty();
    if (by_normalized) QF_RETURN_IF_ERROR(normalizer.Apply(token.text));
    token.normalized = by_normalized;
    out.shown[static_cast<size_t>(token.id)] = token.text;
    if (token.special) out.special.push_back(static_cast<int32_t>(token.id));
    if (token.text.empty()) continue;
    (by_normalized ? out.normalized : out.raw).push_back(std::move(token));
  }
  QF_ASSIGN_OR_RETURN(const text::PostProcessor post,
                      text::DescribedTemplate(out.data, out.Stage("post_processor")));
  out.before = post.before;
  out.after = post.after;
  // Whoever makes vectors goes by tokenizer.json alone; of other models other files decide.
  const TokenizerData& said = model.tokenizer;
  if (model.embedding) return out;
  out.data.bos = said.bos;
  out.data.add_bos = said.add_bos;
  out.before = text::BeginOfText(out.data, post);
  if (!said.description)
    out.after = said.add_eos && said.eos ? std::vector{*said.eos} : std::vector<int32_t>{};
  return out;
}

// What the model of a tokenizer makes of pieces.
class Models {
 public:
  Models(const Described& from, IrTexts& texts, IrConstants& constants)
      : from_(from), texts_(texts), constants_(constants) {}

  absl::StatusOr<IrRows> Add(bool byte_level) {
    const json::object& model = from_.Stage("model")->get_object();
    JsonMembers members(model, "tokenizer.json: model");
    const std::string type = members.Text("type").value_or("");
    if (type == "BPE") return Bpe(model, byte_level);
    if (type == "WordPiece" && !byte_level) return WordPiece(members);
    return Unimplemented("the model {} of a tokenizer", Shown(type, 40));
  }

 private:
  absl::StatusOr<IrRows> Bpe(const json::object& model, bool byte_level) {
    std::vector<AddedToken> added = from_.raw;
    added.insert(added.end(), from_.normalized.begin(), from_.normalized.end());
    QF_ASSIGN_OR_RETURN(const BpeTables made, MakeBpeTables(from_.data, model, byte_level, added));
    if (made.left.empty()) return Unimplemented("a vocabulary without merges");
    if (!made.rewrites.empty()) {
      texts_.Replace(R"(\A)", kPieceBegin);
      texts_.Replace(R"(\z)", kPieceEnd);
      QF_ASSIGN_OR_RETURN(const std::string map, BuildCharacterMap(made.rewrites));
      texts_.Map(map);
    }
    std::vector<IrValue> tables;
    const auto add = [&](const std::vector<std::string>& texts) {
      for (const IrValue table : TextConstants(constants_, texts)) tables.push_back(table);
    };
    for (const auto* texts : {&made.vocabulary, &made.left, &made.right}) add(*texts);
    if (!made.tokens.empty()) {
      add(made.tokens);
      tables.push_back(constants_.SmallVector(made.token_ids));
    }
    const size_t cached = std::max<size_t>(made.vocabulary.size() / 5, 20'000);
    return texts_.Ids(Extension("BPETokenizer"), std::move(tables),
                      {{"unk_token", std::string(kNobody)},
                       {"fuse_unk", "false"},
                       {"suffix_indicator", ""},
                       {"end_suffix", ""},
                       {"byte_fallback", "false"},
                       {"cache_capacity", fmt::format("{}", cached)}});
  }

  absl::StatusOr<IrRows> WordPiece(JsonMembers& model) {
    const std::string prefix = model.Text("continuing_subword_prefix").value_or("##");
    const std::string unknown = model.Text("unk_token").value_or("[UNK]");
    const int64_t longest = model.Integer("max_input_chars_per_word").value_or(kMaxPieceCharacters);
    QF_RETURN_IF_ERROR(model.status());
    if (prefix.empty() || longest < 1 || longest > 1000)
      return Unimplemented("{}: such a prefix or length of words", model.where());
    std::vector<std::string> vocabulary;
    std::optional<int32_t> unknown_id;
    for (const text::Token& token : from_.data.tokens) {
      if (token.text == unknown) unknown_id = static_cast<int32_t>(vocabulary.size());
      vocabulary.push_back(token.type == text::TokenType::kUnused ? "" : token.text);
    }
    for (const auto* added : {&from_.raw, &from_.normalized})
      for (const AddedToken& token : *added) vocabulary[static_cast<size_t>(token.id)] = token.text;
    if (!unknown_id) return Unimplemented("{}: there is no unknown token", model.where());
    // The operation counts bytes.
    texts_.Replace(fmt::format(R"(\A(?s:.{{{},}})\z)", longest + 1), kNobody);
    std::vector<IrValue> tables = TextConstants(constants_, vocabulary);
    tables.push_back(constants_.Small(*unknown_id));
    return texts_.Ids(
        Extension("WordpieceTokenizer"), std::move(tables),
        {{"suffix_indicator", prefix}, {"max_bytes_per_word", fmt::format("{}", 4 * longest)}});
  }

  const Described& from_;
  IrTexts& texts_;
  IrConstants& constants_;
};

absl::StatusOr<IrRows> AddText(const Described& from, IrGraph& graph, IrConstants& constants) {
  IrTexts texts(graph, constants);
  QF_ASSIGN_OR_RETURN(const std::string tokens, TokenExpression(from.raw));
  QF_ASSIGN_OR_RETURN(const std::string mark, FirstMarkOf(from.Stage("pre_tokenizer")));
  if (!mark.empty()) {
    if (from.Stage("normalizer") != nullptr)
      return Unimplemented("a prefix of the text alone, beside a normalizer");
    texts.Replace(fmt::format(R"(\A(?!{}|[ {}]|\z))", tokens, mark), mark);
  }
  texts.CutTokens(tokens);
  QF_RETURN_IF_ERROR(AddNormalizer(from.Stage("normalizer"), texts));
  if (!from.normalized.empty()) {
    QF_ASSIGN_OR_RETURN(const std::string more, TokenExpression(from.normalized));
    texts.CutTokens(more);
  }
  QF_ASSIGN_OR_RETURN(const bool byte_level, AddPreTokenizer(from.Stage("pre_tokenizer"), texts));
  return Models(from, texts, constants).Add(byte_level);
}

// What begins and ends a text, around it: six outputs, ids and which part of the text each is of.
IrValue AddEnds(const Described& from, const IrRows& text, IrGraph& graph, IrConstants& constants) {
  const IrValue longest =
      constants.Small(kLongest - static_cast<int32_t>(from.before.size() + from.after.size()));
  const IrValue side = constants.Bytes("right");
  const IrValue cut =
      graph.Add(Extension("Truncate"), "Truncate",
                {text.begins, text.ends, text.ids, longest, side, constants.Bytes("longest_first")},
                {{"m_num_inputs", "1"}}, {Places(), Places(), Places()});
  std::vector<IrValue> inputs;
  std::vector<int32_t> parts;
  const auto ids = [&](const std::vector<int32_t>& tokens) {
    if (tokens.empty()) return;
    inputs.push_back(constants.Small(0));
    inputs.push_back(constants.Small(static_cast<int32_t>(tokens.size())));
    inputs.push_back(constants.SmallVector(tokens));
    parts.push_back(0);
  };
  ids(from.before);
  for (uint32_t i = 0; i < 3; ++i) inputs.push_back({cut.layer, i});
  parts.push_back(0);
  ids(from.after);
  inputs.push_back(constants.SmallVector(parts));
  return graph.Add(Extension("CombineSegments"), "CombineSegments", inputs, {},
                   {Places(), Places(), Places(), Places(), Places(), Places()});
}

struct Padding {
  int32_t id;
  bool right;
};

void AddBatch(IrValue rows, const Padding& padding, bool has_types, IrGraph& graph,
              IrConstants& constants) {
  const IrShape batch{kAnySize, kAnySize};
  const IrValue lengths =
      graph.Elementwise({"Subtract", "opset1"}, "lengths", {rows.layer, 1}, rows);
  const IrValue longest =
      graph.Add({"ReduceMax", "opset1"}, "longest", {lengths, constants.Small(0)},
                {{"keep_dims", "false"}}, IrType::kI32, {});
  const auto dense = [&](uint32_t first, const char* name, int32_t pad) {
    const IrValue value = constants.Small(pad);
    const IrValue out = graph.Add(
        Extension("RaggedToDense"), fmt::format("{}/dense", name),
        {{rows.layer, first}, {rows.layer, first + 1}, {rows.layer, first + 2}, longest, value},
        {{"pad_right", Flag(padding.right)}, {"m_pad_max_length", "false"}},
        std::vector{IrOutput{IrType::kI32, batch}, IrOutput{IrType::kBoolean, batch}});
    return out;
  };
  const auto result = [&](const char* name, IrValue value) {
    graph.Result(name, graph.Add({"Convert", "opset1"}, name, {value},
                                 {{"destination_type", "i64"}}, IrType::kI64, batch));
  };
  const IrValue ids = dense(0, "input_ids", padding.id);
  result("input_ids", ids);
  if (has_types) result("token_type_ids", dense(3, "token_type_ids", 0));
  result("attention_mask", {ids.layer, 1});
}

// A vector is made wherever a text is padded, so that the model's own files say where; texts are
// continued at their right.
Padding PaddingOf(const ModelDescription& model, const std::vector<Attachment>& files) {
  const TokenizerData& said = model.tokenizer;
  Padding out{said.padding.value_or(said.eos.value_or(0)), model.embedding.has_value()};
  const auto config = std::ranges::find(files, "tokenizer_config.json", &Attachment::name);
  if (!model.embedding || config == files.end()) return out;
  const auto members = ParseJsonObject(config->content, config->name);
  if (!members.ok()) return out;
  const json::value* side = members->if_contains("padding_side");
  out.right = side == nullptr || *side != json::value("left");
  return out;
}

IrGraph::Attributes About(const ModelDescription& model, const Padding& padding) {
  const TokenizerData& said = model.tokenizer;
  IrGraph::Attributes about{{"openvino_tokenizers_version", kVersion},
                            {"pad_token_id", fmt::format("{}", padding.id)}};
  if (said.bos) about.emplace_back("bos_token_id", fmt::format("{}", *said.bos));
  if (said.eos) about.emplace_back("eos_token_id", fmt::format("{}", *said.eos));
  if (!said.chat_template.empty()) about.emplace_back("chat_template", said.chat_template);
  return about;
}

}  // namespace

absl::StatusOr<std::vector<Attachment>> OpenVinoTokenizerFiles(
    const ModelDescription& model, const std::vector<Attachment>& files) {
  const auto file = std::ranges::find(files, "tokenizer.json", &Attachment::name);
  if (file == files.end()) return Unimplemented("there is no tokenizer.json");
  QF_ASSIGN_OR_RETURN(const Described from, Describe(file->content, model));
  const Padding padding = PaddingOf(model, files);
  const IrGraph::Attributes about = About(model, padding);
  std::vector<Attachment> out;
  const auto add = [&](const std::string& name, const IrGraph& graph, IrConstants& constants) {
    out.push_back({fmt::format("openvino_{}.xml", name), graph.Xml(name.c_str(), about)});
    out.push_back({fmt::format("openvino_{}.bin", name), constants.TakeBytes()});
  };
  {
    IrGraph graph;
    IrConstants constants(graph, 0);
    QF_ASSIGN_OR_RETURN(const IrRows text, AddText(from, graph, constants));
    AddBatch(AddEnds(from, text, graph, constants), padding, model.family->encoder, graph,
             constants);
    add("tokenizer", graph, constants);
  }
  if (model.embedding) return out;
  IrGraph graph;
  IrConstants constants(graph, 0);
  QF_RETURN_IF_ERROR(
      BuildOpenVinoDetokenizer(from.shown, from.special, from.Stage("decoder"), graph, constants));
  add("detokenizer", graph, constants);
  return out;
}

}  // namespace quantfleet::pipeline
