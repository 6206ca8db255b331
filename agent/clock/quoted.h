// The user's own words inside an error: they must not be long, nor reach the terminal as controls.
#pragma once

#include <string>
#include <string_view>

namespace time_chaos::clock {

// "1x" with the quotes; control characters as '?', cut after 48 bytes ("...").
std::string quoted(std::string_view text);

}  // namespace time_chaos::clock
