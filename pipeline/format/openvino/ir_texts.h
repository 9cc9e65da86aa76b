// Texts in a graph: operations of OpenVINO's extension for tokenizers (openvino_tokenizers), which
// has strings as where each begins and ends in one row of bytes. Each text of a batch is a row of
// pieces; those that are skipped, tokens that stand for themselves, no further step changes.
// Expressions are PCRE2's. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/format/openvino/ir_constants.h"
#include "pipeline/format/openvino/ir_graph.h"

namespace quantfleet::pipeline {

inline constexpr IrOp kUnpackTexts{"StringTensorUnpack", "opset15"},
    kPackTexts{"StringTensorPack", "opset15"};
constexpr IrOp Extension(const char* type) { return {type, "extension"}; }

// Of one dimension, as long as it turns out.
inline IrOutput Places() { return {IrType::kI32, {kAnySize}}; }
inline IrOutput TextBytes() { return {IrType::kU8, {kAnySize}}; }

// Strings as the extension has them in constants: begins and ends (i32), and bytes.
std::vector<IrValue> TextConstants(IrConstants& constants, const std::vector<std::string>& texts);

// Rows of ids: begins and ends (i32) in `ids`.
struct IrRows {
  IrValue begins, ends, ids;
};

class IrTexts {
 public:
  // Adds the input, strings [batch], each in one piece. Both have to outlive this.
  IrTexts(IrGraph& graph, IrConstants& constants);

  // Matches become pieces that are skipped: what the expression captures of them, or all.
  void CutTokens(std::string_view expression);
  // Matches become pieces, and so does what lies between them; where it `removes`, only one of the
  // two: what lies between, or the matches, if `inverted`.
  void Cut(std::string_view expression, bool removes, bool inverted);
  // Each match by `replacement`, which is PCRE2's: $1, and $$ for a dollar.
  void Replace(std::string_view expression, std::string_view replacement);
  // By a table of BuildCharacterMap.
  void Map(std::string_view table);
  // By a Unicode form: "nfc".
  void Normalize(std::string_view form);

  // The model: its operation gets pieces, then `tables`.
  IrRows Ids(IrOp model, std::vector<IrValue> tables, const IrGraph::Attributes& attributes);

 private:
  void TakeCut(const char* type, std::string_view expression, bool gets_skips,
               const IrGraph::Attributes& attributes);
  void TakeRewrite(const char* type, std::vector<IrValue> inputs,
                   const IrGraph::Attributes& attributes);
  std::string Name(const char* type) { return std::string(type) + "_" + std::to_string(count_++); }

  IrGraph& graph_;
  IrConstants& constants_;
  IrValue row_begins_, row_ends_;  // which pieces a text has
  IrValue begins_, ends_, bytes_;  // of pieces
  IrValue skips_;
  bool has_skips_ = false;
  int count_ = 0;
};

}  // namespace quantfleet::pipeline
