#include "agent/serve/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace time_chaos::serve {
namespace {

const char* reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

Response refusal(int status, std::string why) {
  return {status, "text/plain; charset=utf-8", std::move(why) + "\n"};
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = std::min(rest.find("\r\n"), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 2, rest.size()));
  return line;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0;
  });
}

// "GET /metrics?x HTTP/1.1"
std::optional<Request> request_line(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(line.substr(0, first)) || !target.starts_with('/')) return std::nullopt;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return std::nullopt;
  if (target.find_first_of(" \t\r\n") != std::string_view::npos) return std::nullopt;
  return Request{std::string(line.substr(0, first)),
                 std::string(target.substr(0, target.find('?'))), "", false};
}

}  // namespace

Parsed parse_request(std::string_view text) {
  const size_t end = text.find("\r\n\r\n");
  if (std::min(end, text.size()) > kMostHead) return refusal(431, "too many headers");
  if (end == std::string_view::npos) return {};
  std::string_view head = text.substr(0, end);
  auto request = request_line(next_line(head));
  if (!request) return refusal(400, "this is no request of HTTP/1.1");
  std::optional<size_t> length;
  while (!head.empty()) {
    const std::string_view line = next_line(head);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return refusal(400, "a header has no name");
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (name == "transfer-encoding") return refusal(501, "send a Content-Length");
    if (name != "content-length") continue;
    size_t number = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc() && stop == value.data() + value.size();
    if (!whole || (length && *length != number)) return refusal(400, "what is the Content-Length?");
    length = number;
  }
  if (length.value_or(0) > kMostBody) return refusal(413, "the body is too long");
  const std::string_view body = text.substr(end + 4);
  if (body.size() < length.value_or(0)) return {};
  request->body = body.substr(0, length.value_or(0));
  return *std::move(request);
}

std::string written(const Response& response, bool head_only) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n"
      "X-Content-Type-Options: nosniff\r\n\r\n{}",
      response.status, reason(response.status), response.type, response.body.size(),
      head_only ? "" : response.body);
}

}  // namespace time_chaos::serve
