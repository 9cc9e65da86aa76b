// A program as a child of the agent: a process group of its own, killed when the agent dies, its
// output taken line by line. Linux. Not thread-safe: it belongs to the thread that started it, and
// is killed when that thread ends.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"

namespace quantfleet::agent {

struct ChildSpec {
  fs::path program;               // absolute
  std::vector<std::string> args;  // without the program's own name
  std::vector<std::string> env;   // "NAME=value", all of it: nothing is inherited
};

class ChildProcess {
 public:
  // Of stdout and stderr together, in printable ASCII, cut after kMaxLine bytes.
  using OnLine = std::function<void(std::string_view line)>;
  static constexpr size_t kMaxLine = 512;

  // NOT_FOUND, PERMISSION_DENIED and their like where the program cannot be executed.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildSpec& spec, OnLine on_line);
  ~ChildProcess();  // kills the whole group
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  enum class Event { kEnded, kTimePassed, kStopped };
  // What comes first; nullopt time: no limit. Output is taken meanwhile, and only then.
  Event Wait(std::optional<Duration> time, std::stop_token stop);
  // SIGTERM to the group, and SIGKILL when it has not ended within `grace`.
  void Terminate(Duration grace);

  pid_t pid() const { return pid_; }
  // What it has in RAM of its own: files that it maps, and its own children, do not count. 0: not
  // known.
  uint64_t memory_bytes() const;
  // Of one that ended: "exit status 3", "signal 9 (Killed)".
  const std::string& ending() const { return ending_; }

 private:
  ChildProcess(pid_t pid, int pid_fd, int output, OnLine on_line)
      : pid_(pid), pid_fd_(pid_fd), output_(output), on_line_(std::move(on_line)) {}
  void Reap();
  bool ReadOutput();  // false: it ended
  void Kill(int signal);

  const pid_t pid_;
  int pid_fd_, output_;
  const OnLine on_line_;
  std::string line_, ending_;
  bool reaped_ = false;
};

}  // namespace quantfleet::agent
