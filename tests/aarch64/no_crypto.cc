// Preloaded, it hides the cryptographic instructions of an emulated CPU, as CPUs are that lack them
// (a Raspberry Pi 4's).
#include <asm/hwcap.h>
#include <dlfcn.h>
#include <sys/auxv.h>

extern "C" unsigned long getauxval(unsigned long type) noexcept {
  static const auto real =
      reinterpret_cast<unsigned long (*)(unsigned long)>(dlsym(RTLD_NEXT, "getauxval"));
  const unsigned long value = real(type);
  return type == AT_HWCAP ? value & ~(HWCAP_AES | HWCAP_PMULL | HWCAP_SHA1 | HWCAP_SHA2) : value;
}
