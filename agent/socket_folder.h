// The folder for the sockets of runtimes, which are the agent's alone.
#pragma once

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::agent {

class SocketFolder {
 public:
  // STATE/run; where that takes nothing, a folder of its own among the system's temporary files,
  // which goes with this.
  static absl::StatusOr<SocketFolder> Make(FileSystem& files, const fs::path& state);
  SocketFolder(SocketFolder&& other) noexcept;
  SocketFolder& operator=(SocketFolder&&) = delete;
  ~SocketFolder();

  const fs::path& path() const { return path_; }

 private:
  SocketFolder(fs::path path, bool temporary) : path_(std::move(path)), temporary_(temporary) {}

  fs::path path_;
  bool temporary_;
};

}  // namespace quantfleet::agent
