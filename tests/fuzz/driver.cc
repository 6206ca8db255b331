// Runs a fuzz target without a fuzzing compiler: random mutations of seeds for some seconds, so
// that every build of the project fuzzes a little as an ordinary test. It follows no coverage; a
// clang build uses libFuzzer instead (tests/fuzz/CMakeLists.txt).
//
//   fuzz_NAME [--seconds N] [--seed N] [--last FILE] [SEED_FILE_OR_DIRECTORY...]
//   fuzz_NAME --replay FILE
//
// The input in work is always in the file of --last, mapped shared: it survives whatever the target
// does, a hang included, and --replay runs it again.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
constexpr size_t kMaxInput = size_t{64} << 10;

struct Options {
  unsigned seconds = 5;
  uint64_t seed = std::random_device{}();
  std::string last;
  std::string replay;
  std::vector<std::filesystem::path> seeds;
};

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Options> parse_arguments(std::span<char* const> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (!word.starts_with("--")) {
      options.seeds.emplace_back(word);
      continue;
    }
    if (++i == arguments.size()) return std::nullopt;
    const auto value = number(arguments[i]);
    if (word == "--last") {
      options.last = arguments[i];
    } else if (word == "--replay") {
      options.replay = arguments[i];
    } else if (word == "--seconds" && value) {
      options.seconds = static_cast<unsigned>(*value);
    } else if (word == "--seed" && value) {
      options.seed = *value;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

Input read_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  Input input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (input.size() > kMaxInput) input.resize(kMaxInput);
  return input;
}

std::vector<Input> collect_seeds(const Options& options) {
  std::vector<Input> seeds;
  if (fuzz_seeds != nullptr) seeds = fuzz_seeds();
  for (const auto& path : options.seeds) {
    if (!std::filesystem::is_directory(path)) {
      if (std::filesystem::exists(path)) seeds.push_back(read_whole(path));
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) seeds.push_back(read_whole(entry.path()));
    }
  }
  if (seeds.empty()) seeds.emplace_back();
  return seeds;
}

// The file of --last: the size of the input (8 bytes), then the input.
class LastInput {
 public:
  explicit LastInput(const std::string& path) {
    if (path.empty()) return;
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);  // NOLINT
    if (fd < 0) return;
    if (::ftruncate(fd, kSize) == 0) {
      void* const memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (memory != MAP_FAILED) memory_ = static_cast<uint8_t*>(memory);
    }
    ::close(fd);
  }
  LastInput(const LastInput&) = delete;
  LastInput& operator=(const LastInput&) = delete;
  LastInput(LastInput&&) = delete;
  LastInput& operator=(LastInput&&) = delete;
  ~LastInput() {
    if (memory_ != nullptr) ::munmap(memory_, kSize);
  }

  void keep(const Input& input) {
    if (memory_ == nullptr) return;
    const uint64_t size = input.size();
    std::memcpy(memory_, &size, sizeof(size));
    std::copy(input.begin(), input.end(), memory_ + sizeof(size));
  }

  static Input load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    uint64_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof(size));
    Input input(std::min<uint64_t>(size, kMaxInput));
    file.read(reinterpret_cast<char*>(input.data()), static_cast<std::streamsize>(input.size()));
    return input;
  }

 private:
  static constexpr size_t kSize = kMaxInput + sizeof(uint64_t);
  uint8_t* memory_ = nullptr;
};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  Input next(const std::vector<Input>& seeds) {
    Input input = seeds[below(seeds.size())];
    for (size_t times = 1 + below(below(8) + 1); times > 0; --times) mutate(input, seeds);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  // [0, limit); 0 for 0.
  size_t below(size_t limit) { return limit == 0 ? 0 : static_cast<size_t>(random_() % limit); }

  uint8_t byte() {
    static constexpr std::string_view kText = "0123456789-+.:,/ aAdehimMnsuTZ_\n";
    return static_cast<uint8_t>(below(2) == 0 ? random_() : kText[below(kText.size())]);
  }

  // Numbers at which parsers stumble.
  uint64_t odd_number() {
    static constexpr std::array<uint64_t, 8> kOdd = {0,          1,          0x7f,      0xff,
                                                     0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    return kOdd[below(kOdd.size())] + below(17) - 8;
  }

  void mutate(Input& input, const std::vector<Input>& seeds) {
    const size_t at = below(input.size() + 1);
    const auto where = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(7)) {
      case 0:
        if (at < input.size()) input[at] ^= static_cast<uint8_t>(1U << below(8));
        break;
      case 1:
        if (at < input.size()) input[at] = byte();
        break;
      case 2: {
        const uint64_t value = odd_number();
        const size_t width = std::min<size_t>(size_t{1} << below(4), input.size() - at);
        if (width != 0) std::memcpy(input.data() + at, &value, width);
        break;
      }
      case 3:
        input.insert(where, 1 + below(4), byte());
        break;
      case 4:
        input.erase(where, where + static_cast<std::ptrdiff_t>(
                                       below(std::min<size_t>(input.size() - at + 1, 8))));
        break;
      case 5:
        if (below(8) == 0) input.resize(at);
        break;
      default: {
        // A piece of some seed, over or into the input.
        const Input& other = seeds[below(seeds.size())];
        const size_t from = below(other.size());
        const size_t size = below(std::min<size_t>(other.size() - from, 64) + 1);
        const auto piece = std::span(other).subspan(from, size);
        if (below(2) == 0) {
          input.insert(where, piece.begin(), piece.end());
        } else {
          std::copy_n(piece.begin(), std::min(size, input.size() - at), where);
        }
      }
    }
  }

  std::mt19937_64 random_;
};

int fuzz(const Options& options) {
  const std::vector<Input> seeds = collect_seeds(options);
  LastInput last(options.last);
  fmt::print("{} seeds, {} s, --seed {}, input in work: {}\n", seeds.size(), options.seconds,
             options.seed, options.last.empty() ? "not kept" : options.last);
  // At once: what is printed later may never come.
  std::fflush(stdout);  // NOLINT(cert-err33-c)
  const auto run = [&last](const Input& input) {
    last.keep(input);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  };
  run({});
  for (const Input& seed : seeds) run(seed);
  Mutator mutator(options.seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  uint64_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) run(mutator.next(seeds));
  fmt::print("{} runs\n", runs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_arguments(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  if (!options) {
    fmt::print(stderr,
               "usage: {} [--seconds N] [--seed N] [--last FILE] [SEEDS...] | --replay FILE\n",
               *argv);
    return 2;
  }
  if (options->replay.empty()) return fuzz(*options);
  const Input input = LastInput::load(options->replay);
  LLVMFuzzerTestOneInput(input.data(), input.size());
  fmt::print("{} bytes replayed\n", input.size());
  return 0;
}
