// Configuration files: each kind of setting is refused with a reason, or within its bounds.
#include <cstdlib>
#include <string>
#include <vector>

#include "common/config/file/read_toml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  std::string text = "x", nested = "y";
  int64_t whole = 5;
  double number = 1.5;
  bool on = false;
  std::vector<std::string> texts;
  const config::Settings settings = {
      {.flag = "", .key = "text", .value = config::Into(text), .help = ""},
      {.flag = "", .key = "a.b.text", .value = config::Into(nested), .help = ""},
      {.flag = "",
       .key = "whole",
       .value = config::Whole{[&](int64_t value) { whole = value; }, 1, 10},
       .help = ""},
      {.flag = "",
       .key = "a.number",
       .value = config::Number{[&](double value) { number = value; }, 1.0, 2.0},
       .help = ""},
      {.flag = "", .key = "on", .value = config::Into(on), .help = ""},
      {.flag = "", .key = "a.texts", .value = config::Into(texts), .help = ""},
  };
  config::ReadToml(settings, {reinterpret_cast<const char*>(data), size}).IgnoreError();
  if (whole < 1 || whole > 10 || !(number >= 1 && number <= 2)) std::abort();
  return 0;
}
