// Times of certificates, and what is said of two clocks that disagree. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace quantfleet::trust {

// quantfleet is younger than this: a clock that shows an earlier time is wrong. 2025-01-01.
inline constexpr Time kEarliestTime = Time(std::chrono::seconds(1'735'689'600));

// Certificates begin this long before they are made: they hold for a clock that is a little behind,
// and still hold when the clock that they were made by is set back by less. It is also what two
// clocks may differ by without a certificate between them failing, and thus what counts as one time
// in this system.
inline constexpr Duration kBackdate = std::chrono::hours(1);

// "2027-01-15T08:00:00Z".
std::string UtcText(Time time);
// A length of time in the one or two units that say enough: "6 s", "45 min", "5 h", "400 days".
std::string LengthText(Duration length);

// When two clocks were read at the same moment.
struct ClockPair {
  Time here, daemon;
  Duration apart() const { return here < daemon ? daemon - here : here - daemon; }
  // So far apart that certificates fail or soon will.
  bool disagree() const { return apart() >= kBackdate; }
};
// "this device's clock (TIME) is 2 days behind the daemon's (TIME): ..." and which of the two is
// wrong, as far as it can be known: `certified` is the beginning of the newest certificate that the
// daemon has issued to the one who asks (plus kBackdate: when it was made), Time{} when there is
// none. `here`: "device" or "computer".
std::string DescribeClocks(const ClockPair& clocks, std::string_view here, Time certified);

}  // namespace quantfleet::trust
