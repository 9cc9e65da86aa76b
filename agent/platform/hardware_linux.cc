// Linux: /proc, /sys and /dev, uname and statvfs.

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "agent/platform/hardware.h"
#include "common/base/digest.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::agent {
namespace {

// The kernel's word for an instruction set, and the one that device classes use.
struct IsaName {
  std::string_view kernel, ours;
};
constexpr std::array kIsaNames = std::to_array<IsaName>({
    {"sse4_2", "sse4.2"},
    {"avx", "avx"},
    {"avx2", "avx2"},
    {"fma", "fma"},
    {"f16c", "f16c"},
    {"avx512f", "avx512f"},
    {"avx512bw", "avx512bw"},
    {"avx512vl", "avx512vl"},
    {"avx512_vnni", "avx512vnni"},
    {"avx512_bf16", "avx512bf16"},
    {"avx_vnni", "avxvnni"},
    {"amx_int8", "amx-int8"},
    {"amx_bf16", "amx-bf16"},
    {"asimd", "neon"},
    {"neon", "neon"},
    {"asimdhp", "fp16"},
    {"asimddp", "dotprod"},
    {"i8mm", "i8mm"},
    {"bf16", "bf16"},
    {"sve", "sve"},
});

// DMI chassis types (SMBIOS 3.6, 7.4.1) as the forms that device classes know.
constexpr std::array kPcChassis = {3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 24, 31, 32, 35, 36};
constexpr std::array kMobileChassis = {11, 30};
constexpr std::array kEdgeChassis = {17, 23, 25, 28, 29};
constexpr std::array kIotChassis = {33, 34};

std::string_view FormOfChassis(int type) {
  const auto in = [type](const auto& list) { return std::ranges::find(list, type) != list.end(); };
  if (in(kPcChassis)) return "pc";
  if (in(kMobileChassis)) return "mobile";
  if (in(kEdgeChassis)) return "edge";
  return in(kIotChassis) ? "iot" : "";
}

std::string_view VendorOfPci(std::string_view id) {
  if (id == "0x8086") return "intel";
  if (id == "0x10de") return "nvidia";
  if (id == "0x1002" || id == "0x1022") return "amd";
  if (id == "0x17cb") return "qualcomm";
  return "";
}

std::string Trimmed(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\0'; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::ranges::find_if_not(text, blank));
  return text;
}

// The serial number in one spelling; empty when it is not a real one: boards that were never given
// one share a placeholder.
std::string SerialOf(std::string_view text) {
  constexpr size_t kLeast = 8;
  constexpr std::string_view kUnset =
      "03000200040005000006000700080009";  // a BIOS vendor's example
  std::string serial;
  for (const char c : text)
    if (const auto letter = static_cast<unsigned char>(c); std::isalnum(letter))
      serial += static_cast<char>(std::tolower(letter));
  if (serial.size() < kLeast || serial == kUnset) return "";
  return serial.find_first_not_of(serial[0]) == std::string::npos ? "" : serial;
}

class LinuxHardware final : public Hardware {
 public:
  LinuxHardware(FileSystem& files, fs::path root) : files_(files), root_(std::move(root)) {}

  v1::HardwareFacts Find(const fs::path& state) const override {
    v1::HardwareFacts facts;
    utsname name{};
    if (::uname(&name) == 0) facts.set_arch(name.machine);
    facts.set_os("linux");
    FindCpu(&facts);
    FindMemory(&facts);
    if (auto free = files_.FreeSpace(state); free.ok()) facts.set_disk_free_bytes(*free);
    facts.set_form(std::string(FindForm()));
    FindAccelerators(&facts);
    facts.set_hardware_id(FindHardwareId());
    facts.add_runtimes("embedded");
    for (const pipeline::DType type : pipeline::kCacheTypes)
      facts.add_kv_types(std::string(pipeline::Info(type).name));
    facts.add_model_kinds(std::string(pipeline::kEmbeddingKind));
    FindPower(&facts);
    FindLink(&facts);
    FindRuntimes(&facts);
    return facts;
  }

  uint64_t MemoryAvailable() const override {
    v1::HardwareFacts facts;
    FindMemory(&facts);
    return facts.memory_available_bytes();
  }

  double MeasureBandwidth() const override;

