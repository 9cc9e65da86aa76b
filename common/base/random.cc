#include "common/base/random.h"

#include <openssl/rand.h>

#include <cstdlib>

namespace quantfleet {

void SecureRandom::Fill(MutableBytes out) {
  // A machine without entropy must not hand out guessable secrets.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) != 1)
    std::abort();
}

}  // namespace quantfleet
