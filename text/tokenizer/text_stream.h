// From pieces of bytes to text that may be shown: whole UTF-8 only, nothing behind a stop string,
// and nothing that may still turn out to be the beginning of one. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::text {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops);

  // Takes the bytes of one token; returns the text that has become certain.
  std::string Append(std::string_view bytes);
  // The end: what was held back. Half a sequence becomes U+FFFD.
  std::string Finish();
  // A stop string was found; the text before it has been returned, and further bytes are ignored.
  bool stopped() const { return stopped_; }

  struct Length {
    size_t bytes = 0;
    int64_t characters = 0;  // code points
  };
  // Of all text so far, including what is held back and what a stop string cut off.
  const Length& come() const { return come_; }
  // How many bytes have been returned.
  size_t returned() const { return returned_; }

 private:
  std::string TakeCertain();
  std::string Return(std::string text);
  void Hold(std::string_view text);

  std::vector<std::string> stops_;
  std::string bytes_;  // an unfinished sequence
  std::string held_;   // whole UTF-8 that may begin a stop string
  bool stopped_ = false;
  Length come_;
  size_t returned_ = 0;
};

// Moves the whole sequences at the front of `bytes` to the result; bytes that belong to none become
// U+FFFD. What remains is the beginning of a sequence that more bytes can complete.
std::string TakeWholeUtf8(std::string& bytes);

}  // namespace quantfleet::text
