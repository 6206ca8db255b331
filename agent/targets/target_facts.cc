#include "agent/targets/target_facts.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/base/files.h"
#include "agent/base/scoped_fd.h"
#include "agent/targets/mappings.h"
#include "agent/targets/namespaces.h"

namespace time_chaos::targets {
namespace {

constexpr size_t kMachineAt = 18;  // offsetof(Elf32_Ehdr, e_machine), the same in Elf64_Ehdr
constexpr size_t kHeaderBytes = 20;

VdsoKind read_vdso_kind(pid_t pid, const ScopedFd& memory) {
  const auto mappings = Mappings::read(pid);
  if (!mappings) return VdsoKind::kUnread;
  const Mapping* vdso = mappings->find("[vdso]");
  if (vdso == nullptr) return VdsoKind::kAbsent;
  std::array<uint8_t, kHeaderBytes> header{};
  const ssize_t got =
      ::pread(memory.get(), header.data(), header.size(), static_cast<off_t>(vdso->start));
  return got == static_cast<ssize_t>(header.size()) ? vdso_kind(header) : VdsoKind::kUnread;
}

}  // namespace

VdsoKind vdso_kind(std::span<const uint8_t> header) {
  if (header.size() < kHeaderBytes) return VdsoKind::kUnread;
  constexpr std::string_view kMagic(ELFMAG, SELFMAG);
  if (!std::equal(kMagic.begin(), kMagic.end(), header.begin())) return VdsoKind::kOther;
  const uint8_t elf_class = header[EI_CLASS];
  const int machine = header[kMachineAt] | header[kMachineAt + 1] << 8;
  if (elf_class == ELFCLASS64 && machine == EM_X86_64) return VdsoKind::kX86_64;
  if (elf_class == ELFCLASS32 && machine == EM_X86_64) return VdsoKind::kX32;
  if (elf_class == ELFCLASS32 && machine == EM_386) return VdsoKind::kI386;
  return VdsoKind::kOther;
}

Result<TargetFacts> read_target_facts(const Process& process, pid_t allowed_tracer) {
  TargetFacts facts;
  facts.pid = process.pid();
  facts.label = process.label();
  if (const auto status = check_targetable(process, allowed_tracer); !status) {
    facts.not_targetable = status.error();
  }
  TC_TRY(const ProcStatus status, read_status(process.pid()));
  facts.uid = status.uid;
  facts.seccomp_mode = status.seccomp_mode;
  facts.seccomp_filters = status.seccomp_filters;

  const auto ours = namespace_inode("self", "user");
  const auto theirs = namespace_inode(std::to_string(process.pid()), "user");
  if (ours && theirs) facts.same_user_namespace = *ours == *theirs;

  const auto memory = open_file(fmt::format("/proc/{}/mem", process.pid()), O_RDONLY);
  if (memory) {
    facts.vdso = read_vdso_kind(process.pid(), *memory);
  } else {
    facts.not_accessible = memory.error();
  }
  return facts;
}

}  // namespace time_chaos::targets
