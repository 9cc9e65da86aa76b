#include "tests/bench/loadgen/target.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <sstream>

#include "common/base/clock.h"

namespace quantfleet::loadgen {
namespace {

constexpr double kMiB = 1 << 20;

double MonotonicSeconds() { return static_cast<double>(RealClock().Monotonic().count()) / 1000; }

double Rounded(double value) { return std::round(value * 100) / 100; }

// Files of /proc say size 0: they are read to their end, not to their size.
std::string ReadProc(pid_t pid, std::string_view name) {
  std::ifstream in(fmt::format("/proc/{}/{}", pid, name));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

boost::json::object Spent(const Usage& before, const Usage& now, double seconds) {
  const double cpu = now.cpu_seconds - before.cpu_seconds;
  return {{"cpu_seconds", Rounded(cpu)},
          {"cores", Rounded(seconds > 0 ? cpu / seconds : 0)},
          {"resident_mib", Rounded(static_cast<double>(now.resident_bytes) / kMiB)},
          {"resident_mib_before", Rounded(static_cast<double>(before.resident_bytes) / kMiB)}};
}

// The database with what SQLite has not yet written back into it.
double DatabaseMiB(const fs::path& data) {
  uintmax_t bytes = 0;
  for (const char* name : {"state.db", "state.db-wal"}) {
    std::error_code absent;
    if (const uintmax_t size = fs::file_size(data / name, absent); !absent) bytes += size;
  }
  return Rounded(static_cast<double>(bytes) / kMiB);
}

}  // namespace

absl::StatusOr<Target> ReadTarget(const fs::path& data) {
  FileSystem& files = RealFileSystem();
  const fs::path ends = data / "endpoints.json";
  if (!files.Exists(ends))
    return FailedPrecondition("{}: no daemon runs on this folder: start quantfleetd with --data {}",
                              ends.string(), data.string());
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(ends));
  Target target;
  target.data = data;
  try {
    const boost::json::object object = boost::json::parse(text).as_object();
    target.grpc = object.at("grpc").as_string().c_str();
    target.http = object.at("http").as_string().c_str();
    target.pid = object.at("pid").to_number<pid_t>();
  } catch (const std::exception& e) {
    return DataLoss("{}: {}: restart the daemon, which writes it anew", ends.string(), e.what());
  }
  QF_ASSIGN_OR_RETURN(target.admin,
                      cli::LoadCredential(files, RealClock(), data / "admin.json", ""));
  return target;
}

absl::StatusOr<Usage> UsageOf(pid_t pid) {
  // proc(5): the second field, the program's name in parentheses, may hold anything; utime and
  // stime are fields 14 and 15.
  const std::string stat = ReadProc(pid, "stat"), memory = ReadProc(pid, "statm");
  std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
  std::istringstream pages(memory);
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  uint64_t user = 0, system = 0, total = 0, resident = 0;
  fields >> user >> system;
  pages >> total >> resident;
  if (!fields || !pages)
    return Unavailable("process {} is gone: did the daemon end? Its log says why", pid);
  return Usage{static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)),
               resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))};
}

absl::StatusOr<Meter> Meter::Begin(const Target& target) {
  Meter meter;
  meter.target_ = target;
  QF_ASSIGN_OR_RETURN(meter.daemon_, UsageOf(target.pid));
  QF_ASSIGN_OR_RETURN(meter.generator_, UsageOf(getpid()));
  meter.began_ = MonotonicSeconds();
  return meter;
}

absl::StatusOr<boost::json::object> Meter::Read() const {
  const double seconds = MonotonicSeconds() - began_;
  QF_ASSIGN_OR_RETURN(const Usage daemon, UsageOf(target_.pid));
  QF_ASSIGN_OR_RETURN(const Usage generator, UsageOf(getpid()));
  return boost::json::object{{"seconds", Rounded(seconds)},
                             {"daemon", Spent(daemon_, daemon, seconds)},
                             {"generator", Spent(generator_, generator, seconds)},
                             {"database_mib", DatabaseMiB(target_.data)}};
}

}  // namespace quantfleet::loadgen