 private:
  // Files of /proc and /sys have no size: read until they end.
  std::string ReadText(const std::string& path) const {
    std::ifstream in(root_ / path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  void FindCpu(v1::HardwareFacts* facts) const {
    std::istringstream lines(ReadText("proc/cpuinfo"));
    uint32_t cores = 0;
    std::set<std::string, std::less<>> flags;
    std::string implementer, part;
    for (std::string line; std::getline(lines, line);) {
      const size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      const std::string key = Trimmed(line.substr(0, colon)),
                        value = Trimmed(line.substr(colon + 1));
      if (key == "processor") ++cores;
      if (key == "model name" && facts->cpu_model().empty()) facts->set_cpu_model(value);
      if (key == "CPU implementer" && implementer.empty()) implementer = value;
      if (key == "CPU part" && part.empty()) part = value;
      if ((key == "flags" || key == "Features") && flags.empty()) {
        std::istringstream words(value);
        for (std::string word; words >> word;) flags.insert(word);
      }
    }
    facts->set_cores(cores ? cores : std::thread::hardware_concurrency());
    for (const IsaName& isa : kIsaNames)
      if (flags.contains(isa.kernel) &&
          std::ranges::find(facts->instruction_sets(), isa.ours) == facts->instruction_sets().end())
        facts->add_instruction_sets(std::string(isa.ours));
    if (facts->cpu_model().empty())
      facts->set_cpu_model(Trimmed(ReadText("proc/device-tree/model")));
    // An aarch64 server has neither name; its kernel shows the core's ID register.
    if (facts->cpu_model().empty() && !part.empty())
      facts->set_cpu_model(fmt::format("arm {}:{}", implementer, part));
  }

  void FindMemory(v1::HardwareFacts* facts) const {
    std::istringstream words(ReadText("proc/meminfo"));
    std::string key;
    uint64_t kib = 0;
    for (std::string rest; words >> key >> kib; std::getline(words, rest)) {
      if (key == "MemTotal:") facts->set_memory_total_bytes(kib << 10);
      if (key == "MemAvailable:") facts->set_memory_available_bytes(kib << 10);
    }
    // A container's limit counts, not the machine around it. "max" is not a number: nothing is read
    // then.
    uint64_t limit = 0;
    if (std::istringstream(ReadText("sys/fs/cgroup/memory.max")) >> limit && limit > 0) {
      facts->set_memory_total_bytes(std::min(facts->memory_total_bytes(), limit));
      facts->set_memory_available_bytes(std::min(facts->memory_available_bytes(), limit));
    }
  }

  std::string_view FindForm() const {
    int chassis = 0;
    if (std::istringstream(ReadText("sys/class/dmi/id/chassis_type")) >> chassis)
      return FormOfChassis(chassis);
    // Machines that are described by a device tree and carry no DMI are boards.
    return ReadText("proc/device-tree/model").empty() ? "" : "iot";
  }

  // A digest, so that the serial number itself stays here. PCs show it only to root.
  std::string FindHardwareId() const {
    for (const char* path : {"sys/class/dmi/id/product_uuid", "proc/device-tree/serial-number"})
      if (const std::string serial = SerialOf(ReadText(path)); !serial.empty())
        return HashText("quantfleet hardware " + serial).hex().substr(0, 32);
    return "";
  }

  void FindAccelerators(v1::HardwareFacts* facts) const {
    std::set<std::string> found;
    const auto look = [&](const char* folder, const char* prefix, std::string_view kind) {
      std::error_code error;
      for (auto it = fs::directory_iterator(root_ / folder, error);
           !error && it != fs::directory_iterator(); it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (!name.starts_with(prefix) || name.find('-') != std::string::npos) continue;
        const auto vendor =
            VendorOfPci(Trimmed(ReadText(fmt::format("{}/{}/device/vendor", folder, name))));
        if (!vendor.empty()) found.insert(fmt::format("{}:{}", kind, vendor));
      }
    };
    look("sys/class/drm", "card", "gpu");
    look("sys/class/accel", "accel", "npu");
    if (fs::exists(root_ / "dev/nvidia0")) found.insert("gpu:nvidia");
    for (const std::string& accelerator : found) facts->add_accelerators(accelerator);
  }

  // Names in a folder, sorted; none where there is no such folder.
  std::vector<std::string> NamesIn(const std::string& folder) const {
    std::vector<std::string> names;
    std::error_code error;
    for (auto it = fs::directory_iterator(root_ / folder, error);
         !error && it != fs::directory_iterator(); it.increment(error))
      names.push_back(it->path().filename().string());
    std::ranges::sort(names);
    return names;
  }

  void FindPower(v1::HardwareFacts* facts) const {
    const std::string folder = "sys/class/power_supply";
    for (const std::string& name : NamesIn(folder)) {
      const auto read = [&](const char* file) {
        return Trimmed(ReadText(fmt::format("{}/{}/{}", folder, name, file)));
      };
      // A mouse has a battery too.
      if (read("scope") == "Device") continue;
      const std::string type = read("type");
      if (type == "Battery") {
        uint32_t percent = 0;
        if (std::istringstream(read("capacity")) >> percent)
          facts->set_battery_percent(std::min(percent, 100u));
        if (facts->power().empty()) facts->set_power("battery");
      } else if ((type == "Mains" || type == "USB") && read("online") == "1") {
        facts->set_power("mains");
      }
    }
    // No battery: whatever feeds it does not run out.
    if (facts->power().empty() && facts->battery_percent() == 0) facts->set_power("mains");
  }

  // The interface of the default route with the smallest metric; /proc/net/route has addresses and
  // flags in hex.
  std::string DefaultInterface() const {
    std::istringstream lines(ReadText("proc/net/route"));
    std::string line, best;
    uint64_t least = UINT64_MAX;
    std::getline(lines, line);  // the heading
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      std::string interface, destination, gateway, flags;
      uint64_t references = 0, use = 0, metric = 0;
      if (!(words >> interface >> destination >> gateway >> flags >> references >> use >> metric))
        continue;
      if (destination == "00000000" && metric < least) best = interface, least = metric;
    }
    return best.find('/') == std::string::npos ? best : "";
  }

  void FindLink(v1::HardwareFacts* facts) const {
    const std::string interface = DefaultInterface();
    if (interface.empty()) return;
    const std::string folder = "sys/class/net/" + interface;
    if (fs::exists(root_ / folder / "wireless") || fs::exists(root_ / folder / "phy80211"))
      facts->set_link("wifi");
    else if (interface.starts_with("wwan") || interface.starts_with("ppp") ||
             interface.starts_with("rmnet"))
      facts->set_link("cellular");
    else if (Trimmed(ReadText(folder + "/type")) == "1")  // ARPHRD_ETHER
      facts->set_link("ethernet");
    int64_t mbps = 0;  // -1 where the driver does not know
    if (std::istringstream(ReadText(folder + "/speed")) >> mbps && mbps > 0 && mbps <= UINT32_MAX)
      facts->set_link_mbps(static_cast<uint32_t>(mbps));
  }

  // What is installed where distributions and vendors put it. Its owner decides whether it may be
  // used (--allow-runtime).
  void FindRuntimes(v1::HardwareFacts* facts) const {
    struct Trace {
      std::string_view runtime, prefix;  // of a file's name
    };
    static constexpr std::array kPrograms = std::to_array<Trace>(
        {{"llama-server", "llama-server"}, {"openvino", "ovms"}, {"mlx", "mlx_lm.server"}});
    static constexpr std::array kLibraries = std::to_array<Trace>(
        {{"onnxruntime", "libonnxruntime.so"}, {"openvino", "libopenvino.so"}, {"mlx", "libmlx."}});
    std::set<std::string> found;
    const auto look = [&](const std::string& folder, const auto& traces) {
      for (const std::string& name : NamesIn(folder))
        for (const Trace& trace : traces)
          if (name.starts_with(trace.prefix)) found.emplace(trace.runtime);
    };
    for (const char* folder : {"usr/local/bin", "usr/bin", "opt/homebrew/bin"})
      look(folder, kPrograms);
    for (const char* folder :
         {"usr/local/lib", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu",
          "opt/intel/openvino/runtime/lib/intel64", "opt/intel/openvino/runtime/lib/aarch64"})
      look(folder, kLibraries);
    for (const std::string& runtime : found) facts->add_runtimes_found(runtime);
  }

  FileSystem& files_;
  const fs::path root_;
};

double LinuxHardware::MeasureBandwidth() const {
  constexpr size_t kSliceWords = (256 << 10) / sizeof(uint64_t);
  using Clock = std::chrono::steady_clock;
  const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 8);
  // Larger than caches, small enough for a board: at most 1/16 of what is free, all threads
  // together.
  const uint64_t all = std::min<uint64_t>(64 << 20, MemoryAvailable() / 16);
  const size_t words = std::max<size_t>(all / threads, 1 << 20) / sizeof(uint64_t);
  std::vector<std::vector<uint64_t>> buffers(threads, std::vector<uint64_t>(words, 1));

