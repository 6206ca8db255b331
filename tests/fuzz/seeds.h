// How a fuzz target may give the driver inputs to start from. Optional: a target without it starts
// from the files in tests/fuzz/seeds/TARGET/, or from nothing.
#pragma once

#include <cstdint>
#include <vector>

// Defined (once) by the fuzz target; weak, so that it may be missing.
[[gnu::weak]] std::vector<std::vector<uint8_t>> fuzz_seeds();
