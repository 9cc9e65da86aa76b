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
  fs::path folder = {};           // where it runs; empty: where this process does
};

class ChildProcess {
 public:
  // Lines of stdout and stderr together, in printable ASCII, cut after kMaxLine bytes.
  using OnLine = std::function<void(std::string_view line)>;
  static constexpr size_t kMaxLine = 512;

  // NOT_FOUND, PERMISSION_DENIED and the like when the program cannot be executed.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildSpec& spec, OnLine on_line);
  ~ChildProcess();  // kills the whole group
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  enum class Event { kEnded, kTimePassed, kStopped };
  // Waits for whatever comes first; nullopt time: no limit. Output is read only while this runs.
  Event Wait(std::optional<Duration> time, std::stop_token stop);
  // Sends SIGTERM to the group, and SIGKILL if it has not ended within `grace`.
  void Terminate(Duration grace);

  pid_t pid() const { return pid_; }
  // Its own memory in RAM: mapped files and its children do not count. 0: unknown.
  uint64_t memory_bytes() const;
  // How it ended: "exit status 3", "signal 9 (Killed)".
  const std::string& ending() const { return ending_; }
  // Nullopt: it runs, or a signal ended it.
  std::optional<int> exit_status() const { return exit_status_; }

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
  std::optional<int> exit_status_;
  bool reaped_ = false;
};

}  // namespace quantfleet::agent
