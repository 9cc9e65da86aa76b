// Errors of sampled rows as a file, row_errors.json in a calibration's folder, beside the
// sensitivities: what was measured once is there for a run that resumes, for other budgets, and for
// formats that have types in common.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

inline constexpr std::string_view kRowErrorsFile = "row_errors.json";

// What they hang on.
struct RowErrorOrigin {
  Digest source;         // of the model, as manifests have it
  Digest statistics;     // that rounding went by
  std::string rounding;  // "feedback"
  int64_t rows = 0;      // of a piece, at most

  Digest digest() const;
};

// By piece (ModelDescription::pieces), and of it by type: as pipeline/stage/mix_table.h measures.
using RowErrors = std::vector<std::map<pipeline::DType, double>>;

// Of so many pieces. None where there is no such
// file, where it is damaged, or of another origin: they are then measured again.
absl::StatusOr<RowErrors> ReadRowErrors(FileSystem& files, const fs::path& path,
                                        const RowErrorOrigin& origin, size_t pieces);
absl::Status WriteRowErrors(FileSystem& files, const fs::path& path, const RowErrorOrigin& origin,
                            const RowErrors& errors);

}  // namespace quantfleet::engine
