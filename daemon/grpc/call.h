// How a call is answered: who calls, may they, do the work on a worker thread, finish with its
// status. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "common/base/status.h"
#include "daemon/fleet/fleet.h"
#include "daemon/grpc/certificate_cache.h"
#include "daemon/grpc/worker_pool.h"

namespace grpc {
class CallbackServerContext;
class ServerContextBase;
class ServerUnaryReactor;
}  // namespace grpc

namespace quantfleet::daemon {

enum class Access { kAnyone, kViewer, kPublisher, kAdmin, kDevice };

struct Caller {
  v1::Device device;  // of kDevice calls
  std::string operator_name;
};

class Dispatcher {
 public:
  using Work = std::function<absl::Status(const Caller&)>;

  explicit Dispatcher(Fleet& fleet) : fleet_(fleet) {}

  // `work` fills in the answer. Slow: it may take more than a blink (reads or hashes files).
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, Access access, Work work);
  grpc::ServerUnaryReactor* RunSlow(grpc::CallbackServerContext* context, Access access, Work work);

  // May the holder of this certificate (PEM; empty: none) make a call that needs `access`?
  // UNAUTHENTICATED or PERMISSION_DENIED, naming the role that is missing.
  absl::StatusOr<Caller> Identify(const std::string& certificate_pem, Access access);
  absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context, Access access);
  WorkerPool& quick() { return quick_; }
  WorkerPool& slow() { return slow_; }
  void Stop();

 private:
  grpc::ServerUnaryReactor* RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                  Access access, Work work);

  Fleet& fleet_;
  CertificateCache certificates_;
  // As many as can run: most of the work is behind the store's one lock, and more threads only
  // change places there.
  WorkerPool quick_{static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u)),
                    4096};
  WorkerPool slow_{4, 256};
};

absl::Status Overloaded();

// How many entries a page has when so many are asked for; 0: as many as may be.
inline constexpr uint32_t kMaxPerPage = 1000;
inline size_t PageSize(uint32_t asked) {
  return asked == 0 ? kMaxPerPage : std::min(asked, kMaxPerPage);
}

// The body of most calls: the value, or why there is none.
template <typename T>
absl::Status Fill(T* answer, absl::StatusOr<T> value) {
  if (!value.ok()) return value.status();
  *answer = *std::move(value);
  return absl::OkStatus();
}

template <typename List, typename T>
absl::Status FillList(List* answer, absl::StatusOr<std::vector<T>> values) {
  if (!values.ok()) return values.status();
  for (T& value : *values) *answer->Add() = std::move(value);
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
