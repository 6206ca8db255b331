#include "agent/tracee/rseq.h"

#include <sys/ptrace.h>

#include <cstdint>

namespace time_chaos::tracee {
namespace {

// include/uapi/linux/ptrace.h and rseq.h, by hand: glibc's and the kernel's headers clash.
constexpr int kGetRseqConfiguration = 0x420f;
struct RseqConfiguration {
  uint64_t area;
  uint32_t size;
  uint32_t signature;
  uint32_t flags;
  uint32_t pad;
};
constexpr uint64_t kRseqCsOffset = 8;  // of struct rseq
struct CriticalSection {
  uint32_t version;
  uint32_t flags;
  uint64_t start_ip;
  uint64_t post_commit_offset;
  uint64_t abort_ip;
};

}  // namespace

void leave_critical_section(const SeizedThread& stopped, const Memory& memory,
                            Registers& registers) {
  RseqConfiguration configuration{};
  const long got = ::ptrace(static_cast<__ptrace_request>(kGetRseqConfiguration), stopped.tid(),
                            sizeof configuration, &configuration);
  if (got != static_cast<long>(sizeof configuration) || configuration.area == 0) return;
  const auto descriptor = memory.read_value<uint64_t>(configuration.area + kRseqCsOffset);
  if (!descriptor || *descriptor == 0) return;
  const auto section = memory.read_value<CriticalSection>(*descriptor);
  if (!section) return;
  if (registers.ip() - section->start_ip < section->post_commit_offset) {
    registers.set_ip(section->abort_ip);
  }
}

}  // namespace time_chaos::tracee
