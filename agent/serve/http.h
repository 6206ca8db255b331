// As much of HTTP/1.1 as a scraper, a kubelet and curl need: one request a connection, bounded.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace time_chaos::serve {

struct Request {
  std::string method;  // "GET"
  std::string path;    // "/metrics", without what is behind a "?"
  std::string body;
  bool trusted = false;  // it came through a socket that only its owner may use
};

struct Response {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

inline constexpr size_t kMostHead = 8192;
inline constexpr size_t kMostBody = size_t{64} << 10;

// What has come so far: a request, a refusal of it, or nothing yet.
using Parsed = std::variant<std::monostate, Request, Response>;
Parsed parse_request(std::string_view text);

// With its headers; the connection is closed behind it.
std::string written(const Response& response, bool head_only);

}  // namespace time_chaos::serve
