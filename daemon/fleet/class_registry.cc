#include "daemon/fleet/class_registry.h"

#include <set>

#include "common/base/fail_point.h"
#include "pipeline/stage/plan.h"

namespace quantfleet::daemon {
namespace {

v1::DeviceClass ToProto(const DeviceClassSpec& spec, std::string_view toml, bool shipped) {
  v1::DeviceClass out;
  out.set_name(spec.name);
  out.set_description(spec.description);
  out.set_format(spec.format);
  out.set_recipe(spec.recipe);
  out.set_toml(std::string(toml));
  out.set_shipped(shipped);
  out.set_artifact_max_bytes(spec.artifact_max_bytes);
  return out;
}

}  // namespace

absl::Status ClassRegistry::SeedShipped() {
  const absl::Status seeded = store_.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::vector<v1::DeviceClass> stored, tx.classes().List());
    std::set<std::string, std::less<>> of_operators, of_this_binary;
    for (const v1::DeviceClass& c : stored)
      if (!c.shipped()) of_operators.insert(c.name());
    for (const ShippedClass& shipped : ShippedClasses()) {
      of_this_binary.emplace(shipped.name);
      if (of_operators.contains(shipped.name)) continue;
      QF_ASSIGN_OR_RETURN(const DeviceClassSpec spec, ParseDeviceClass(shipped.toml));
      QF_RETURN_IF_ERROR(tx.classes().Put(ToProto(spec, shipped.toml, true)));
    }
    for (const v1::DeviceClass& c : stored)
      if (c.shipped() && !of_this_binary.contains(c.name()))
        QF_RETURN_IF_ERROR(tx.classes().Delete(c.name()));
    return absl::OkStatus();
  });
  std::lock_guard lock(mutex_);
  specs_ = nullptr;
  ++generation_;
  return seeded;
}

absl::StatusOr<v1::DeviceClass> ClassRegistry::Apply(std::string_view toml) {
  QF_ASSIGN_OR_RETURN(const DeviceClassSpec spec, ParseDeviceClass(toml));
  // Here and not in ParseDeviceClass: a stored class is still read when its recipe no longer
  // exists.
  const auto target = pipeline::ParseTargetSpec(spec.format + ":" + spec.recipe);
  if (!target.ok()) return Annotate(target.status(), fmt::format("device class {}", spec.name));
  if (const auto recipe = pipeline::FindRecipe(spec.recipe);
      recipe.ok() && recipe->activation_bits != 0)
    return InvalidArgument(
        "device class {}: jobs do not measure the ranges of activations that {}:{} needs: make it "
        "with `quantfleet quantize --calibration` of `quantfleet calibrate --ranges`",
        spec.name, spec.format, spec.recipe);
  if (texts_ != nullptr && !spec.calibration.empty())
    QF_RETURN_IF_ERROR(
        Annotate(texts_->Check(spec.calibration), fmt::format("device class {}", spec.name)));
  const v1::DeviceClass out = ToProto(spec, toml, false);
  FailPoint("class-before-put");
  QF_RETURN_IF_ERROR(store_.Write([&](Transaction& tx) { return tx.classes().Put(out); }));
  FailPoint("class-after-put");
  std::lock_guard lock(mutex_);
  specs_ = nullptr;
  ++generation_;
  return out;
}

absl::StatusOr<std::shared_ptr<const std::vector<DeviceClassSpec>>> ClassRegistry::Specs(
    const Transaction& tx) {
  uint64_t generation;
  {
    std::lock_guard lock(mutex_);
    if (specs_) return specs_;
    generation = generation_;
  }
  QF_ASSIGN_OR_RETURN(const std::vector<v1::DeviceClass> stored, tx.classes().List());
  auto specs = std::make_shared<std::vector<DeviceClassSpec>>();
  for (const v1::DeviceClass& c : stored) {
    auto spec = ParseDeviceClass(c.toml());
    if (!spec.ok()) return Annotate(spec.status(), fmt::format("class {} as stored", c.name()));
    specs->push_back(*std::move(spec));
  }
  std::lock_guard lock(mutex_);
  if (generation == generation_)
    specs_ = specs;  // else a class was applied meanwhile: the next call reads again
  return specs;
}

}  // namespace quantfleet::daemon
