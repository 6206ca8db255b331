// What an attach would do to one target: decided from what can be read, before anything is touched.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/vdso_image.h"
#include "agent/payload/layout.h"
#include "agent/targets/mappings.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/plt_scan.h"
#include "agent/vdso/prologue.h"
#include "agent/vdso/run_stub.h"

namespace time_chaos::vdso {

enum class Method {
  kOneByte,   // the first byte becomes a jump to a landing pad; no other thread stops
  kFiveBytes  // a whole jump, written while the world is stopped
};

struct FunctionPlan {
  payload::Function function{};
  Method method = Method::kFiveBytes;
  uint64_t entry = 0;
  uint64_t pad = 0;  // kOneByte
  // Empty when the first instructions cannot be moved: then no thread may stand among them.
  std::vector<uint32_t> boundaries;
  uint64_t moved = 0;  // where the copy of the prologue begins; 0: none
  payload::PatchRecord record;
};

// The slots that are led to our functions, instead of a detour.
struct PltPlan {
  uint64_t place = 0;  // of payload/plt.h's pages
  SlotScan scan;
};

struct AttachPlan {
  elf::VdsoImage image;
  uint64_t vdso = 0;
  uint64_t code = 0;  // the clock page follows
  std::vector<payload::PageRange> pads;
  std::vector<FunctionPlan> functions;
  std::vector<uint8_t> code_page;  // its whole contents, record included
  StubPlace stub;
  std::optional<PltPlan> plt = {};  // Detour::kPlt

  [[nodiscard]] uint64_t clock_page() const { return code + payload::kClockPageOffset; }
  [[nodiscard]] bool needs_stopped_world() const;
};

// The vDSO of a process: its mapping and a parsed copy.
struct Vdso {
  uint64_t start = 0;
  elf::VdsoImage image;
  StubPlace stub;
};
// kUnsupported when there is none (vdso=0, or hidden from the program) or it is a 32-bit one.
Result<Vdso> read_vdso(const targets::Mappings& mappings, const tracee::Memory& memory);

enum class Detour {
  kAuto,      // one byte wherever it can be
  kFiveByte,  // five bytes everywhere: for the tests and for measuring
  kNone,      // only the pages, for an experiment whose vDSO calls are left alone
  kPlt,       // the pages, and GOT slots that lead to them
};

// kUnsupported with the reason where the vDSO cannot be detoured.
// `modules`: whose slots, for kPlt; empty: all.
Result<AttachPlan> make_plan(pid_t pid, const tracee::Memory& memory, Detour detour,
                             const std::vector<std::string>& modules = {});

}  // namespace time_chaos::vdso
