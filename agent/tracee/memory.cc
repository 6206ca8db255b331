#include "agent/tracee/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "agent/base/files.h"
#include "agent/targets/permission.h"

namespace time_chaos::tracee {

Result<Memory> Memory::open(pid_t pid) {
  auto file = open_file(fmt::format("/proc/{}/mem", pid), O_RDWR);
  if (!file) {
    if (file.error().error_number() == ENOENT) {
      return fail(Exit::kNoTarget, fmt::format("no process {}", pid));
    }
    if (file.error().kind() == Exit::kNotPermitted) {
      return fail(file.error().with_remedy(targets::reach_remedy()));
    }
    return fail(file.error());
  }
  return Memory(pid, std::move(*file));
}

Status Memory::read(uint64_t address, std::span<uint8_t> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(file_.get(), into.data() + done, into.size() - done,
                                static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(fmt::format("read {} bytes at {:#x}", into.size(), address));
    if (got == 0) return fail(Exit::kNoTarget, "the address space is gone (exit or exec)");
    done += static_cast<size_t>(got);
  }
  return {};
}

Result<std::vector<uint8_t>> Memory::read(uint64_t address, uint64_t size) const {
  std::vector<uint8_t> bytes(size);
  TC_CHECK(read(address, bytes));
  return bytes;
}

size_t Memory::read_as_target(uint64_t address, std::span<uint8_t> into) const {
  const Place place{address, into.size()};
  return read_as_target({&place, 1}, into);
}

size_t Memory::read_as_target(std::span<const Place> places, std::span<uint8_t> into) const {
  constexpr size_t kMostPlaces = IOV_MAX;  // of one call
  std::vector<iovec> theirs;
  size_t done = 0;
  for (size_t first = 0; first < places.size(); first += kMostPlaces) {
    theirs.clear();
    size_t size = 0;
    for (const Place& place : places.subspan(first, std::min(kMostPlaces, places.size() - first))) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): of another process
      theirs.push_back({reinterpret_cast<void*>(place.address), place.size});
      size += place.size;
    }
    const iovec ours{into.data() + done, size};
    const ssize_t got = ::process_vm_readv(pid_, &ours, 1, theirs.data(), theirs.size(), 0);
    if (got > 0) done += static_cast<size_t>(got);
    if (got != static_cast<ssize_t>(size)) break;
  }
  return done;
}

Status Memory::write_as_target(uint64_t address, std::span<const uint8_t> bytes) const {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): iovec serves both directions
  const iovec ours{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): of another process
  const iovec theirs{reinterpret_cast<void*>(address), bytes.size()};
  const ssize_t got = ::process_vm_writev(pid_, &ours, 1, &theirs, 1, 0);
  if (got == static_cast<ssize_t>(bytes.size())) return {};
  return fail_errno(fmt::format("write {} bytes at {:#x}", bytes.size(), address));
}

bool Memory::present(uint64_t address) const {
  uint8_t byte = 0;
  return ::pread(file_.get(), &byte, 1, static_cast<off_t>(address)) == 1;
}

Status Memory::write(uint64_t address, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pwrite(file_.get(), bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return fail(Exit::kNoTarget, "the address space is gone (exit or exec)");
    if (got < 0) {
      if (poker_ && done == 0) return write_words(address, bytes);
      return fail_errno(fmt::format("write {} bytes at {:#x}", bytes.size(), address));
    }
    done += static_cast<size_t>(got);
  }
  return {};
}

Status Memory::write_words(uint64_t address, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const uint64_t at = address + done;
    const uint64_t aligned = at & ~uint64_t{7};
    const size_t skip = at - aligned;
    const size_t count = std::min(bytes.size() - done, sizeof(uint64_t) - skip);
    TC_TRY(uint64_t word, poker_->peek(aligned));
    std::memcpy(reinterpret_cast<uint8_t*>(&word) + skip, bytes.data() + done, count);
    TC_CHECK(poker_->poke(aligned, word));
    done += count;
  }
  return {};
}

}  // namespace time_chaos::tracee
