#include "agent/vdso/clock_page.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/files.h"

namespace time_chaos::vdso {
namespace {

// What fill() writes: everything but the copy of the maps that is in force, and the latch.
constexpr size_t kHeader = offsetof(tc_clock_page, magic);
constexpr size_t kLatch = offsetof(tc_clock_page, latch);
constexpr size_t kBehindLatch = kLatch + sizeof(uint32_t);
constexpr size_t kHeaderEnd = offsetof(tc_clock_page, table0);
constexpr size_t kWords = offsetof(tc_clock_page, words);
constexpr size_t kCopySize = sizeof(tc_clock_page::maps0);
constexpr size_t kTable = offsetof(tc_clock_page, table0);

// How often a writer plans anew that was too late.
constexpr int kAttempts = 8;

bool in_time(const clock::ClockMaps& maps) {
  if (!maps.flip_before) return true;
  timespec now{};
  (void)::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);  // NOLINT(*-vararg)
  return clock::Reading{now.tv_sec, now.tv_nsec} < *maps.flip_before;
}

// One writer at a time; readers never wait. Held for some microseconds.
class WriteLock {
 public:
  explicit WriteLock(int fd) : fd_(fd) {
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;
  WriteLock(WriteLock&&) = delete;
  WriteLock& operator=(WriteLock&&) = delete;
  ~WriteLock() {
    if (fd_ >= 0) ::flock(fd_, LOCK_UN);
  }

 private:
  int fd_;
};

}  // namespace

void ClockPage::Unmap::operator()(tc_clock_page* page) const {
  ::munmap(page, TC_PAGE_SIZE);
}

Result<ClockPage> ClockPage::open(pid_t pid, uint64_t address) {
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  ClockPage page(address, std::make_unique<tracee::Memory>(std::move(memory)));
  auto file = open_file(
      fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, address, address + TC_PAGE_SIZE), O_RDWR);
  if (file) {
    void* mapped = ::mmap(nullptr, TC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                          file->get(), 0);
    if (mapped != MAP_FAILED) {
      page.page_.reset(static_cast<tc_clock_page*>(mapped));
      page.file_ = std::move(*file);
    }
  }
  return page;
}

Result<ClockPage> ClockPage::over(int file, uint64_t offset) {
  ClockPage page(offset, nullptr);
  const int copy = ::fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno("duplicate a file descriptor");
  page.file_.reset(copy);
  void* mapped = ::mmap(nullptr, TC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, copy,
                        static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) return fail_errno("map a clock page");
  page.page_.reset(static_cast<tc_clock_page*>(mapped));
  return page;
}

bool ClockPage::sharing_permitted() {
  // The same check on a page of our own.
  void* probe = ::mmap(nullptr, TC_PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return false;
  const auto start = reinterpret_cast<uint64_t>(probe);
  const auto file =
      open_file(fmt::format("/proc/self/map_files/{:x}-{:x}", start, start + TC_PAGE_SIZE), O_RDWR);
  ::munmap(probe, TC_PAGE_SIZE);
  return file.has_value();
}

Result<tc_clock_page> ClockPage::read() const {
  if (!page_) return memory_->read_value<tc_clock_page>(address_);
  tc_clock_page copy{};
  std::memcpy(&copy, page_.get(), sizeof copy);
  return copy;
}

Result<clock::ClockMaps> ClockPage::maps() const {
  TC_TRY(const tc_clock_page page, read());
  return clock::maps_in_force(page);
}

Status ClockPage::write(uint64_t begin, const void* bytes, size_t size) {
  if (!page_) {
    return memory_->write(address_ + begin, {static_cast<const uint8_t*>(bytes), size});
  }
  std::memcpy(reinterpret_cast<uint8_t*>(page_.get()) + begin, bytes, size);
  return {};
}

// The header, and the maps that nobody reads.
Result<uint32_t> ClockPage::fill(const clock::ClockMaps& maps, const tc_clock_page& header) {
  TC_TRY(const tc_clock_page before, read());
  const uint32_t latch = tc_next_latch(before.latch);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  TC_CHECK(write(kHeader, bytes + kHeader, kLatch - kHeader));
  TC_CHECK(write(kBehindLatch, bytes + kBehindLatch, kHeaderEnd - kBehindLatch));
  TC_CHECK(write(kWords, bytes + kWords, TC_WORDS_MAX));
  const uint64_t copy = latch & TC_COPY_STRIDE;
  TC_CHECK(write(copy, maps.data(), kCopySize));
  TC_CHECK(write(copy + kTable, &maps.table, sizeof maps.table));
  return latch;
}

Status ClockPage::flip(uint32_t latch) {
  if (page_) {
    __atomic_store_n(&page_->latch, latch, __ATOMIC_SEQ_CST);
    return {};
  }
  // One byte, so that no reader can see half of it.
  return memory_->write_value(address_ + kLatch + 1, static_cast<uint8_t>(latch >> 8));
}

Status ClockPage::publish(const clock::ClockMaps& maps,
                          const std::function<void(tc_clock_page&)>& header) {
  return update([&](clock::ClockMaps& now, tc_clock_page& page) {
    now = maps;
    if (header) header(page);
    return Status();
  });
}

Status ClockPage::update(const std::function<Status(clock::ClockMaps&, tc_clock_page&)>& change) {
  const WriteLock lock(file_.get());
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    TC_TRY(tc_clock_page header, read());
    clock::ClockMaps maps = clock::maps_in_force(header);
    TC_CHECK(change(maps, header));
    TC_TRY(const uint32_t latch, fill(maps, header));
    uint32_t twins_latch = 0;
    if (twin_) {
      TC_TRY(twins_latch, twin_->fill(maps, header));
    }
    // Nobody has seen any of it yet.
    if (!in_time(maps)) continue;
    TC_CHECK(flip(latch));
    return twin_ ? twin_->flip(twins_latch) : Status();
  }
  return fail(Exit::kFailed, "the machine is too busy to change a monotonic clock in time",
              "try again");
}

}  // namespace time_chaos::vdso
