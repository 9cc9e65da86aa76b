// What a format of artifacts has to answer. Each format's folder describes itself by one
// TargetFormat; registry/ has a row for each, and whoever knows a format by name alone asks there
// (docs/extend/format.md). Plain values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "pipeline/family/family.h"
#include "pipeline/format/target_layout.h"
#include "pipeline/model/calibration.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// A tensor of an artifact as its files name it.
struct StoredTensor {
  // What a weight reads it as, once the format's own name of the type is understood.
  enum class Values : uint8_t { kOther, kF32, kF16, kBF16, kSignedCodes, kUnsignedCodes };

  std::string name;
  std::string type;            // as the file says it, for people: "U32", "UINT8", "i4"
  std::vector<int64_t> shape;  // slowest first
  uint64_t bytes;
  std::string file;  // which holds its values, relative to the folder
  uint64_t offset;   // in that file; all bytes lie in it
  Values values = Values::kOther;
};

// How weights are read back from an artifact whose files hold tensors and no whole model.
struct StoredWeights {
  // The tensors in those of `paths` that have some; they are relative to `folder`, and untrusted.
  // Those that a file keeps inside itself may be left out. Errors name the file.
  absl::StatusOr<std::vector<StoredTensor>> (*list)(FileSystem& files, const fs::path& folder,
                                                    const std::vector<std::string>& paths);
  // What the format calls the tensor that has this piece, fused or not; `expert` is -1 of what is
  // no expert's.
  std::string (*name_of)(const ModelDescription& model, Role role, int layer, int expert);
  // What belongs to a quantized weight is called by its name, less `cut`, with these behind it.
  // Codes may also have the weight's own name.
  std::string_view cut, codes, scales, zeros;
  GroupZero with_zeros;       // what `zeros` hold
  Dialect values;             // whose values the files hold: Hugging Face's lack what it leaves out
  bool unsigned_have_middle;  // unsigned codes may do without zeros: their zero is their middle
  bool point_stream = false;  // zero points are packed without regard to rows
};

struct TargetFormat {
  std::string_view name;                       // "gguf"
  std::vector<std::string_view> (*recipes)();  // in the order in which people see them listed
  bool group_options;  // int8 and int4 also with -g16, -g64, -g128, -g256, -asym and -pure
  bool graph_options;  // those also with -exact, -f16 and -web
  bool as_is = false;  // also the source itself, where that has the format
  // From a model and one of its recipes to the layout of the files. `calibration`: what
  // goes with the recipe; null: nothing. Errors name the tensor or setting that the format cannot
  // hold, and what to take instead.
  absl::StatusOr<TargetLayout> (*plan)(const ModelSource& source, const Recipe& recipe,
                                       const Calibration* calibration);
  // What to do about values of a piece that half precision cannot hold, as an error says it: "take
  // onnx:fp32".
  std::string (*wider_than_half)(const Recipe& recipe, const Piece& piece);
  // nullopt: an artifact's entry file is a whole model, which sources open.
  std::optional<StoredWeights> stored;
};

// For wider_than_half: a type for the tensors of that role.
inline std::string KeepIn(std::string_view type, const Piece& piece) {
  return fmt::format("keep it in {0} (--tensor-type role:{1}={0})", type, Name(piece.role));
}

}  // namespace quantfleet::pipeline
