#include "agent/vdso/fake.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <thread>

#include "agent/elf/imports.h"
#include "agent/targets/mappings.h"
#include "agent/targets/proc_text.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/loader_call.h"
#include "agent/vdso/plt_scan.h"

namespace time_chaos::vdso {
namespace {

using payload::Function;

constexpr std::chrono::milliseconds kAwaitPause(10);
constexpr int kAwaitRounds = 1000;

constexpr Function kFunctions[] = {Function::kClockGettime, Function::kGettimeofday,
                                   Function::kTime};
// Not as anybody else would write it: the loader knows libraries by their names, too.
constexpr const char* kPath = "/proc/self/./fd/";

std::string terminated(const char* text, size_t size) {
  return targets::printable(std::string(text, ::strnlen(text, size)));
}

uint64_t data_at(uint64_t place, size_t field) {
  return place + payload::fake_data_offset() + field;
}

// The loaded library, by its handle: a struct link_map.
Result<elf::Module> module_at(const tracee::Memory& memory, uint64_t handle) {
  elf::Module module;
  TC_TRY(module.base, memory.read_value<uint64_t>(handle));
  TC_TRY(module.dynamic, memory.read_value<uint64_t>(handle + 2 * sizeof(uint64_t)));
  return module;
}

// The code that is mapped of the file in memory that the library came from; nothing where that is
// not it.
Ranges mapped(const targets::Mappings& mappings, uint64_t address) {
  Ranges ranges;
  const targets::Mapping* part = mappings.at(address);
  if (part == nullptr || part->path.rfind("/memfd:", 0) != 0) return ranges;
  for (const targets::Mapping& mapping : mappings.all()) {
    const bool same = mapping.inode == part->inode && mapping.device == part->device;
    if (same && mapping.perms[2] == 'x') ranges.push_back({mapping.start, mapping.size()});
  }
  return ranges;
}

Status explain(const tc_fake_call& call, const std::string& name) {
  const std::string what = fmt::format("{} cannot be loaded into it", name);
  switch (call.step) {
    case TC_FAKE_LOADED:
      return {};
    case TC_FAKE_OPEN: {
      const std::string text = terminated(call.text, sizeof call.text);
      return fail(
          Exit::kUnsupported,
          fmt::format("{}: {}", what, text.empty() ? "its loader refuses, without a word" : text),
          "a library that needs no others loads everywhere: link it with -nostdlib");
    }
    default:
      return fail(Exit::kUnsupported,
                  fmt::format("{}: no file in memory: {}", what,
                              ::strerrordesc_np(static_cast<int>(-call.error))),
                  "see vm.memfd_noexec, and what limits its memory");
  }
}

// As the loader has it, not as we asked for it.
Result<uint64_t> find_loaded(const tracee::Memory& memory, const elf::Module& module,
                             const std::string& symbol) {
  const elf::ReadMemory read = reader_of(memory);
  TC_TRY(const auto tables, elf::read_tables(read, module));
  TC_TRY(const auto found, elf::find_export(read, module, tables, symbol));
  if (!found) return fail(Exit::kFailed, fmt::format("{} is not where it was loaded", symbol));
  return found->address;
}

}  // namespace

std::string fake_symbol(Function function) {
  return fmt::format("fake_{}", payload::function_name(function));
}

Result<std::array<uint64_t, payload::kMaxFunctions>> fake_functions(
    const elf::LibraryFile& library) {
  std::array<uint64_t, payload::kMaxFunctions> functions{};
  bool any = false;
  for (const Function function : kFunctions) {
    TC_TRY(const auto address, library.function(fake_symbol(function)));
    functions[static_cast<size_t>(function)] = address.value_or(0);
    any = any || address;
  }
  if (any) return functions;
  return fail(Exit::kUsage,
              "it defines none of fake_clock_gettime, fake_gettimeofday and fake_time",
              "see include/time_chaos/fake.h");
}

Result<FakePlan> plan_fake(pid_t pid, const tracee::Memory& memory,
                           std::shared_ptr<const elf::LibraryFile> library) {
  FakePlan plan;
  TC_TRY(plan.functions, fake_functions(*library));
  TC_TRY(plan.loader, find_loader(pid, memory));
  plan.library = std::move(library);
  return plan;
}

std::string FakeFound::name() const {
  return terminated(record.name, sizeof record.name);
}

std::vector<std::string> FakeFound::functions() const {
  std::vector<std::string> names;
  for (const Function function : kFunctions) {
    if ((record.functions & (1U << static_cast<uint32_t>(function))) != 0) {
      names.emplace_back(payload::function_name(function));
    }
  }
  return names;
}

std::optional<FakeFound> read_fake(const tracee::Memory& memory, uint64_t place) {
  const auto record = memory.read_value<payload::FakeRecord>(place + payload::kFakeRecordOffset);
  if (!record || record->magic != payload::kFakeMagic) return std::nullopt;
  const auto data = memory.read_value<payload::FakeData>(data_at(place, 0));
  if (!data) return std::nullopt;
  return FakeFound{place, *record, *data};
}

Status write_fake_pages(tracee::Memory& memory, const FakePlan& plan, uint64_t code) {
  TC_CHECK(memory.write(plan.place + payload::kFakeImageOffset, plan.library->bytes()));
  std::vector<uint8_t> page = payload::fake_code();
  page.resize(payload::kPageSize);
  const payload::FakeData data = payload::fake_data(code);
  std::memcpy(page.data() + payload::fake_data_offset(), &data, sizeof data);
  payload::FakeRecord record;
  record.errno_location = plan.loader.errno_location;
  record.unload = plan.loader.unload;
  record.never_unloads = plan.loader.never_unloads ? 1 : 0;
  for (const Function function : kFunctions) {
    if (plan.has(function)) record.functions |= 1U << static_cast<uint32_t>(function);
  }
  plan.library->name().copy(record.name, sizeof record.name - 1);
  std::memcpy(page.data() + payload::kFakeRecordOffset, &record, sizeof record);
  TC_CHECK(memory.write(plan.place, page));
  TC_TRY(const auto written, memory.read(plan.place, payload::kPageSize));
  if (written != page) return fail(Exit::kFailed, "the page of routes is not as written");
  return {};
}

Status set_fake(tracee::Memory& memory, uint64_t place, bool on) {
  return memory.write_value(data_at(place, offsetof(payload::FakeData, on)),
                            static_cast<uint8_t>(on ? 1 : 0));
}

Result<Loaded> load_fake(pid_t pid, tracee::Memory& memory, const FakePlan& plan) {
  tc_fake_call call{};
  call.work = TC_FAKE_LOAD;
  call.load = plan.loader.load;
  call.unload = plan.loader.unload;
  call.why = plan.loader.why;
  call.errno_location = plan.loader.errno_location;
  call.mode = plan.loader.mode;
  call.image = plan.place + payload::kFakeImageOffset;
  call.image_size = plan.library->bytes().size();
  std::copy(plan.functions.begin(), plan.functions.end(), call.functions);
  call.original = data_at(plan.place, offsetof(payload::FakeData, original));
  plan.library->name().copy(call.name, sizeof call.name - 1);
  std::memcpy(call.path, kPath, std::strlen(kPath) + 1);
  TC_TRY(const LoaderRun run, call_loader(pid, memory, plan.loader, plan.place, call));
  TC_CHECK(explain(run.call, plan.library->name()));
  TC_TRY(const elf::Module module, module_at(memory, run.call.handle));
  Loaded loaded;
  for (const Function function : kFunctions) {
    if (!plan.has(function)) continue;
    TC_TRY(loaded.functions[static_cast<size_t>(function)],
           find_loaded(memory, module, fake_symbol(function)));
  }
  if (run.call.shown_result != 0) {
    return fail(Exit::kFailed,
                fmt::format("{} of {} returned {}, which is an error", fake_symbol(kFunctions[0]),
                            plan.library->name(), run.call.shown_result),
                "it returns 0 when it has shown a time");
  }
  loaded.stopped = run.stopped;
  loaded.host = {run.call.host_sec, run.call.host_nsec};
  loaded.shown = {run.call.shown_sec, run.call.shown_nsec};
  loaded.reader = fake_symbol(kFunctions[std::min<size_t>(run.call.reader, 2)]);
  return loaded;
}

Status route_fake(tracee::Memory& memory, const FakePlan& plan, const Loaded& loaded) {
  return memory.write_value(data_at(plan.place, offsetof(payload::FakeData, library)),
                            loaded.functions);
}

void await_loader(const tracee::Memory& memory, uint64_t place) {
  const uint64_t at = place + payload::kFakeCallOffset + offsetof(tc_fake_call, state);
  for (int round = 0; round < kAwaitRounds; round++) {
    const auto state = memory.read_value<uint32_t>(at);
    if (!state || *state != TC_FAKE_BEGUN) return;
    std::this_thread::sleep_for(kAwaitPause);
  }
}

Result<Unloaded> unload_fake(pid_t pid, tracee::Memory& memory, uint64_t place) {
  Unloaded result;
  const auto fake = read_fake(memory, place);
  if (!fake) return result;
  TC_TRY(auto call, memory.read_value<tc_fake_call>(place + payload::kFakeCallOffset));
  if (call.handle == 0) return result;  // it never was loaded, or is unloaded
  TC_TRY(const elf::Module module, module_at(memory, call.handle));
  TC_TRY(const auto before, targets::Mappings::read(pid));
  const Ranges ranges = mapped(before, module.dynamic);
  if (ranges.empty()) return result;
  if (auto nobody = check_unreferenced(pid, memory, ranges); !nobody) {
    return fail(nobody.error().because_of(fmt::format("{} cannot be unloaded", fake->name())));
  }
  if (fake->record.never_unloads != 0) {
    result.stays = "musl unloads nothing";
    return result;
  }
  TC_TRY(const Loader loader, find_loader(pid, memory));
  call.work = TC_FAKE_UNLOAD;
  call.unload = fake->record.unload;
  call.errno_location = fake->record.errno_location;
  auto run = call_loader(pid, memory, loader, place, call);
  if (!run) {
    return fail(run.error().because_of(fmt::format("{} cannot be unloaded", fake->name())));
  }
  result.stopped = run->stopped;
  TC_TRY(const auto after, targets::Mappings::read(pid));
  if (!mapped(after, module.dynamic).empty()) {
    result.stays = "its loader keeps it: something else uses it, or it is never to be unloaded";
  }
  return result;
}

Status check_routes(pid_t pid, const FakeFound& fake,
                    const std::vector<payload::PatchRecord>& patches) {
  const auto wrong = [&](const std::string& what) {
    return fail(Exit::kFailed, what, "recover the target");
  };
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(const auto mappings, targets::Mappings::read(pid));
  auto ours = payload::fake_code();
  ours.resize(payload::fake_data_offset());
  TC_TRY(const auto theirs, memory.read(fake.place, ours.size()));
  if (ours != theirs) return wrong("its page of routes is not as written");
  if (fake.data.on == 0) return wrong(fmt::format("{} is not asked", fake.name()));
  for (const payload::PatchRecord& patch : patches) {
    const auto function = static_cast<Function>(patch.function);
    const std::string name = payload::function_name(function);
    const uint64_t hook = fake.place + payload::fake_hook_offset(function);
    const auto jump = near_jump(patch.entry, hook);
    TC_TRY(const auto entry, memory.read(patch.entry, kJumpSize));
    if (!jump || !std::equal(jump->begin(), jump->end(), entry.begin())) {
      return wrong(fmt::format("its {} is not detoured", name));
    }
    const targets::Mapping* mapping = mappings.at(fake.data.library[patch.function]);
    if (mapping == nullptr || mapping->path.rfind("/memfd:", 0) != 0 || mapping->perms[2] != 'x') {
      return wrong(fmt::format("its {} does not lead to {}", name, fake.name()));
    }
  }
  return {};
}

}  // namespace time_chaos::vdso
