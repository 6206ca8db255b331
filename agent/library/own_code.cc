#include "agent/library/own_code.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/base/files.h"

namespace time_chaos::library {
namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kPage = payload::kPageSize;

uint8_t* pointer(uint64_t at) {
  return reinterpret_cast<uint8_t*>(at);  // NOLINT(performance-no-int-to-ptr): it came as text
}

long membarrier(int command) {
  return ::syscall(SYS_membarrier, command, 0, 0);  // NOLINT(*-vararg)
}

// The process registers at its first use; whether a forked child has to once more depends on the
// kernel.
Status expedited(int command, int registration) {
  if (membarrier(command) == 0) return {};
  if (errno == EPERM && membarrier(registration) == 0 && membarrier(command) == 0) return {};
  return fail_errno("membarrier");
}

void forget_decoded() {
  // Without it: mprotect's and the copy-on-write's own interrupts have had the same effect on the
  // processors that ran us, and a store reaches instruction fetch by itself on x86.
  (void)expedited(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
                  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
}

// thread-self: /proc/self has no memory once the main thread has exited.
Status write_through_proc(uint64_t at, std::span<const uint8_t> bytes) {
  TC_TRY(const ScopedFd file, open_file("/proc/thread-self/mem", O_RDWR));
  const ssize_t done = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
  if (done != static_cast<ssize_t>(bytes.size())) return fail_errno("write to its own code");
  return {};
}

Status protect(payload::PageRange pages, int protection) {
  if (::mprotect(pointer(pages.start), pages.size, protection) == 0) return {};
  Error error = Error::from_errno(errno, "make its own code writable");
  return fail(Error(Exit::kNotPermitted, error.message(),
                    "the vDSO is sealed, or the system forbids it (SELinux, PR_SET_MDWE)"));
}

}  // namespace

bool in_one_word(uint64_t at, uint64_t length) {
  return at % kWord + length <= kWord;
}

Status OwnCode::store(uint64_t at, std::span<const uint8_t> bytes) const {
  if (bytes.size() != 1 || !write_through_proc(at, bytes)) TC_CHECK(store_word(at, bytes));
  forget_decoded();
  if (std::memcmp(pointer(at), bytes.data(), bytes.size()) == 0) return {};
  return fail(Exit::kFailed, "the vDSO did not take what was written to it");
}

Status OwnCode::store_word(uint64_t at, std::span<const uint8_t> bytes) const {
  if (!in_one_word(at, bytes.size())) return fail(Exit::kFailed, "more than one word of code");
  auto* word = reinterpret_cast<uint64_t*>(pointer(at & ~(kWord - 1)));
  TC_CHECK(protect(pages_, PROT_READ | PROT_WRITE | PROT_EXEC));
  uint64_t value = __atomic_load_n(word, __ATOMIC_RELAXED);
  std::memcpy(reinterpret_cast<uint8_t*>(&value) + at % kWord, bytes.data(), bytes.size());
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
  return protect(pages_, PROT_READ | PROT_EXEC);
}

Status write_code(uint64_t at, std::span<const uint8_t> bytes) {
  if (write_through_proc(at, bytes)) return {};
  const uint64_t start = at & ~(kPage - 1);
  const payload::PageRange pages{start, (at + bytes.size() - start + kPage - 1) & ~(kPage - 1)};
  // Not executable meanwhile: for systems that allow no page to be both.
  TC_CHECK(protect(pages, PROT_READ | PROT_WRITE));
  std::memcpy(pointer(at), bytes.data(), bytes.size());
  return protect(pages, PROT_READ | PROT_EXEC);
}

Status barrier_in_all_threads() {
  return expedited(MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

}  // namespace time_chaos::library
