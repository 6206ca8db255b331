// The vDSO of this very process: a real image whose truth can be checked by calling it.
#pragma once

#include <sys/auxv.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace time_chaos::test {

struct OwnVdso {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;  // the whole mapping; empty where the kernel gave us no vDSO
};

inline OwnVdso own_vdso() {
  OwnVdso own;
  own.address = getauxval(AT_SYSINFO_EHDR);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; own.address != 0 && std::getline(maps, line);) {
    size_t used = 0;
    const uint64_t begin = std::stoull(line, &used, 16);
    const uint64_t end = std::stoull(line.substr(used + 1), nullptr, 16);
    if (begin != own.address) continue;
    const auto* const memory = reinterpret_cast<const uint8_t*>(begin);  // NOLINT
    own.bytes.assign(memory, memory + (end - begin));
  }
  return own;
}

}  // namespace time_chaos::test
