// llama.cpp's shared libraries, as its prebuilt packages carry them, opened at run time: the
// project builds without llama.cpp, and what a judge needs of its headers is declared there by
// hand.
#pragma once

#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace quantfleet::judges {

// libNAME.so or libNAME.vVERSION.so in `folder`, never closed: the process ends soon after. Null:
// not there, or it cannot be opened (dlerror).
inline void* OpenLibrary(const std::filesystem::path& folder, std::string_view name) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    const bool exact = file == std::string(name) + ".so";
    if (exact || (file.starts_with(std::string(name) + ".v") && file.ends_with(".so")))
      return dlopen(entry.path().c_str(), RTLD_NOW | RTLD_GLOBAL);
  }
  return nullptr;
}

template <typename Function>
Function FindFunction(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace quantfleet::judges
