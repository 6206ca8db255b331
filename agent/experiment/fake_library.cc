// --fake: the user's library, looked at before any target is.
#include "agent/experiment/request.h"
#include "agent/vdso/fake.h"

namespace time_chaos::experiment {

Result<std::shared_ptr<const elf::LibraryFile>> read_fake_library(const std::string& path) {
  TC_TRY(elf::LibraryFile library, elf::LibraryFile::read(path));
  TC_TRY(const auto functions, vdso::fake_functions(library));
  (void)functions;
  return std::make_shared<const elf::LibraryFile>(std::move(library));
}

}  // namespace time_chaos::experiment
