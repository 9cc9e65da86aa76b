// What a device is told of an error. Whatever went wrong inside the daemon is nothing that a device
// could mend, and its details (folders, queries, keys' files) are none of its business: it gets the
// code, a plain sentence and a reference, under which the log has the whole. What it can act on it
// gets as it is. Every status that leaves for a device passes here once. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace quantfleet::daemon::app {

class DeviceErrors {
 public:
  // `data`: the daemon's folder; a message that names it is hidden whatever its code is. `log` gets
  // one line. `random` and `clock` must outlive this.
  DeviceErrors(const fs::path& data, Random& random, const Clock& clock,
               std::function<void(std::string_view)> log);

  // The same code, the same payloads. The same error has the same reference for a minute and is
  // logged once: a whole fleet may run into it.
  absl::Status ForDevice(const absl::Status& status);

 private:
  struct Logged {
    std::string reference;
    Duration at;
  };
  bool IsInternal(const absl::Status& status) const;
  std::string Reference(const std::string& error);

  const std::string data_;
  Random& random_;
  const Clock& clock_;
  const std::function<void(std::string_view)> log_;
  std::mutex mutex_;
  std::map<std::string, Logged> logged_;  // by the error; guarded by mutex_
};

}  // namespace quantfleet::daemon::app
