#include "pipeline/format/openvino/ir_texts.h"

#include <iterator>

namespace quantfleet::pipeline {
namespace {

IrOutput Flags() { return {IrType::kBoolean, {kAnySize}}; }

}  // namespace

std::vector<IrValue> TextConstants(IrConstants& constants, const std::vector<std::string>& texts) {
  std::vector<int32_t> begins, ends;
  std::string bytes;
  for (const std::string& text : texts) {
    begins.push_back(static_cast<int32_t>(bytes.size()));
    bytes += text;
    ends.push_back(static_cast<int32_t>(bytes.size()));
  }
  const IrValue first = constants.SmallVector(begins), last = constants.SmallVector(ends);
  return {first, last, constants.Bytes(bytes)};
}

IrTexts::IrTexts(IrGraph& graph, IrConstants& constants) : graph_(graph), constants_(constants) {
  const IrValue input = graph_.Parameter("string_input", IrType::kString, {kAnySize});
  begins_ = graph_.Add(kUnpackTexts, "unpacked", {input}, {}, {Places(), Places(), TextBytes()});
  ends_ = {begins_.layer, 1};
  bytes_ = {begins_.layer, 2};
  // Text i is the row of piece i alone.
  const IrValue shape = graph_.Add({"ShapeOf", "opset3"}, "shape", {begins_},
                                   {{"output_type", "i64"}}, IrType::kI64, {1});
  const IrValue zero = constants_.Integer(0), one = constants_.Integer(1);
  const IrValue batch = graph_.Add({"Gather", "opset8"}, "batch", {shape, zero, zero},
                                   {{"batch_dims", "0"}}, IrType::kI64, {});
  const auto range = [&](const char* name, IrValue from, IrValue to) {
    return graph_.Add({"Range", "opset4"}, name, {from, to, one}, {{"output_type", "i32"}},
                      IrType::kI32, {kAnySize});
  };
  row_begins_ = range("row_begins", zero, batch);
  const IrValue behind = graph_.Elementwise({"Add", "opset1"}, "behind", batch, one);
  row_ends_ = range("row_ends", one, behind);
}

void IrTexts::TakeCut(const char* type, std::string_view expression, bool gets_skips,
                      const IrGraph::Attributes& attributes) {
  std::vector<IrValue> inputs{row_begins_, row_ends_, begins_, ends_, bytes_};
  if (gets_skips) inputs.push_back(skips_);
  inputs.push_back(constants_.Bytes(expression));
  const IrValue out = graph_.Add(Extension(type), Name(type), inputs, attributes,
                                 {Places(), Places(), Places(), Places(), TextBytes(), Flags()});
  row_begins_ = out;
  row_ends_ = {out.layer, 1};
  begins_ = {out.layer, 2};
  ends_ = {out.layer, 3};
  bytes_ = {out.layer, 4};
  skips_ = {out.layer, 5};
  has_skips_ = true;
}

void IrTexts::CutTokens(std::string_view expression) {
  TakeCut("SpecialTokensSplit", expression, has_skips_, {});
}

void IrTexts::Cut(std::string_view expression, bool removes, bool inverted) {
  TakeCut("RegexSplit", expression, true,
          {{"behaviour", removes ? "remove" : "isolate"},
           {"invert", inverted ? "true" : "false"},
           {"max_splits", "-1"}});
}

void IrTexts::TakeRewrite(const char* type, std::vector<IrValue> inputs,
                          const IrGraph::Attributes& attributes) {
  std::vector<IrValue> all{begins_, ends_, bytes_};
  std::vector<IrOutput> outputs{Places(), Places(), TextBytes()};
  if (has_skips_) {
    all.push_back(skips_);
    outputs.push_back(Flags());
  }
  std::ranges::copy(inputs, std::back_inserter(all));
  begins_ = graph_.Add(Extension(type), Name(type), all, attributes, outputs);
  ends_ = {begins_.layer, 1};
  bytes_ = {begins_.layer, 2};
  if (has_skips_) skips_ = {begins_.layer, 3};
}

void IrTexts::Replace(std::string_view expression, std::string_view replacement) {
  const IrValue pattern = constants_.Bytes(expression);
  TakeRewrite("RegexNormalization", {pattern, constants_.Bytes(replacement)},
              {{"global_replace", "true"}});
}

void IrTexts::Map(std::string_view table) {
  TakeRewrite("CharsMapNormalization", {constants_.Bytes(table)},
              {{"add_dummy_prefix", "false"},
               {"remove_extra_whitespaces", "false"},
               {"escape_whitespaces", "false"},
               {"normalization_form", ""},
               {"case_fold", "false"},
               {"nmt", "false"}});
}

void IrTexts::Normalize(std::string_view form) {
  TakeRewrite("CharsMapNormalization", {},
              {{"add_dummy_prefix", "false"},
               {"remove_extra_whitespaces", "false"},
               {"escape_whitespaces", "false"},
               {"normalization_form", std::string(form)},
               {"case_fold", "false"},
               {"nmt", "false"}});
}

IrRows IrTexts::Ids(IrOp model, std::vector<IrValue> tables,
                    const IrGraph::Attributes& attributes) {
  std::vector<IrValue> inputs{row_begins_, row_ends_, begins_, ends_, bytes_};
  std::ranges::copy(tables, std::back_inserter(inputs));
  const IrValue out =
      graph_.Add(model, model.type, inputs, attributes, {Places(), Places(), Places()});
  return {out, {out.layer, 1}, {out.layer, 2}};
}

}  // namespace quantfleet::pipeline
