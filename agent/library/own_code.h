// Changes code of this very process while its threads run it.
//
// Every change is one store: of one byte, through /proc/thread-self/mem, which leaves the
// protection of the pages alone (and works where the vDSO is sealed); or of an aligned word of
// eight, which is atomic (Intel SDM 3A 9.1.1, AMD APM 2 7.3.2), on pages that are writable just for
// that. membarrier(2) then has every processor that runs one of our threads drop what it had
// decoded.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/payload/layout.h"

namespace time_chaos::library {

class OwnCode {
 public:
  // `pages`: what is made writable when a word is written.
  explicit OwnCode(payload::PageRange pages) : pages_(pages) {}

  // Up to 8 bytes that lie in one aligned word of the pages; what stands around them must not
  // change meanwhile. Checked by reading it back.
  [[nodiscard]] Status store(uint64_t at, std::span<const uint8_t> bytes) const;

 private:
  [[nodiscard]] Status store_word(uint64_t at, std::span<const uint8_t> bytes) const;

  payload::PageRange pages_;
};

// Bytes that nobody executes yet, anywhere. In pages mapped executable and not writable.
Status write_code(uint64_t at, std::span<const uint8_t> bytes);

// May `length` bytes at `at` be written by one store of a word?
bool in_one_word(uint64_t at, uint64_t length);

// Every thread of this process that is running now has passed a full barrier: what it reads from
// now on, it reads after what this thread wrote before.
Status barrier_in_all_threads();

}  // namespace time_chaos::library
