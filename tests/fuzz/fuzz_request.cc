// What devices and operators send, from the bytes on: refused with a reason, or within the bounds
// that the store counts on.
#include <cstdlib>
#include <vector>

#include "common/base/utf8.h"
#include "common/message/clean.h"
#include "daemon/fleet/fleet.h"
#include "daemon/jobs/names.h"
#include "daemon/rollout/plan.h"
#include "quantfleet/v1/device.pb.h"
#include "quantfleet/v1/operator.pb.h"

namespace {

using namespace quantfleet;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckIn(std::string_view bytes) {
  const auto request = ParseClean<v1::CheckInRequest>(bytes);
  if (!request.ok()) return;
  for (const v1::ModelStatus& status : request->models()) Require(IsUtf8(status.detail()));
  const std::vector<v1::ModelStatus> models(request->models().begin(), request->models().end());
  size_t size = 0;
  for (const v1::ModelStatus& status : models) size += status.ByteSizeLong();
  if (daemon::CheckStatuses(models).ok()) Require(size <= 1 << 20);
  if (daemon::CheckFacts(request->facts()).ok())
    Require(request->facts().ByteSizeLong() <= 1 << 16);
}

void Push(std::string_view message) {
  const auto request = ParseClean<v1::BeginPushRequest>(message);
  if (!request.ok()) return;
  std::vector<daemon::PushedFile> files;
  for (const v1::PushFile& file : request->files())
    files.push_back({file.path(), file.size(), HashText(file.path())});
  uint64_t bytes = 0;
  if (!daemon::CheckPushedFiles(files, 16, 1 << 20).ok()) return;
  for (const daemon::PushedFile& file : files) bytes += file.size;
  Require(files.size() <= 16 && bytes <= 1 << 20);
}

void Rollout(std::string_view bytes) {
  const auto request = ParseClean<v1::CreateRolloutRequest>(bytes);
  if (!request.ok()) return;
  daemon::CheckPlan(request->plan()).IgnoreError();
  daemon::ParsePlan(request->plan_toml()).IgnoreError();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckIn(bytes);
  Push(bytes);
  Rollout(bytes);
  ParseClean<v1::EnrollRequest>(bytes).status().IgnoreError();
  return 0;
}
