#include "pipeline/format/openvino/openvino_detokenizer.h"

#include <boost/json.hpp>

#include "common/base/json.h"
#include "pipeline/format/openvino/ir_texts.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/stage_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// Stages that look at each token by itself, but for a space at the front of all.
absl::Status CheckDecoder(const json::value* stage) {
  if (stage == nullptr || stage->is_null()) return Unimplemented("there is no decoder");
  return text::ForEachStage(
      stage, "tokenizer.json: decoder", "decoders",
      [](std::string_view type, JsonMembers& from) -> absl::Status {
        const bool known = type == "ByteLevel" || type == "ByteFallback" || type == "Fuse" ||
                           type == "Replace" || type == "Metaspace" ||
                           (type == "Strip" && from.Text("content") == " " &&
                            from.Integer("start") == 1 && from.Integer("stop").value_or(0) == 0);
        return known ? absl::OkStatus() : text::UnknownStage(from, type);
      });
}

}  // namespace

absl::Status BuildOpenVinoDetokenizer(const std::vector<std::string>& texts,
                                      const std::vector<int32_t>& special,
                                      const json::value* decoder, IrGraph& graph,
                                      IrConstants& constants) {
  QF_RETURN_IF_ERROR(CheckDecoder(decoder));
  QF_ASSIGN_OR_RETURN(const text::Decoder decodes, text::Decoder::Create(decoder));
  std::vector<std::string> bytes;
  size_t total = 0;
  for (const std::string& text : texts) {
    bytes.push_back(text.empty() ? "" : decodes.Piece(text));
    total += bytes.back().size();
  }
  if (total == 0) return Unimplemented("there are no tokens");
  const IrShape batch{kAnySize, kAnySize};
  const IrValue wide = graph.Parameter("token_ids", IrType::kI64, batch);
  const IrValue ids = graph.Add({"Convert", "opset1"}, "ids", {wide}, {{"destination_type", "i32"}},
                                IrType::kI32, batch);
  std::vector<IrValue> inputs{ids};
  for (const IrValue table : TextConstants(constants, bytes)) inputs.push_back(table);
  // A constant has a value at least, and no token has this id.
  inputs.push_back(constants.SmallVector(special.empty() ? std::vector{-1} : special));
  // GenAI looks for an operation of this name.
  const IrValue pieces =
      graph.Add(Extension("VocabDecoder"), "VocabDecoder", inputs, {{"skip_tokens", ""}},
                {Places(), Places(), Places(), Places(), TextBytes()});
  const IrValue fused = graph.Add(Extension("FuzeRagged"), "fused",
                                  {pieces, {pieces.layer, 1}, {pieces.layer, 2}, {pieces.layer, 3}},
                                  {}, {Places(), Places()});
  std::vector<IrValue> shown{fused, {fused.layer, 1}, {pieces.layer, 4}};
  const auto step = [&](const char* type, const std::vector<IrValue>& more,
                        const IrGraph::Attributes& attributes) {
    shown.insert(shown.end(), more.begin(), more.end());
    const IrValue out =
        graph.Add(Extension(type), type, shown, attributes, {Places(), Places(), TextBytes()});
    shown = {out, {out.layer, 1}, {out.layer, 2}};
  };
  if (decodes.strips_first_space()) {
    const IrValue front = constants.Bytes(R"(\A ())");
    step("RegexNormalization", {front, constants.Bytes("$1")}, {{"global_replace", "true"}});
  }
  step("UTF8Validate", {}, {{"replace_mode", "true"}});
  graph.Result("string_output",
               graph.Add(kPackTexts, "packed", shown, {}, IrType::kString, {kAnySize}));
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
