// Bytes from outside (files, devices, servers, programs) as text that may be stored, sent and
// shown. One place decides it; whatever holds such text passes through here: statuses (MakeStatus),
// stored and sent messages (common/message), logs (common/log) and terminals (the CLI's and the
// agent's printing). Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quantfleet {

// On one line: valid UTF-8 in which control and escape characters, what turns the direction of
// writing, and bytes that do not belong to a character are written out ("\x1b", "\n", "\u202e").
// Cut at a character after at most `most` bytes, which is then said ("... (70000 bytes)"). What has
// been through it stays as it is.
inline constexpr size_t kMaxShownBytes = 600;
std::string Shown(std::string_view bytes, size_t most = kMaxShownBytes);

// The same without a limit, lines and tabs left as they are: a text of several lines.
std::string ShownLines(std::string_view bytes);

// Valid UTF-8, all else left alone: bytes that do not belong to a character are written out
// ("\xff"). For what is stored or sent and must come back as it was.
std::string ValidText(std::string_view bytes);

// The front of a text, at most `most` bytes of it, cut between characters.
std::string_view CutText(std::string_view text, size_t most);

}  // namespace quantfleet
