#include "agent/external/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

namespace quantfleet::agent {
namespace {

// Everything that the child needs, made before fork: between fork and exec only what is
// async-signal-safe may be called.
struct Prepared {
  explicit Prepared(const ChildSpec& spec)
      : program(spec.program.string()), folder(spec.folder.empty() ? "." : spec.folder.string()) {
    argv.push_back(const_cast<char*>(program.c_str()));
    for (const std::string& arg : spec.args) argv.push_back(const_cast<char*>(arg.c_str()));
    for (const std::string& variable : spec.env)
      envp.push_back(const_cast<char*>(variable.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
  }
  std::string program, folder;
  std::vector<char*> argv, envp;
};

[[noreturn]] void Become(const Prepared& prepared, pid_t parent, int output, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before this call
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int ignored : {SIGPIPE, SIGXFSZ}) ::signal(ignored, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0 && ::dup2(null, 0) == 0 && ::dup2(output, 1) == 1 && ::dup2(output, 2) == 2 &&
      ::chdir(prepared.folder.c_str()) == 0) {
    // Even what a library of ours opened without close-on-exec: the child gets three descriptors,
    // and the failure pipe until exec.
    ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    ::execve(prepared.program.c_str(), prepared.argv.data(), prepared.envp.data());
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(failure, &error, sizeof error);
  ::_exit(127);
}

int Milliseconds(std::optional<std::chrono::steady_clock::time_point> end) {
  if (!end) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*end - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildSpec& spec,
                                                                  OnLine on_line) {
  const Prepared prepared(spec);
  int output[2], failure[2];
  if (::pipe2(output, O_CLOEXEC) != 0)
    return ErrnoStatus(errno, "creating a pipe for " + prepared.program);
  if (::pipe2(failure, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(output[0]);
    ::close(output[1]);
    return ErrnoStatus(error, "creating a pipe for " + prepared.program);
  }
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid == 0) Become(prepared, parent, output[1], failure[1]);
  const int fork_error = errno;
  ::close(output[1]);
  ::close(failure[1]);
  int error = fork_error;
  ssize_t told = sizeof error;
  if (pid > 0) {
    ::setpgid(pid, pid);  // whoever is first
    do told = ::read(failure[0], &error, sizeof error);
    while (told < 0 && errno == EINTR);
  }
  ::close(failure[0]);
  if (told == sizeof error) {
    ::close(output[0]);
    if (pid > 0) ::waitpid(pid, nullptr, 0);
    return ErrnoStatus(error, "starting " + prepared.program);
  }
  ::fcntl(output[0], F_SETFL, O_NONBLOCK);
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  const int pid_error = errno;
  std::unique_ptr<ChildProcess> child(new ChildProcess(pid, pid_fd, output[0], std::move(on_line)));
  if (pid_fd < 0)
    return ErrnoStatus(pid_error,
                       "watching " + prepared.program + " (requires Linux 5.3 or newer)");
  return child;
}

ChildProcess::~ChildProcess() {
  if (!reaped_) {
    Kill(SIGKILL);
    Reap();
  }
  ::close(output_);
  if (pid_fd_ >= 0) ::close(pid_fd_);
}

void ChildProcess::Kill(int signal) { ::kill(-pid_, signal); }

void ChildProcess::Reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    ending_ = fmt::format("signal {} ({})", number, ::strsignal(number));
  } else {
    exit_status_ = WEXITSTATUS(status);
    ending_ = fmt::format("exit status {}", *exit_status_);
  }
}

uint64_t ChildProcess::memory_bytes() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  uint64_t kib = 0;
  for (std::string line; std::getline(status, line);)
    if (std::sscanf(line.c_str(), "RssAnon: %lu kB", &kib) == 1) return kib << 10;
  return 0;
}

bool ChildProcess::ReadOutput() {
  char piece[4096];
  const ssize_t size = ::read(output_, piece, sizeof piece);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  for (const char c : std::string_view(piece, static_cast<size_t>(size))) {
    if (c == '\n') {
      if (!line_.empty()) on_line_(line_);
      line_.clear();
    } else if (line_.size() < kMaxLine) {
      line_ += c >= ' ' && c < 0x7f ? c : '?';
    }
  }
  if (size == 0 && !line_.empty()) on_line_(std::exchange(line_, {}));
  return size > 0;
}

ChildProcess::Event ChildProcess::Wait(std::optional<Duration> time, std::stop_token stop) {
  if (reaped_) return Event::kEnded;
  std::optional<std::chrono::steady_clock::time_point> end;
  if (time) end = std::chrono::steady_clock::now() + *time;
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  Event event = Event::kTimePassed;
  {
    const std::stop_callback on_stop(stop, [wake] { ::eventfd_write(wake, 1); });
    bool reads = true;
    while (true) {
      pollfd fds[] = {{pid_fd_, POLLIN, 0}, {wake, POLLIN, 0}, {reads ? output_ : -1, POLLIN, 0}};
      const int ready = ::poll(fds, 3, Milliseconds(end));
      if (ready < 0 && errno == EINTR) continue;
      if (fds[2].revents != 0) reads = ReadOutput();
      if (fds[0].revents != 0) {
        event = Event::kEnded;
        break;
      }
      if (fds[1].revents != 0) {
        event = Event::kStopped;
        break;
      }
      // One that never stops talking is looked at in time, too.
      if (ready <= 0 || Milliseconds(end) == 0) break;
    }
  }
  ::close(wake);
  if (event != Event::kEnded) return event;
  Kill(SIGKILL);  // what it left behind in its group, whose number is its own until it is reaped
  Reap();
  // Its last words; a descendant that left the group may hold the pipe open, so never until the end
  // of that.
  for (pollfd left{output_, POLLIN, 0}; ::poll(&left, 1, 0) > 0 && ReadOutput();) {
  }
  return event;
}

void ChildProcess::Terminate(Duration grace) {
  if (reaped_) return;
  Kill(SIGTERM);
  if (Wait(grace, {}) == Event::kEnded) return;
  Kill(SIGKILL);
  Wait(std::nullopt, {});
}

}  // namespace quantfleet::agent