  std::vector<uint64_t> bytes(threads, 0), sums(threads, 0);
  const auto began = Clock::now();
  const auto end = began + std::chrono::milliseconds(40);
  {
    std::vector<std::jthread> readers;
    for (size_t t = 0; t < threads; ++t)
      readers.emplace_back([&, t] {
        const std::vector<uint64_t>& buffer = buffers[t];
        uint64_t sum = 0;
        size_t at = 0;
        do {  // the clock is looked at between slices: a slow machine ends in time too
          const size_t slice = std::min(kSliceWords, words - at);
          for (size_t i = 0; i < slice; ++i) sum += buffer[at + i];
          bytes[t] += slice * sizeof(uint64_t);
          at = at + slice == words ? 0 : at + slice;
        } while (Clock::now() < end);
        sums[t] = sum;  // kept, so that the reading is not optimized away
      });
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  uint64_t total = 0, check = 0;
  for (size_t t = 0; t < threads; ++t) total += bytes[t], check += sums[t];
  return check == 0 ? 0 : static_cast<double>(total) / seconds / 1e9;
}

}  // namespace

std::unique_ptr<Hardware> MakeHardware(FileSystem& files, fs::path root) {
  return std::make_unique<LinuxHardware>(files, std::move(root));
}

}  // namespace quantfleet::agent
