#include "pipeline/stage/mix_table.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>

#include "pipeline/stage/plan_text.h"
#include "pipeline/stage/workers.h"

namespace quantfleet::pipeline {
namespace {

Recipe AllOf(DType type) {
  Recipe recipe{.name = "all", .body = type, .head = type};
  recipe.changes.pure = true;
  return recipe;
}

// F32 holds nothing that F16 lacks at a price, and BF16 less than F16. Rows of one scale stand with
// none but their like in a folder.
bool MayBeChosen(const DTypeInfo& info) {
  return info.made && info.type != DType::kF32 && info.type != DType::kBF16 &&
         info.family != SchemeFamily::kRow;
}

}  // namespace

absl::StatusOr<Plan> PlanSizes(const ModelSource& source, TargetSpec spec, bool calibrated) {
  spec.calibrated = calibrated;
  return MakePlan(source, {spec},
                  {.importance = calibrated ? std::make_shared<const Importance>() : nullptr});
}

TensorTypes MixTable::TypesOf(const TypeMix& mix) const {
  TensorTypes types;
  for (size_t t = 0; t < tensors.size(); ++t)
    types.emplace_back(tensors[t].name, tensors[t].choices[mix.chosen[t]].type);
  return types;
}

absl::StatusOr<MixTable> MakeMixTable(const ModelSource& source, std::string_view format,
                                      bool calibrated) {
  const ModelDescription& model = source.description();
  MixTable table;
  table.format = format;
  std::map<std::string, size_t, std::less<>> places;
  absl::Status why = absl::OkStatus();
  for (const DTypeInfo& info : kDTypes) {
    if (!MayBeChosen(info)) continue;
    const Recipe recipe = AllOf(info.type);
    const auto plan = PlanSizes(
        source, {.format = std::string(format), .recipe = recipe.name, .own = recipe}, calibrated);
    // A type that the format does not hold; what it says of the first is why there is none.
    if (!plan.ok()) {
      if (why.ok()) why = plan.status();
      continue;
    }
    uint64_t bytes = 0;
    for (const PlannedTensor& tensor : TensorsOf(model, *plan, plan->targets[0])) {
      if (tensor.dims < 2) continue;
      bytes += tensor.bytes;
      const auto [it, is_new] = places.emplace(tensor.name, table.tensors.size());
      if (is_new) table.tensors.push_back({tensor.name, {}});
      std::vector<MixChoice>& choices = table.tensors[it->second].choices;
      if (std::ranges::find(choices, tensor.dtype, &MixChoice::type) == choices.end())
        choices.push_back({tensor.dtype, tensor.bytes});
    }
    if (table.pieces.empty()) {
      table.pieces.resize(table.tensors.size());
      for (const PlacedPiece& placed : plan->targets[0].layout.pieces)
        if (const auto it = places.find(placed.tensor);
            it != places.end() && HoldsCodes(placed.part))
          table.pieces[it->second].push_back(placed.piece);
    }
    // Files whose weights are floats may have other headers, and other floats beside them.
    if (table.some.name.empty() || (IsFloat(table.some.body) && !IsFloat(info.type))) {
      table.some = recipe;
      table.some_bytes = bytes;
    }
  }
  if (table.tensors.empty() && !why.ok()) return why;
  // A tensor of one type is chosen by nobody: it belongs to what the files take anyway.
  for (size_t t = table.tensors.size(); t-- > 0;) {
    if (table.tensors[t].choices.size() > 1) continue;
    table.some_bytes -= table.tensors[t].choices.front().bytes;
    table.tensors.erase(table.tensors.begin() + static_cast<ptrdiff_t>(t));
    table.pieces.erase(table.pieces.begin() + static_cast<ptrdiff_t>(t));
  }
  if (table.tensors.empty())
    return FailedPrecondition("no tensor of this model can have more than one type in {}", format);
  return table;
}

absl::StatusOr<PieceErrors> MeasureErrors(const ModelSource& source, const MixTable& table,
                                          DType also, RowRounding& rounding,
                                          const MixErrorOptions& options, PieceErrors known) {
  const ModelDescription& model = source.description();
  std::map<uint32_t, std::set<DType>> wanted;
  for (size_t t = 0; t < table.tensors.size(); ++t)
    for (const uint32_t piece : table.pieces[t]) {
      for (const MixChoice& choice : table.tensors[t].choices) wanted[piece].insert(choice.type);
      if (Divides(also, model.pieces[piece].cols)) wanted[piece].insert(also);
    }
  PieceErrors errors = std::move(known);
  errors.resize(model.pieces.size());
  std::vector<std::pair<uint32_t, std::vector<DType>>> work;
  for (auto& [piece, types] : wanted) {
    for (const auto& [type, error] : errors[piece]) types.erase(type);
    if (!types.empty()) work.emplace_back(piece, std::vector<DType>(types.begin(), types.end()));
  }
  std::atomic<size_t> next{0};
  std::mutex mutex;
  absl::Status failed = absl::OkStatus();
  size_t done = 0;
  const auto measure = [&](uint32_t piece,
                           const std::vector<DType>& types) -> absl::StatusOr<std::vector<double>> {
    if (options.stop.stop_requested()) return Cancelled("stopped while measuring errors");
    // Experts share what a layer's other weights have alone.
    const int64_t experts = model.pieces[piece].expert < 0 ? 1 : model.hyper.experts;
    QF_ASSIGN_OR_RETURN(
        const RowSample sample,
        SampleRows(source, piece,
                   std::max<int64_t>(16, options.rows / std::max<int64_t>(experts, 1))));
    return rounding.ErrorsOf(piece, sample, types);
  };
  const auto keep = [&](uint32_t piece, const std::vector<DType>& types,
                        const absl::StatusOr<std::vector<double>>& found) -> absl::Status {
    QF_RETURN_IF_ERROR(found.status());
    for (size_t i = 0; i < types.size(); ++i) errors[piece][types[i]] = (*found)[i];
    ++done;
    return options.on_progress ? options.on_progress(errors, done, work.size()) : absl::OkStatus();
  };
  const auto run = [&] {
    for (size_t i = next++; i < work.size(); i = next++) {
      const auto& [piece, types] = work[i];
      const auto found = measure(piece, types);
      const std::lock_guard lock(mutex);
      if (const absl::Status status = keep(piece, types, found); !status.ok()) {
        if (failed.ok()) failed = status;
        next = work.size();
        return;
      }
    }
  };
  RunWorkers(ThreadsWanted(options.threads), run);
  QF_RETURN_IF_ERROR(failed);
  return errors;
}

}  // namespace quantfleet::pipeline
