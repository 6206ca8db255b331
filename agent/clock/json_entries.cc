#include "agent/clock/json_entries.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "agent/clock/quoted.h"

namespace time_chaos::clock {
namespace {

constexpr const char* kRemedy = R"(write a list like [{"at": "10s", "offset": "1h"}])";

// Counts the lines that the parser has read.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, size_t* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    if (*at_ == '\n') ++*line_;
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  size_t* line_;
};

class Entries : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Entries(const size_t* line) : line_(line) {}

  std::vector<JsonEntry> take() { return std::move(entries_); }
  [[nodiscard]] size_t error_line() const { return error_line_; }
  [[nodiscard]] const std::string& error() const { return error_; }

  bool null() override { return bad("null means nothing here"); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return bad("binary data mean nothing here"); }
  bool start_object(size_t /*size*/) override {
    if (depth_ != 1) return bad(depth_ == 0 ? "it is no list" : "an object means nothing here");
    depth_++;
    entries_.push_back({*line_, {}});
    return true;
  }
  bool key(string_t& name) override {
    for (const JsonField& field : entries_.back().fields) {
      if (field.name == name) return bad(clock::quoted(name) + " is there twice");
    }
    entries_.back().fields.push_back({name, *line_, false});
    return true;
  }
  bool end_object() override {
    depth_--;
    return true;
  }
  bool start_array(size_t /*size*/) override {
    if (depth_ != 0) return bad("a list means nothing here");
    depth_++;
    return true;
  }
  bool end_array() override {
    depth_--;
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::json::exception& problem) override {
    // "[json.exception.parse_error.101] parse error at line 2, column 3: syntax error ..."
    std::string text = problem.what();
    const size_t column = text.find("column ");
    const size_t colon = column == std::string::npos ? column : text.find(": ", column);
    return bad("not JSON: " + (colon == std::string::npos ? text : text.substr(colon + 2)));
  }

 private:
  template <typename Value>
  bool add(Value value) {
    if (depth_ != 2) return bad(depth_ == 0 ? "it is no list" : "an entry is no object");
    entries_.back().fields.back().value = std::move(value);
    return true;
  }
  bool bad(std::string why) {
    error_ = std::move(why);
    for (char& c : error_) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    error_line_ = *line_;
    return false;
  }

  const size_t* line_;
  int depth_ = 0;
  std::vector<JsonEntry> entries_;
  std::string error_;
  size_t error_line_ = 0;
};

}  // namespace

Result<std::vector<JsonEntry>> parse_entries(std::string_view text, const std::string& name) {
  size_t line = 1;
  Entries entries(&line);
  const bool good =
      nlohmann::json::sax_parse(CountingIterator(text.data(), &line),
                                CountingIterator(text.data() + text.size(), &line), &entries);
  if (good) return entries.take();
  return fail(Exit::kUsage, fmt::format("{}:{}: {}", name, entries.error_line(), entries.error()),
              kRemedy);
}

}  // namespace time_chaos::clock
